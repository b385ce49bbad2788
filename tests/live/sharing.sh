#!/bin/bash
# Other processes run in the memory of the one that is to be patched: stent doesn't stop them, so it waits, no longer than it should.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 51

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

for word in share share-headless; do
	victim_start "$scratch/victim.1" spin "$word"
	verdict $? "a process with a child in its memory starts ($word)"
	snapshot "$victim" >"$scratch/before"
	check "apply gives up" gives_up 25000 "another process, which runs in the same memory" apply victim --timeout 1
	check "nothing is left in the process" is_unchanged
	victim_stop
	verdict $? "it ends by itself"
done

# One that is made between the last look and the stop: by the process itself (its first thread may have ended), or by a child in its memory that has ended
# since; where the kernel records what is made, and where that is not permitted.
check "a library to have it made late" "${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -shared -fPIC -o "$scratch/late.so" \
	"$top/tests/live/preload/late.c" -ldl

late() {	# LINE VARIABLE...
	local line=$1
	shift
	gives_up 25000 "another process, which runs in the same memory" limit 30 env "LD_PRELOAD=$scratch/late.so" "LATE_LINE=$line" \
		"LATE_TO=/proc/$$/fd/$victim_in" "LATE_FROM=/proc/$$/fd/$victim_out" "$@" \
		"$stent" apply "$scratch/victim.stent" -p "$victim" --timeout 1
}

for line in share share-by-child share-headless; do
	for blind in "" LATE_BLIND=1; do
		victim_start "$scratch/victim.1" spin
		verdict $? "a process that will share its memory starts ($line $blind)"
		snapshot "$victim" >"$scratch/before"
		check "apply gives up" late "$line" $blind
		check "nothing is left in the process" is_unchanged
		victim_stop
		verdict $? "it ends by itself"
	done
done

# One that is made late, and shares nothing, while the process has a hundred children: where the kernel records what is made, these are not asked in the stop.
make_children() {
	local i
	for ((i = 0; i < 100; i++)); do
		is_answered fork "1 21 0" || return 1
	done
}

# shellcheck disable=SC2120,SC2119 # check hands it on
late_child() {	# VARIABLE...
	limit 30 env "LD_PRELOAD=$scratch/late.so" LATE_LINE=fork "LATE_TO=/proc/$$/fd/$victim_in" "LATE_FROM=/proc/$$/fd/$victim_out" \
		"LATE_ASKED=$scratch/asked" "$@" "$stent" apply "$scratch/victim.stent" -p "$victim" --timeout 5
}

asked() {	# LEAST MOST
	local word count
	read -r word count _ <"$scratch/asked"
	[ "$word" = asked ] && [ "$count" -ge "$1" ] && [ "$count" -le "$2" ] || { cat "$scratch/asked"; return 1; }
}

# On a busy machine the stop may come so late that the records are not relied on: then it is tried again.
few_asked() {
	local i
	for ((i = 0; i < 5; i++)); do
		asked 1 50 && return
		revert victim && late_child || return 1
	done
	return 1
}

victim_start "$scratch/victim.1" spin
verdict $? "a process starts"
check "it makes a hundred others" make_children
check "it is patched, though it makes one more late" late_child
check "it runs the new version" runs_version 2
if grep -q "recorded 1" "$scratch/asked"; then
	check "that one was asked in the stop, the others were not" few_asked
else
	skip "that one was asked in the stop, the others were not" "perf events of processors are not permitted"
fi
check "revert" revert victim
check "it is patched without records, too" late_child LATE_BLIND=1
check "all were asked in the stop then" asked 100 1000000
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
