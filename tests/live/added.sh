#!/bin/bash
# Variables that new code brings along: they are gone with their patch, and no other patch may make them begin anew.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
victim_source=added.c
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh

answers() {	# ANSWER...
	local wanted answer
	for wanted; do
		answer=$(ask count) && [ "$answer" = "$wanted" ] || { echo "the answer is '$answer', not $wanted"; return 1; }
	done
}

starts() {
	victim_start "$scratch/added.1" && answers 0 0
}

begins_anew() {
	starts && ends_with 0 apply added && answers 1 2 3 && ends_with 0 revert added && answers 0 0 && text_is_file "$victim" added.1 &&
		ends_with 0 apply added && answers 1 2 && victim_stop
}

is_refused() {	# OPTION...
	ends_with 2 apply third "$@" >"$scratch/refusal" 2>&1
	cat "$scratch/refusal"
	grep -q "patch added, which is in force, has variables of its own" "$scratch/refusal"
}

is_not_lost() {
	starts && ends_with 0 apply added && answers 1 2 && is_refused && is_refused --replace && answers 3 &&
		ends_with 0 revert added && ends_with 0 apply third && answers -1 -2 && victim_stop
}

plan 3
check "two patches with a new variable" build_three added -g
check "it begins anew when the patch comes again" begins_anew
check "no other patch makes it begin anew" is_not_lost
exit "$((failures > 0))"
