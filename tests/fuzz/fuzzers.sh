#!/bin/bash
# The short form of the fuzzers, five seconds each; a longer one is `make fuzz SECONDS=N`.
. "$(dirname "$0")/../lib.sh"
plan 1
check "hostile files, packages, lists of mappings, ledgers, unwind data and code" \
	timeout 400 make --no-print-directory BUILD="${BUILD:-build}" SECONDS=5 fuzz
