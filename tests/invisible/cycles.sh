#!/bin/bash
# A patch goes in and out of a small process so many times, and then the process has what it had before the first time: its mappings, its
# descriptors, its memory, its code. And many patches that take each other's place leave no more than one does.
#
#	tests/invisible/cycles.sh	CYCLES: how often (25; `make cycles CYCLES=10000`)
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
cycles=${CYCLES:-25}
plan 10

unmapped=0 kept=0
one_cycle() {
	limit 30 "$stent" apply "$scratch/victim.stent" -p "$victim" >"$scratch/output" 2>&1 || return 1
	limit 30 "$stent" revert victim -p "$victim" >"$scratch/output" 2>&1 || return 1
	! grep -q '^  unmapped ' "$scratch/output" || unmapped=$((unmapped + 1))
	! grep -q '^  memory ' "$scratch/output" || kept=$((kept + 1))
}

check "three versions and the patches are built" build_three victim
victim_start "$scratch/victim.1" poll futex
verdict $? "a process starts"
mappings >"$scratch/before"
descriptors >"$scratch/descriptors"
many_cycles 1 >"$scratch/log" 2>&1
memory=$(own_memory)
many_cycles "$cycles" >"$scratch/log" 2>&1
verdict $? "a patch goes in and out, and $cycles times more" || diag "$(cat "$scratch/log")"
diag "its memory was unmapped $unmapped times, and kept $kept times until the next"
check "its mappings are what they were before" diff "$scratch/before" <(mappings)
check "its descriptors, too" diff "$scratch/descriptors" <(descriptors)
last=$(own_memory)
check "its own memory: $memory KiB after the first time, $last after the last" [ "$last" -le $((memory + 16)) ]
check "its text is that of its file" text_is_file "$victim" victim.1
check "it is sound" runs_version 1

# Each takes the place of the other: more often than there may be ledgers in a process (src/live/ledger.h), if it is done 10,000 times.
replace_many() {	# COUNT
	local i
	for ((i = 0; i < $1; i++)); do
		limit 30 "$stent" apply --replace "$scratch/$( ((i % 2)) && echo third || echo victim).stent" -p "$victim" >"$scratch/output" 2>&1 ||
			{ echo "replacement $i"; cat "$scratch/output"; return 1; }
	done
	[ "$(limit 10 "$stent" status -p "$victim" | grep -c ': ')" = 1 ] || { limit 10 "$stent" status -p "$victim"; return 1; }
}
count=$((cycles < 300 ? cycles : 300))
replace_many "$count" >"$scratch/log" 2>&1
verdict $? "one patch takes the place of the other $count times: one is left" || diag "$(cat "$scratch/log")"
{ revert victim; revert third; } >"$scratch/output" 2>&1
check "reverted, it has what it had before" diff "$scratch/before" <(mappings)
victim_stop
exit "$((failures > 0))"
