#!/bin/bash
# Tables of virtual functions of another image, of which a program has copies (R_*_COPY): what its file has in their place is zeros.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 3

build() {	# NAME FLAG...
	local name=$1 version
	shift
	for version in 1 2; do
		"${CXX:-g++}" -std=c++17 -O2 -Wl,--build-id -DV=$version "$@" -o "$scratch/$name.$version" "$top/tests/cxx/copied.cc" || return 1
	done
	# Or this tests nothing.
	readelf -rW "$scratch/$name.1" | grep -q "R_X86_64_COPY.*_ZT[TV]NSt7__cxx1118basic_stringstream" || { echo "it has no copies"; return 1; }
}

takes() {	# NAME FLAG...
	build "$@" && ends_with 0 "$stent" diff "$scratch/$1.1" "$scratch/$1.2" -o "$scratch/$1.stent" --name "$1" &&
		python3 "$top/tests/real/checker.py" "$scratch/$1.stent" "$scratch/$1.1" "$scratch/$1.2" && victim_start "$scratch/$1.1" && [ "$(ask 3)" = "one 3" ] && ends_with 0 apply "$1" && [ "$(ask 3)" = "two: 6" ] &&
		ends_with 0 revert "$1" && [ "$(ask 3)" = "one 3" ] && victim_stop
}

# Numbers there may be addresses.
is_refused() {	# NAME FLAG...
	build "$@" && ends_with 2 "$stent" diff "$scratch/$1.1" "$scratch/$1.2" -o "$scratch/$1.stent" >"$scratch/refusal" 2>&1
	cat "$scratch/refusal"
	grep -q "a number that may or may not be an address" "$scratch/refusal"
}

check "a program" takes pie
check "a stripped one" takes stripped -s
check "one of a fixed address is refused" is_refused fixed -fno-pie -no-pie
exit "$((failures > 0))"
