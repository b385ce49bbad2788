#!/bin/bash
# The command line as such: usage, version, exit codes, output that cannot be written.
. "$(dirname "$0")/../lib.sh"
commands="diff show apply status revert upgrade"
plan 13

all_listed() {
	local name
	for name in $commands; do
		"$stent" --help | grep -q "^  $name  *[a-z]" || { echo "$name is not listed"; return 1; }
	done
}

full() {
	"$@" >/dev/full
}

check "--help" exits 0 '^Usage: stent COMMAND' "$stent" --help
check "--help lists every command" all_listed
check "--version" exits 0 '^stent [0-9]' "$stent" --version
check "no command is an error" exits 1 '^Usage: stent' "$stent"
check "an unknown command is an error" exits 1 "^stent: 'frobnicate' is not a command" "$stent" frobnicate
for name in $commands; do
	check "$name --help" exits 0 "^Usage: stent $name" "$stent" "$name" --help
done
check "an unknown option is an error" exits 1 "^stent: try 'stent show --help'" "$stent" show --frobnicate
check "output that cannot be written is an error" exits 1 'cannot write the output: No space left' full "$stent" --help
