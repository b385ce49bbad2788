#!/bin/bash
# Small changes as gcc compiles them, with and without symbols.
# shellcheck disable=SC2034 # for changes.sh
flavours=(
	"gcc -O2 -s"
	"gcc -O2 -g"
	"gcc -O3 -s"
)
# shellcheck source=tests/changes/changes.sh
. "$(dirname "$0")/changes.sh"
