#!/bin/bash
# What processes that were forked from one another have in common is looked at once: their shared memory, for coroutines that may be suspended in it.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$(dirname "$0")/../victims.sh"
# shellcheck source=tests/crowds.sh
. "$(dirname "$0")/../crowds.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 24
victim_source=kin.c mib=64 children=8

# What the command, and all that it forks, has read, in MiB.
ends_and_reads() {	# STATUS COMMAND...
	local status=$1
	shift
	# shellcheck disable=SC2016 # the inner shell's
	limit 60 bash -c '"$@"; is=$?; awk "/^rchar/ { print int(\$2 / 1048576) }" "/proc/$$/io" >&3; exit $is' - "$stent" "$@" \
		>"$scratch/output" 2>&1 3>"$scratch/read"
	local is=$?
	[ "$is" = "$status" ] || { echo "exit status $is instead of $status"; cat "$scratch/output"; return 1; }
}

reads_less() {	# MIB
	[ "$(cat "$scratch/read")" -lt "$1" ] || { echo "$(cat "$scratch/read") MiB"; return 1; }
}

reads_more() {	# MIB
	! reads_less "$1" >/dev/null || { echo "only $(cat "$scratch/read") MiB"; return 1; }
}

check "two builds" build_pair kin
victim_start "$scratch/kin.1" $children $mib
verdict $? "a process with $children children, and $mib MiB that all of them share"
check "all are patched as a tree" stent_ends 0 apply --timeout 10 "$scratch/kin.stent" -p "$victim" --tree
is_answered ask 20
verdict $? "which shows"
check "and given back" ends_and_reads 0 revert --reclaim 0 --timeout 10 kin -p "$victim" --tree
if "$build/tests/live/hogs" </dev/null | grep -q ready; then
	breakpoints=yes
	check "the shared memory has been read" reads_more $mib
	check "once, and not by each" reads_less $((3 * mib))
else
	skip "the shared memory has been read" "no breakpoints of processors are to be had"
	skip "once, and not by each" "no breakpoints of processors are to be had"
fi
is_answered ask 10
verdict $? "which shows, too"

# Each of stent's children that do the work finds it out for itself, and keeps it for those that it works on next.
processors=$(getconf _NPROCESSORS_ONLN)
# (The machine's other processes are looked at, too, and who else has breakpoints just then has each read for itself: so it may be tried again.)
gives_back_and_reads_less() {	# MIB
	stent_ends 0 apply --timeout 10 "$scratch/kin.stent" --all && ends_and_reads 0 revert --reclaim 0 --timeout 10 kin --all && reads_less "$1"
}
check "all are patched as processes of the machine" stent_ends 0 apply --timeout 10 "$scratch/kin.stent" --all
check "and given back" ends_and_reads 0 revert --reclaim 0 --timeout 10 kin --all
if [ "$processors" -lt 5 ] && [ "${breakpoints-}" ]; then
	check "the shared memory is read no more than once for each processor" within 20 gives_back_and_reads_less $(((processors + 3) * mib))
else
	skip "the shared memory is read no more than once for each processor" "no breakpoints, or too many processors"
fi

is_answered begin 0
verdict $? "one has a coroutine in the shared memory, which is suspended in the function"
check "so they are not patched" stent_ends 4 apply --timeout 1 "$scratch/kin.stent" -p "$victim" --tree
check "for that reason" says 'a suspended context may be in work'
is_answered end 10
verdict $? "it has left the function"
check "so all are patched" stent_ends 0 apply --timeout 10 "$scratch/kin.stent" -p "$victim" --tree
is_answered ask 20
verdict $? "which shows"
victim_stop
verdict $? "they end as they should"

# Memory that is not what it looks like.
for kind in tail segment; do
	if victim_start "$scratch/kin.1" 1 $mib $kind; then
		is_answered begin 0
		check "a coroutine in memory of another kind ($kind): not patched" stent_ends 4 apply --timeout 1 "$scratch/kin.stent" -p "$victim" --tree
		check "for that reason ($kind)" says 'a suspended context may be in work'
	else
		skip "a coroutine in memory of another kind ($kind)" "no such memory is to be had"
		skip "for that reason ($kind)" "no such memory is to be had"
	fi
	victim_stop
done

# Who has no breakpoint waits for one. (Only this shell keeps the hogs' input open.)
patch() {
	exec {feed}>&-
	exec "$stent" apply -v --timeout 5 "$scratch/kin.stent" -p "$victim"
}

victim_start "$scratch/kin.1" 0 300
exec {feed}> >("$build/tests/live/hogs" >"$scratch/hogs")
hogs=$!
started_all+=("$hogs")
within 5 test -s "$scratch/hogs"
start patch >"$scratch/output" 2>&1
if grep -q ready "$scratch/hogs"; then
	sleep 2
	ended "$started" && early=yes
fi
exec {feed}>&-
wait "$started"
result=$?
[ $result = 0 ] || cat "$scratch/output"
verdict $result "with all breakpoints taken for a while it is patched when one is free"
if grep -q ready "$scratch/hogs"; then
	[ ! "${early-}" ] && ! grep -q searched "$scratch/output"
	verdict $? "and no sooner, and its memory was not searched in the stop"
else
	skip "and no sooner" "no breakpoints of processors are to be had"
fi
victim_stop
