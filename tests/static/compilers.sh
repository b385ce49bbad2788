#!/bin/bash
# gcc and clang build everything, unit tests included, without a warning.
. "$(dirname "$0")/../lib.sh"
plan 2
unset MAKEFLAGS MAKELEVEL MFLAGS	# not part of the make that runs the tests

for compiler in gcc clang; do
	if ! command -v "$compiler" >/dev/null; then
		skip "$compiler" "$compiler is not installed"
		continue
	fi
	check "$compiler has no warnings" \
		make -s -k -j"$(nproc)" BUILD="$build/warnings-$compiler" CC="$compiler" CFLAGS='-O2 -g -Werror' all unit live-programs
done
