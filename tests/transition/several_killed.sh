#!/bin/bash
# stent is killed before each of the operations by which it puts a patch of three images in, or takes it out: they are in one
# version at any time, and the next stent ends what was begun.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/several_victims.sh
. "$top/tests/transition/several_victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 6

build_several && build_killer || exit 1
limit 60 "$stent" diff "$scratch/1" "$scratch/2" -o "$scratch/all.stent" --name all >"$scratch/output" || exit 1
least=20

runs_version() {	# VERSION
	says $(($1 * 10101))
}

one_version() {
	local answer
	answer=$(ask) || { echo "no answer"; return 1; }
	[[ $answer == "10101 0" || $answer == "20202 0" ]] || { echo "the answer is '$answer'"; return 1; }
}

make_old() {
	brings 1 023 "$stent" revert all -p "$victim"
}

# With the memory kept, which the next one uses again.
make_old_kept() {
	brings 1 023 "$stent" revert all --reclaim 0 -p "$victim"
}

make_new() {
	brings 2 03 "$stent" apply "$scratch/all.stent" -p "$victim"
}

fresh() {
	if [ -n "${victim-}" ]; then
		make_old && text_is_file "$victim" && victim_stop || return 1
	fi
	start_server
}

kill_everywhere fresh 2 apply "$scratch/all.stent" >"$scratch/log" 2>&1
verdict $? "apply to a new process, killed at each of ${deaths-0} operations, and applied again"
diag "$(cat "$scratch/log")"
kill_everywhere make_old_kept 2 apply "$scratch/all.stent" >"$scratch/log" 2>&1
verdict $? "apply again in the same memory, killed at each of ${deaths-0} operations, and applied again"
diag "$(cat "$scratch/log")"
{ make_old && mappings >"$scratch/before"; } >"$scratch/output" 2>&1
kill_everywhere make_new 1 revert all >"$scratch/log" 2>&1
verdict $? "revert, killed at each of ${deaths-0} operations, and reverted again"
diag "$(cat "$scratch/log")"
check "no memory is left of that, in any of the images" diff "$scratch/before" <(mappings)
check "the text is that of the files" text_is_file "$victim"
victim_stop
verdict $? "the program ends by itself"
