#!/bin/bash
# A program that counts what is done to it (witness.c) counts the same whether a patch goes in and out of it all the time or not. And
# nothing stays behind: memory, mappings, descriptors and text are what they were.
#
#	tests/invisible/invisible.sh	CYCLES: how often the patch goes in and out (20; `make invisible CYCLES=1000`)
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
cycles=${CYCLES:-20}
# shellcheck disable=SC2034 # for build_pair
victim_source=../invisible/witness.c

plan 16

# The process that works is $victim, its output goes to the file REPORT, and it ends when $input is closed.
witness_start() {	# REPORT [lean]
	mkfifo "$scratch/input.$1"
	"$scratch/witness.1" ${2-} <"$scratch/input.$1" >"$scratch/$1" &
	started=$!
	started_all+=("$started")
	exec {input}>"$scratch/input.$1"
	within 10 grep -q '^ready' "$scratch/$1" && victim=$(sed -n 's/^ready //p' "$scratch/$1")
}

witness_stop() {
	exec {input}>&-
	within 20 ended "$started"
}

# All but what depends on how long it ran.
counts() {	# REPORT
	grep -v '^free\|^ready' "$scratch/$1" | sort
}

paused=0
one_cycle() {
	apply witness >"$scratch/output" 2>&1 || return 1
	paused=$(sed -n 's/^  paused *\([0-9]*\).*/\1/p' "$scratch/output")
	revert witness >"$scratch/output" 2>&1
}

# Mappings, how much memory, and which descriptors.
belongings() {
	grep '^VmSize\|^VmData\|^VmLck\|^VmPin' "/proc/$victim/status"
	mappings
	descriptors
}

nothing_wrong() {	# REPORT
	[ "$(grep -c "^wrong .* 0$" "$scratch/$1")" = 6 ] || { cat "$scratch/$1"; return 1; }
}

check "two versions and the patch are built" build_pair witness
{ witness_start alone && sleep 3 && witness_stop; } >"$scratch/output" 2>&1
verdict $? "it runs for a while without stent"
# What it could have asked for by io_submit() keeps the patch's memory where it is, for the next time.
{ witness_start patched && many_cycles 1 && belongings >"$scratch/first"; } >"$scratch/log" 2>&1
verdict $? "a patch goes in and out of it" || diag "$(cat "$scratch/log")"
many_cycles "$cycles" >"$scratch/log" 2>&1
verdict $? "and $cycles times more" || diag "$(cat "$scratch/log")"
belongings >"$scratch/last"
check "its memory, mappings and descriptors are what they were" diff "$scratch/first" "$scratch/last"
check "its text is that of its file" text_is_file "$victim" witness.1
witness_stop
verdict $? "it ends by itself"
check "nothing was wrong in it" nothing_wrong patched
check "it has counted the same as without stent" diff <(counts alone) <(counts patched)
# Of one without such requests nothing is left.
{ witness_start lean lean && sleep 0.2 && belongings >"$scratch/first" && many_cycles 1 && memory=$(own_memory); } >"$scratch/log" 2>&1
verdict $? "a patch goes in and out of another one" || diag "$(cat "$scratch/log")"
many_cycles "$cycles" >"$scratch/log" 2>&1
verdict $? "and $cycles times more" || diag "$(cat "$scratch/log")"
belongings >"$scratch/last"
last=$(own_memory)
check "its mappings and descriptors are what they were before" diff "$scratch/first" "$scratch/last" || diag "$(cat "$scratch/output")"
check "its own memory: $memory KiB after one cycle, $last after all" [ "$last" -le $((memory + 16)) ]
check "its text is that of its file" text_is_file "$victim" witness.1
witness_stop
verdict $? "it ends by itself"
check "nothing was wrong in it, either" nothing_wrong lean
diag "alone:   $(grep '^free' "$scratch/alone")"
diag "patched: $(grep '^free' "$scratch/patched"); longest of the last pauses $paused ms"
exit "$((failures > 0))"
