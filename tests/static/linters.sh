#!/bin/bash
# cppcheck and shellcheck have nothing to say, where they are installed.
. "$(dirname "$0")/../lib.sh"
plan 2

# Suppressed, because cppcheck 2.10 takes a structure that a function fills through a pointer for one
# that is used before that, or returned (the compilers and the sanitizers look for the real ones), and
# because its parser gives up on some compound literals.
if command -v cppcheck >/dev/null; then
	check "cppcheck" cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability \
		--inline-suppr --suppress=missingIncludeSystem --suppress=ctuuninitvar --suppress=returnDanglingLifetime --suppress=internalAstError \
		-D_GNU_SOURCE -DSTENT_VERSION='"0"' -j "$(nproc)" --cppcheck-build-dir="$scratch" -Isrc src
else
	skip "cppcheck" "cppcheck is not installed"
fi

if command -v shellcheck >/dev/null; then
	scripts=$(grep -rlE '^#!/bin/(ba)?sh' .ci scripts demo tests 2>/dev/null)
	# shellcheck disable=SC2086 # file names of this tree, without spaces
	check "shellcheck" shellcheck --severity=warning -x -P SCRIPTDIR $scripts
else
	skip "shellcheck" "shellcheck is not installed"
fi
