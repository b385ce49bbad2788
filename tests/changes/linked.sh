#!/bin/bash
# Small changes as they are after a linker that sees everything, and in programs of other kinds.
# shellcheck disable=SC2034 # for changes.sh
flavours=(
	"gcc -O2 -flto -s"
	"gcc -O2 -ffunction-sections -fdata-sections -s"
	"gcc -O2 -fno-pie -no-pie -s"
	"gcc -O2 -static -s"
)
# shellcheck source=tests/changes/changes.sh
. "$(dirname "$0")/changes.sh"
