#!/bin/bash
# A function that jumps back to its own entry goes by way of the redirection in its own middle. What has begun in one version goes on in it to
# its end, and loses nothing on the way; the next call is of the other version.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2034 # for victims.sh
victim_source=../transition/tails.c CC=gcc	# clang sees through the other name, and makes a loop
plan 12

# Without these jumps nothing here would show anything.
jumps_back() {	# PROGRAM
	local kind
	for kind in plain protected; do
		objdump -d --no-show-raw-insn "$scratch/$kind.1" >"$scratch/code" && grep -qP '\tjmp +[0-9a-f]+ <walk>$' "$scratch/code" &&
			grep -qP "\tjne +[0-9a-f]+ <spin$([ "$kind" = plain ] || echo '\+0x4')>$" "$scratch/code" || fails "$kind: not in $(cat "$scratch/code")" || return 1
	done
}

starts() {	# BUILD FUNCTION
	victim_start "$scratch/$1.1" || fails "the victim did not start" || return 1
	says ok "$2"
}

# All calls so far.
are() {	# EXPRESSION
	says "$1" results
}

# On its way back to the entry it is in a dispatcher or a copy.
inside() {	# FUNCTION
	echo "($1|astubofstent)"
}

# The patch goes in and out, while the worker is inside.
in_and_out() {	# BUILD FUNCTION OPTION...
	local build=$1 function=$2 before
	shift 2
	starts "$build" "$function" && within 5 are '1+' && begin_apply "$build" --timeout 20 "$@" || return 1
	[ $# != 0 ] || within 5 stays 0 old "$(inside "$function")" || return 1
	before=$(ask results) && job_ends 0 20 && in_state "$build" active && within 5 are "${before}1*2+" || return 1
	before=$(ask results) && begin revert "$build" --timeout 20 "$@" || return 1
	# (A loop in new code goes by no dispatcher, and may be over before anybody looks.)
	[ $# != 0 ] || [ "$function" = spin ] || within 5 stays 0 new "$function" || return 1
	job_ends 0 20 && in_state "$build" reverted && within 5 are "${before}2*1+" && text_is_file "$victim" "$build.1"
}

# It is told by its return address: what is called next is new.
the_very_next() {
	local before
	starts plain walk && begin_apply plain --timeout 20 && within 5 in_state plain installing && within 5 are_armed 1 || return 1
	before=$(ask results) && job_ends 0 20 && within 5 are "${before}12+"
}

# No look ever finds it outside, so it has to keep the breakpoint where it leaves, also when a look finds it in a dispatcher.
hardly_outside() {
	local times
	for ((times = 0; times < 3; times++)); do
		starts plain whirl && within 5 are '1+' && begin_apply plain --timeout 4 && job_ends 0 && in_state plain active && within 5 are '1*2+' || return 1
		victim_stop || return 1
	done
}

# Turned round while it is inside, again and again: it may come out in time.
turns_round() {	# FUNCTION
	local turned=0 attempt status
	starts plain "$1" || return 1
	for attempt in 1 2 3 4 5; do
		apply plain --timeout 0.1
		status=$?
		[ "$status" = 4 ] && turned=1 && is_out plain || { [ "$status" = 0 ] && revert_ends 0 plain; } || fails "attempt $attempt: $status" || return 1
	done
	[ "$turned" = 1 ] && are '[12]*' && within 5 are '[12]*11' && text_is_file "$victim" plain.1
}

# After a stent that was killed it goes on old all the while.
killed() {	# FUNCTION
	starts plain "$1" && begin_apply plain --timeout 20 && within 5 stays 0 old "$(inside "$1")" && kill_job && within 5 are '111+' &&
		ends_with 0 apply plain --timeout 20 && within 5 are '1112+|1{3,}2+'
}

# The jump is a call of the new function then: the rest of it is new, and it returns to the old one's caller.
forced() {
	starts plain walk && ends_with 0 apply plain --timeout 0.2 --force && within 5 are '1*x2+'
}

build_pair plain -fcf-protection=none >"$scratch/output" 2>&1 && build_pair protected -fcf-protection=full >>"$scratch/output" 2>&1 ||
	{ cat "$scratch/output"; exit 1; }
check "the functions jump back to their entries" jumps_back
scenario "a tail call to itself, in and out" in_and_out plain walk
scenario "a loop that keeps variables below the stack pointer" in_and_out plain spin
scenario "a tail call to the instruction that indirect calls lead to" in_and_out protected walk
scenario "a loop that begins behind that" in_and_out protected spin
scenario "all threads at one instant: a tail call" in_and_out plain walk --scope process
scenario "what it calls behind its tail calls is new at once" the_very_next
scenario "a loop that is outside for an instant between two calls" hardly_outside
scenario "a transition that turns round: a tail call" turns_round walk
scenario "a transition that turns round: a loop" turns_round spin
scenario "a stent that is killed: a loop" killed spin
scenario "by force: the rest of it is new" forced

exit "$((failures > 0))"
