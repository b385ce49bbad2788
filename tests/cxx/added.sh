#!/bin/bash
# Classes that only the new build has: their objects live beside those of the old ones, and after the patch has gone.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh

compile() {	# VERSION FLAG...
	local version=$1
	shift
	"$@" -std=c++17 -DV="$version" -Wl,--build-id "$top/tests/cxx/added.cc" -o "$scratch/added.$version"
}

answers() {	# FILE: thirty numbers, so that old objects are deleted by new code and new ones by old code
	local n
	for n in {1..30}; do
		ask "$n" || return 1
	done >"$1"
}

expect() {
	local version
	for version in 1 2; do
		victim_start "$scratch/added.$version" && answers "$scratch/expected.$version" && victim_stop || return 1
	done
	! cmp -s "$scratch/expected.1" "$scratch/expected.2" || { echo "both builds answer the same"; return 1; }
}

answers_as() {	# VERSION
	answers "$scratch/is" && diff "$scratch/expected.$1" "$scratch/is"
}

goes_in_and_out() {	# COMPILER FLAG...
	compile 1 "$@" && compile 2 "$@" && expect &&
		ends_with 0 "$stent" diff "$scratch/added.1" "$scratch/added.2" -o "$scratch/added.stent" --name added || return 1
	python3 "$top/tests/real/checker.py" "$scratch/added.stent" "$scratch/added.1" "$scratch/added.2" || return 1
	victim_start "$scratch/added.1" && answers_as 1 && ends_with 0 apply added && answers_as 2 && answers_as 2 && ends_with 0 revert added &&
		answers_as 1 && text_is_file "$victim" added.1 && ends_with 0 apply added && answers_as 2 && victim_stop
}

is_refused() {	# COMPILER FLAG...
	compile 1 "$@" && compile 2 "$@" && ends_with 2 "$stent" diff "$scratch/added.1" "$scratch/added.2" -o "$scratch/added.stent" >"$scratch/refusal" 2>&1
	cat "$scratch/refusal"
	grep -qE "a constant table with pointers that is new|a number that may or may not be an address" "$scratch/refusal"
}

kinds=("a virtual base" "an unnamed namespace" "a template" "two bases" "another class inside")
compilers=("g++ -O2 -s" "g++ -O2 -DNEWERR -s" "g++ -O0 -g" "clang++ -O2 -s -DNEWERR")
plan $((${#kinds[@]} * ${#compilers[@]} + 1))
for kind in "${!kinds[@]}"; do
	for compiler in "${compilers[@]}"; do
		# shellcheck disable=SC2086 # flags
		check "a class with ${kinds[kind]}: $compiler" goes_in_and_out $compiler -DKIND=$((kind + 1))
		[ -z "${victim-}" ] || { kill -KILL "$victim"; wait "$victim"; exec {victim_in}>&- {victim_out}<&-; } 2>/dev/null
		started_all=() victim=''
	done
done
check "refused: at a fixed address" is_refused g++ -O2 -s -fno-pie -no-pie -DKIND=4
exit "$((failures > 0))"
