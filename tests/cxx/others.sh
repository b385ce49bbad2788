#!/bin/bash
# Exceptions in patched C++ code, in programs of other kinds, and as clang builds it.
# shellcheck source=tests/cxx/exceptions_of.sh
. "$(dirname "$0")/exceptions_of.sh"
# shellcheck disable=SC2154 # from there

plan 5

works fixed "${CXX:-g++}" -O2 -fno-pie -no-pie
works static "${CXX:-g++}" -O2 -static
works own "${CXX:-g++}" -O2 -static-libgcc -static-libstdc++ -s
works clang clang++ -O2
works clang-stripped clang++ -O2 -s

exit "$((failures > 0))"
