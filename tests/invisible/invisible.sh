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

plan 17

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

one_cycle() {
	apply witness >"$scratch/output" 2>&1 || return 1
	note_pauses
	revert witness >"$scratch/output" 2>&1 || return 1
	note_pauses
}

# What stent says of how long the process was stopped, in tenths of a millisecond.
note_pauses() {
	sed -n -E 's/^  (paused|borrowed) *([0-9]*)\.([0-9]).*/\2\3/p' "$scratch/output" >>"$scratch/pauses"
}

# For each length: the process was not away more often for longer than stent has said that it, or one of its threads, was. Two tenths of
# a millisecond more are for waking a thread. What the machine does by itself is allowed for: twice what there was without stent in the
# same time, one in ten, and ten.
pauses_are_true() {	# SECONDS ALONE, SECONDS PATCHED
	awk -v ratio="$(awk "BEGIN { print $2 / $1 }")" '
		function over(list, least, i, sum) {
			for (i in list)
				if (i + 0 >= least)
					sum += list[i]
			return sum + 0
		}
		FILENAME ~ /pauses$/ { said[$1 + 0]++; all++; next }
		/^free gaps/ {
			for (i = 3; i <= NF; i++) {
				split($i, pair, ":")
				if (FILENAME ~ /alone$/) alone[pair[1]] = pair[2]; else seen[pair[1]] = pair[2]
			}
		}
		END {
			for (tenths = 1; tenths <= 100; tenths++) {
				away = over(seen, tenths + 2)
				allowed = over(said, tenths) + 2 * ratio * over(alone, tenths + 2) + all / 10 + 10
				if (away <= allowed)
					continue
				printf "%d times away for more than %.1f ms, %d allowed\n", away, (tenths + 2) / 10, allowed
				bad = 1
			}
			exit bad
		}' "$scratch/pauses" "$scratch/alone" "$scratch/patched"
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
alone_for=$((3 + cycles / 10))
{ witness_start alone && sleep "$alone_for" && witness_stop; } >"$scratch/output" 2>&1
verdict $? "it runs for a while without stent"
# What it could have asked for by io_submit() keeps the patch's memory where it is, for the next time.
{ witness_start patched && many_cycles 1 && belongings >"$scratch/first"; } >"$scratch/log" 2>&1
verdict $? "a patch goes in and out of it" || diag "$(cat "$scratch/log")"
before=$SECONDS
many_cycles "$cycles" >"$scratch/log" 2>&1
verdict $? "and $cycles times more" || diag "$(cat "$scratch/log")"
cycles_took=$((SECONDS - before + 2))
belongings >"$scratch/last"
check "its memory, mappings and descriptors are what they were" diff "$scratch/first" "$scratch/last"
check "its text is that of its file" text_is_file "$victim" witness.1
witness_stop
verdict $? "it ends by itself"
check "nothing was wrong in it" nothing_wrong patched
check "it has counted the same as without stent" diff <(counts alone) <(counts patched)
check "it was away for no longer than stent has said" pauses_are_true "$alone_for" "$cycles_took"
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
diag "alone:   $(grep '^free' "$scratch/alone" | tr '\n' ' ')"
diag "patched: $(grep '^free' "$scratch/patched" | tr '\n' ' '); $(sort -n "$scratch/pauses" | uniq -c | awk '{ printf "%s:%s ", $2, $1 }') by stent"
exit "$((failures > 0))"
