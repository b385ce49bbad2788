#!/bin/bash
# Other processes run in the memory of the one that is to be patched: stent doesn't stop them, so it waits, no longer than it should.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 16

build_pair victim >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

# Ends within so many milliseconds, as a time-out, and names the reason.
gives_up() {	# MILLISECONDS TEXT COMMAND...
	local longest=$1 text=$2 before=${EPOCHREALTIME/./} took
	shift 2
	ends_with 4 "$@" >"$scratch/output" 2>&1 || { cat "$scratch/output"; return 1; }
	took=$(((${EPOCHREALTIME/./} - before) / 1000))
	grep -q "$text" "$scratch/output" || { cat "$scratch/output"; return 1; }
	[ "$took" -lt "$longest" ] || { echo "it took $took ms"; return 1; }
}

is_unchanged() {
	snapshot "$victim" >"$scratch/after"
	cmp "$scratch/before" "$scratch/after" && runs_version 1
}

victim_start "$scratch/victim.1" spin sharing
verdict $? "a process with a child in its memory starts"
snapshot "$victim" >"$scratch/before"
check "apply gives up" gives_up 25000 "another process, which runs in the same memory" apply victim --timeout 1
check "nothing is left in the process" is_unchanged
# One that is made between the last look and the stop.
check "a library to hide it" "${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -shared -fPIC -o "$scratch/hiding.so" \
	"$top/tests/live/preload/hiding.c" -ldl
check "apply gives up when the child is seen in the stop only" gives_up 25000 "another process, which runs in the same memory" \
	env "LD_PRELOAD=$scratch/hiding.so" "$stent" apply "$scratch/victim.stent" -p "$victim" --timeout 1
check "nothing is left in the process either" is_unchanged
victim_stop
verdict $? "it ends by itself"

# The only thread waits in vfork() for its child, and doesn't stop.
victim_start "$scratch/victim.1" vforked
verdict $? "a process starts whose only thread is in vfork()"
snapshot "$victim" >"$scratch/before"
check "apply gives up in time" gives_up 8000 "thread $victim waits for a child that runs in the same memory (vfork)" \
	apply victim --timeout 1
check "at once with no time" gives_up 8000 "(vfork)" apply victim --timeout 0
start env --default-signal=INT "$stent" apply "$scratch/victim.stent" -p "$victim" --timeout 60 2>"$scratch/waiting"
within 30 holds_signals "$started"
sleep 0.5
before=${EPOCHREALTIME/./}
kill -INT "$started"
wait "$started"
check "it ends by SIGINT" [ $? = 130 ]
check "soon" [ $((${EPOCHREALTIME/./} - before)) -lt 8000000 ]
check "nothing is left in the process" is_unchanged
victim_stop
verdict $? "it ends by itself"

# That thread is in vfork() when it is to be stopped, but there is another one to make system calls.
victim_start "$scratch/victim.1" spin vforked
verdict $? "another process starts that has another thread"
check "apply gives up in time" gives_up 25000 "another process, which runs in the same memory" apply victim --timeout 1
victim_stop
