#!/bin/bash
# Apply and revert, in every kind of program and with threads in every kind of system call.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 119

again_and_again() {	# NAME
	for _ in 1 2 3; do
		apply "$1" && runs_version 2 && revert "$1" && runs_version 1 || return 1
	done
}

# 13 results; one less where children run in the process's memory, or threads come and go
cycle() {	# NAME THREAD...
	local name=$1 program=$scratch/$1.1
	shift
	victim_start "$program" "$@"
	verdict $? "$name: starts"
	check "$name: runs the old version" runs_version 1
	mappings >"$scratch/before"
	check "$name: apply" apply "$name"
	check "$name: runs the new version" runs_version 2
	check "$name: status says active" is_in_state "$name" active
	check "$name: applied already" ends_with 3 apply "$name"
	check "$name: revert" revert "$name"
	check "$name: runs the old version again" runs_version 1
	check "$name: its text is its file's" text_is_file "$victim"
	again_and_again "$name" >"$scratch/cycles" 2>&1
	verdict $? "$name: again and again"
	[ "$name" = churn ] || check "$name: its mappings are what they were" diff "$scratch/before" <(mappings) || diag "$(cat "$scratch/cycles")"
	check "$name: and still sound" runs_version 1
	victim_stop
	verdict $? "$name: ends by itself"
}

build_pair plain -O2 || exit 1
cycle plain
build_pair calls -O2 || exit 1
cycle calls spin nanosleep nanosleep poll poll epoll epoll recv sigwait sigwait futex futex read spin epoll recv signals
build_pair churn || exit 1
cycle churn churn churn poll futex vfork
# Signals that are ignored wake nobody up, but for a thread that is traced.
build_pair ignoring || exit 1
cycle ignoring ignoring epoll epoll recv recv sigwait nanosleep poll futex spin
build_pair fixed -no-pie -fno-pie || exit 1
cycle fixed spin epoll
if build_pair static -static -no-pie -fno-pie >"$scratch/output" 2>&1; then
	cycle static spin epoll
else
	for _ in {1..12}; do
		skip "static" "diff refuses: $(tail -n 1 "$scratch/output")"
	done
fi

# The code is in a shared library.
mkdir "$scratch/library" "$scratch/library/new"
for folder in library library/new; do
	[ "$folder" = library ] && version=1 || version=2
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -pthread -Wl,--build-id -shared -fPIC -Wl,-soname,libvictim.so -DVERSION=$version \
		-Dmain=victim_main -o "$scratch/$folder/libvictim.so" "$top/tests/live/victim.c" || exit 1
done
printf '%s\n' 'int victim_main(int, char **); int main(int argc, char **argv) { return victim_main(argc, argv); }' |
	"${CC:-gcc}" -x c - -o "$scratch/library.1" -L"$scratch/library" -lvictim -Wl,-rpath,"$scratch/library" || exit 1
limit 60 "$stent" diff "$scratch/library/libvictim.so" "$scratch/library/new/libvictim.so" -o "$scratch/library.stent" \
	--name library || exit 1
cycle library spin epoll

# The first thread has ended, the others run on.
victim_start "$scratch/plain.1" spin epoll leaderless
verdict $? "without its first thread: starts"
check "without its first thread: apply" apply plain
check "without its first thread: runs the new version" runs_version 2
check "without its first thread: status" is_in_state plain active
check "without its first thread: revert" revert plain
check "without its first thread: runs the old version" runs_version 1
victim_stop

# Children that run in the memory of the process: what they return to can't be seen.
victim_start "$scratch/plain.1" vfork epoll
verdict $? "vfork: starts"
check "vfork: apply" apply plain
check "vfork: runs the new version" runs_version 2
check "vfork: revert" revert plain
check "vfork: runs the old version" runs_version 1
victim_stop
verdict $? "vfork: ends by itself"

# What the kernel may not have.
may_lack() {	# WORD WHY
	if victim_start "$scratch/plain.1" "$1" spin; then
		check "$1: apply" apply plain
		check "$1: runs the new version" runs_version 2
		check "$1: revert" revert plain
		check "$1: runs the old version" runs_version 1
	else
		for what in apply "runs the new version" revert "runs the old version"; do
			skip "$1: $what" "$2"
		done
	fi
	victim_stop
}

may_lack hardened "the kernel has no PR_SET_MDWE"
may_lack uring "the kernel has no io_uring"

# A process that is stopped stays stopped, in the new version.
victim_start "$scratch/plain.1" spin epoll recv sigwait
verdict $? "stopped: starts"
is_stopped() {
	grep -q '^State:.*T (stopped)' "/proc/$victim/status"
}
kill -STOP "$victim"
check "stopped: is stopped" within 5 is_stopped
check "stopped: apply" apply plain
sleep 0.1
check "stopped: is stopped as before" is_stopped
kill -CONT "$victim"
check "stopped: runs the new version" runs_version 2
kill -STOP "$victim"
within 5 is_stopped
check "stopped: revert" revert plain
sleep 0.1
check "stopped: is stopped again" is_stopped
kill -CONT "$victim"
check "stopped: runs the old version" runs_version 1
victim_stop
verdict $? "stopped: ends by itself"

exit "$((failures > 0))"
