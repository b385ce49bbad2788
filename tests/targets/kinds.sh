#!/bin/bash
# Every kind of process that production has: what is taken is patched, does the new thing, and is what it was when the patch is out again.
# What can't be is refused with its own reason, and goes on as before. docs/targets.md has the table.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/targets/taken.sh
. "$top/tests/targets/taken.sh"
# shellcheck disable=SC2154 # from victims.sh

plain=$scratch/plain.1
build() {
	build_pair plain && build_pair static -static && build_pair static_pie -static-pie -fPIE && build_pair fixed -no-pie -fno-pie &&
		build_pair norelro -Wl,-z,norelro && build_pair now -Wl,-z,now,-z,relro && build_pair prelinked -Wl,-Ttext-segment=0x2000000 && build_pair cet -fcf-protection=full &&
		build_pair stripped -s && build_pair lld_like -Wl,-z,noseparate-code && build_pair sanitized -fsanitize=address
}

in_empty_root() {	# A root folder with one static program in it, which is removed once it runs
	mkdir -p "$scratch/root"
	cp "$scratch/static.1" "$scratch/root/program"
	victim_start chroot "$scratch/root" /program spin nanosleep
	local status=$?
	rm -rf "$scratch/root"
	return "$status"
}

# A group of processes whose memory is limited (cgroups(7)), in $group. False: none can be made here, and $why says why.
make_group() {
	local folder file
	for folder in /sys/fs/cgroup/memory /sys/fs/cgroup; do
		group=$folder/stent-kinds.$$
		[ -e "$folder/memory.stat" ] && mkdir "$group" 2>"$scratch/group" || continue
		for file in memory.max memory.limit_in_bytes; do
			[ ! -e "$group/$file" ] || { group_limit=$file; return 0; }
		done
		rmdir "$group"
	done
	group='' why="no memory cgroup can be made here: $(tail -n 1 "$scratch/group" 2>/dev/null)"
	return 1
}

# Whoever is in it, this script has put there.
end_group() {
	local pid
	[ -d "${group-}" ] || return
	while read -r pid; do
		kill -KILL "$pid"
	done <"$group/cgroup.procs"
	within 5 rmdir "$group" 2>/dev/null
}
trap 'status=$?; end_group; (exit $status); clean_up' EXIT

in_group() {	# COMMAND...
	# shellcheck disable=SC2016 # the inner shell's
	"${run:-command}" sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

set_limit() {	# BYTES-MORE-THAN-USED
	{ echo $(($(group_usage) + $1)) >"$group/$group_limit"; } 2>/dev/null
}

# So little that the next pages that somebody makes cost a life. (A limit that is below what has come to be used is not taken: EBUSY.)
leave_only() {	# BYTES
	within 5 set_limit "$1"
}

group_usage() {
	cat "$group"/memory.{current,usage_in_bytes} 2>/dev/null
}

plan 50
check "all victims are built" build

taken "static" static "$scratch/static.1" spin nanosleep
taken "static-pie" static_pie "$scratch/static_pie.1" spin nanosleep
taken "at a fixed address" fixed "$scratch/fixed.1" spin nanosleep
taken "without relro" norelro "$scratch/norelro.1" spin nanosleep
taken "full relro" now "$scratch/now.1" spin nanosleep
taken "linked for an address, as prelink did" prelinked "$scratch/prelinked.1" spin nanosleep
taken "with endbr64" cet "$scratch/cet.1" spin nanosleep
taken "stripped" stripped "$scratch/stripped.1" spin nanosleep
taken "text and data in one segment's pages" lld_like "$scratch/lld_like.1" spin nanosleep
taken "run by the dynamic linker" plain /lib64/ld-linux-x86-64.so.2 "$plain" spin nanosleep

taken_in() {	# WHAT OPTION-OF-UNSHARE...
	local what=$1
	shift
	if unshare "$@" true 2>"$scratch/unshare"; then
		taken "$what" plain unshare "$@" "$plain" spin nanosleep
	else
		skip "$what" "$(cat "$scratch/unshare")"
	fi
}

taken_in "in a mount namespace" --mount
taken_in "in a pid namespace, its process 1" --pid --fork --kill-child --mount-proc
taken_in "in user and network namespaces" --user --map-root-user --net
taken_in "in all namespaces" --user --map-root-user --net --ipc --uts --cgroup --mount --pid --fork --kill-child --mount-proc
if in_empty_root; then
	inner_victim
	check "in a root folder that is gone" works_in_turn static
	finish_victim
else
	not_ok "in a root folder that is gone: starts"
fi
cp "$plain" "$scratch/deleted"
victim_start "$scratch/deleted" spin nanosleep
rm "$scratch/deleted"
wrapper=$victim
check "its file is deleted" works_in_turn plain
finish_victim
cp "$plain" "$scratch/replaced"
victim_start "$scratch/replaced" spin nanosleep
cp "$scratch/plain.2" "$scratch/newer" && mv "$scratch/newer" "$scratch/replaced"
wrapper=$victim
check "its file is replaced" works_in_turn plain
finish_victim

taken "not dumpable" plain "$plain" spin nanosleep nodump
taken "of another user, without capabilities" plain "$plain" nobody spin nanosleep
taken "no new privileges, no capabilities" plain setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$plain" spin nanosleep
taken "a seccomp filter kills it when it maps or protects memory" plain "$plain" spin nanosleep filtered
taken "memory that is writable and executable is forbidden" plain "$plain" hardened spin nanosleep
refused "no address space left" plain "memory" "$plain" spin nanosleep limited
taken "10,000 mappings" plain "$plain" spin nanosleep mapped
refused "its file is mapped a second time" plain "more than once" "$plain" spin nanosleep twice
taken "1,000 threads" plain "$plain" spin nanosleep crowd
taken "all signals blocked" plain "$plain" quiet spin nanosleep
taken "text copied into huge pages" plain "$plain" spin nanosleep huge
refused "no room within reach" plain "no free place" "$plain" crowded
taken "nice, idle and on one processor" plain nice -n 19 chrt --idle 0 taskset 1 "$plain" spin nanosleep
taken "at a real-time priority" plain chrt --fifo 1 "$plain" nanosleep
taken "AddressSanitizer" sanitized "$scratch/sanitized.1" spin nanosleep

# What stent makes in a process is charged to the process's group, and where that is at its limit the kernel kills for it.
gives_back() {
	runs_version 2 && revert plain && runs_version 1
}

is_limited() {
	echo $((64 << 20)) >"$group/$group_limit"
	run=victim_start in_group "$plain" spin nanosleep
	wrapper=$victim
	leave_only 65536
	check "in a group at its limit: refused" is_refused plain "near the limit of its memory: $group leaves"
	echo $((64 << 20)) >"$group/$group_limit"
	check "given more, it takes it" apply plain
	leave_only 65536
	check "at its limit it can be taken out: what is written to is its own" gives_back
	finish_victim
	# Until the limit is reached; what was written but once can be given back.
	echo $((64 << 20)) >"$group/$group_limit"
	run=victim_start in_group "$plain" spin nanosleep
	wrapper=$victim
	in_group head -c $((80 << 20)) /dev/zero >"$scratch/large"
	sync "$scratch/large"
	if [ $(($(group_usage) + (2 << 20))) -gt $((64 << 20)) ]; then
		check "in a group that is full of what it has written" works_in_turn plain
	else
		skip "in a group that is full of what it has written" "its memory holds no pages of $scratch"
	fi
	finish_victim
	check "nobody of the group was killed" [ "$(sed -n 's/^oom_kill //p' "$group"/memory.{oom_control,events} 2>/dev/null)" = 0 ]
	rm "$scratch/large"
}
if make_group; then
	is_limited
else
	for what in "at its limit" "given more" "at its limit: taken out" "full of what it has written" "nobody killed"; do
		skip "in a group $what" "$why"
	done
fi

# A second copy of a library in a namespace of its own.
build_library() {
	local version
	for version in 1 2; do
		mkdir -p "$scratch/library/$version"
		"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -pthread -Wl,--build-id -shared -fPIC -Wl,-soname,libvictim.so -DVERSION=$version \
			-Dmain=victim_main -o "$scratch/library/$version/libvictim.so" "$top/tests/live/victim.c" || return 1
	done
	"${CC:-gcc}" -D_GNU_SOURCE -O2 -o "$scratch/loader" -x c - <<-'SOURCE' && limit 60 "$stent" diff "$scratch"/library/{1,2}/libvictim.so -o "$scratch/library.stent" --name library
		#include <dlfcn.h>
		int main(int count, char **arguments)
		{
			void *library = 0;

			for (const char *at = arguments[1]; *at; at++)
				library = dlmopen(*at == 'n' ? LM_ID_NEWLM : LM_ID_BASE, arguments[2], RTLD_NOW);
			return library ? ((int (*)(int, char **))dlsym(library, "victim_main"))(count - 2, arguments + 2) : 2;
		}
	SOURCE
}
check "a library and its loader are built" build_library
taken "a library opened while it runs" library "$scratch/loader" b "$scratch/library/1/libvictim.so" spin nanosleep
taken "a library in a namespace of its own (dlmopen)" library "$scratch/loader" n "$scratch/library/1/libvictim.so"
refused "a library that is there twice (dlmopen)" library "more than once" "$scratch/loader" nn "$scratch/library/1/libvictim.so"

# Tools at work on a process that is patched: they see it, and it goes on.
with_tool() {	# WHAT TOOL COMMAND...
	local what=$1 tool=$2
	shift 2
	if command -v "$tool" >/dev/null; then
		check "$what" "$@"
	else
		skip "$what" "$tool is not installed"
	fi
}

under_gdb() {
	limit 60 gdb -p "$victim" -batch -nx -ex 'thread apply all backtrace' >"$scratch/gdb" 2>&1
	grep -q '^#0' "$scratch/gdb" && runs_version 2
}

under_strace() {
	limit 2 strace -f -p "$victim" -o "$scratch/strace" >"$scratch/output" 2>&1
	[ -s "$scratch/strace" ] && runs_version 2
}

under_perf() {
	limit 30 perf record -q -F 997 -g -p "$victim" -o "$scratch/perf.data" -- sleep 0.5 >"$scratch/output" 2>&1
	runs_version 2
}

is_refused_while_traced() {
	local status
	strace -f -p "$victim" -o "$scratch/strace" >"$scratch/output" 2>&1 &
	local tracer=$!
	started_all+=("$tracer")
	within 5 grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$victim/status"
	ends_with 2 revert plain >"$scratch/refusal" 2>&1 && grep -q "traced by strace" "$scratch/refusal"
	status=$?
	kill "$tracer"
	wait "$tracer" 2>/dev/null
	return "$status"
}

victim_start "$plain" spin nanosleep poll	# not signals: strace loses one when it is ended in its stop
wrapper=$victim
check "with tools: apply" apply plain
with_tool "gdb shows its stacks" gdb under_gdb
with_tool "strace shows its calls" strace under_strace
with_tool "perf samples it" perf under_perf
with_tool "a process that strace holds: refused" strace is_refused_while_traced
check "with tools: revert" revert plain
check "with tools: runs the old version" runs_version 1
finish_victim
if command -v valgrind >/dev/null; then
	refused "under Valgrind" plain "runs under Valgrind" valgrind -q "$plain" nanosleep
else
	skip "under Valgrind: refused" "valgrind is not installed"
fi
exit "$((failures > 0))"
