#!/bin/bash
# The short form of the fuzzers, ten seconds each; a longer one is `make fuzz SECONDS=N`.
. "$(dirname "$0")/../lib.sh"
plan 1
check "hostile unwind data, code, and packages" \
	timeout 240 make --no-print-directory BUILD="${BUILD:-build}" SECONDS=10 fuzz
