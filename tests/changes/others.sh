#!/bin/bash
# Small changes as clang compiles them, and gcc for size.
# shellcheck disable=SC2034 # for changes.sh
flavours=(
	"gcc -Os -fcf-protection=none -s"
	"clang -O2 -s"
	"clang -O3 -g"
	"clang -O2 -fno-pie -no-pie -s"
)
# shellcheck source=tests/changes/changes.sh
. "$(dirname "$0")/changes.sh"
