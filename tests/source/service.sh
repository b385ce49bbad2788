#!/bin/bash
# The README's session "A service of your own", line by line as it stands there, with the service running from the first line on.
. "$(dirname "$0")/../lib.sh"
plan 19

session=$(sed -n '/^## A service of your own/,/^## Commands/s/^    \$ //p' README.md)
PATH=$build:$PATH

answers() {	# LINE ANSWER
	local answer
	echo "$1" >&6
	read -r -t 10 answer <&7 || { echo "no answer"; return 1; }
	[ "$answer" = "$2" ] || { echo "answered '$answer' and not '$2'"; return 1; }
}

# pidof finds what other tests run at the same time, too.
pidof() {
	echo "$service"
}

run_line() {	# NUMBER COMPILER FLAGS
	local line
	line=$(sed -n "$1p" <<<"$session")
	line=${line/#cc /$2 $3 }
	(cd "$work" && eval "$line")
}

run_session() {	# WHAT COMPILER FLAGS
	local line
	work=$scratch/$1
	mkdir "$work" && cp tests/source/lengthd.c tests/source/fix.diff "$work/" && mkfifo "$work/in" "$work/out" || return
	run_line 1 "$2" "$3" || { not_ok "$1: the service is built"; return; }
	exec 6<>"$work/in" 7<>"$work/out"	# (both ends, so that nobody waits for the other)
	# shellcheck disable=SC2016 # for the inner shell
	start sh -c 'cd "$1" && exec ./lengthd <in >out' - "$work"
	service=$started
	check "$1: takes what it should not" answers 007 "1 length 7"
	for line in 2 3 4 5; do
		run_line "$line" "$2" "$3" >"$work/log" 2>&1 || { not_ok "$1: line $line"; diag "$(cat "$work/log")"; return; }
	done
	ok "$1: five lines"
	check "$1: and now it does not" answers 007 "2 error"
	check "$1: all else as before" answers 42 "3 length 42"
	check "$1: the patch names functions" grep -q "parse_length" <("$stent" show "$work/fix.stent")
	check "$1: and out again" "$stent" revert "$(patch_name "$work/fix.stent")" -p "$service"
	exec 6>&- 7<&-
}

patch_name() {
	"$stent" show "$1" | head -n 1
}

check "the README has five lines" [ "$(wc -l <<<"$session")" = 5 ]
run_session gcc gcc ""
run_session fixed-address gcc "-fno-pie -no-pie"
run_session clang clang "-gdwarf-4"
