#!/bin/bash
# Exceptions in patched C++ code, as gcc builds it.
# shellcheck source=tests/cxx/exceptions_of.sh
. "$(dirname "$0")/exceptions_of.sh"
# shellcheck disable=SC2154 # from there

plan 5

works pie "${CXX:-g++}" -O2
works stripped "${CXX:-g++}" -O2 -s
works sections "${CXX:-g++}" -O3 -ffunction-sections -s
works lto "${CXX:-g++}" -O2 -flto -s
works plain "${CXX:-g++}" -O0

exit "$((failures > 0))"
