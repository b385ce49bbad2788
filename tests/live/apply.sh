#!/bin/bash
# Apply and revert, in every kind of program and with threads in every kind of system call.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/live/victims.sh
. "$top/tests/live/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 48

# 12 results
cycle() {	# NAME THREAD...
	local name=$1 program=$scratch/$1.1
	shift
	victim_start "$program" "$@"
	verdict $? "$name: starts"
	check "$name: runs the old version" runs_version 1
	check "$name: apply" apply "$name"
	check "$name: runs the new version" runs_version 2
	check "$name: status says active" is_in_state "$name" active
	check "$name: applied already" ends_with 3 apply "$name"
	check "$name: revert" revert "$name"
	check "$name: runs the old version again" runs_version 1
	check "$name: its text is its file's" text_is_file "$victim"
	local regions_before
	regions_before=$(wc -l <"/proc/$victim/maps")
	for _ in 1 2 3; do
		apply "$name" && runs_version 2 && revert "$name" && runs_version 1 || break
	done >"$scratch/cycles" 2>&1
	check "$name: again and again, in the same memory" test "$(wc -l <"/proc/$victim/maps")" = "$regions_before"
	check "$name: and still sound" runs_version 1
	victim_stop
	verdict $? "$name: ends by itself"
}

build_pair plain -O2 || exit 1
cycle plain
build_pair calls -O2 || exit 1
cycle calls spin nanosleep nanosleep poll poll epoll epoll recv sigwait sigwait futex futex read spin epoll recv
build_pair fixed -no-pie -fno-pie || exit 1
cycle fixed spin epoll
if build_pair static -static -no-pie -fno-pie >"$scratch/output" 2>&1; then
	cycle static spin epoll
else
	for _ in {1..12}; do
		skip "static" "diff refuses: $(tail -n 1 "$scratch/output")"
	done
fi
exit "$((failures > 0))"
