#!/bin/bash
# The short form of the model's search; all of it is `make model`.
. "$(dirname "$0")/../lib.sh"
command -v spin >/dev/null || skip_all "spin is not installed"
plan 1
check "the model of the transition holds, and is broken where it should be" tests/model/run short
