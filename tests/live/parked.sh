#!/bin/bash
# A thread that waits inside of a function that is to be replaced, or taken out: stent gives up, says which
# thread and which function, and leaves nothing behind. When the thread has left, all goes well.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 20

build_pair victim >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

parked_thread() {
	local task
	for task in /proc/"$victim"/task/*; do
		[ "${task##*/}" = "$victim" ] || echo "${task##*/}"
	done
}

names() {	# TID TEXT
	grep -q "^stent: thread $1 (victim.*): in $2$" "$scratch/output" || { cat "$scratch/output"; return 1; }
}

gives_up() {	# COMMAND...
	ends_with 4 "$@" >"$scratch/output" 2>&1 || { cat "$scratch/output"; return 1; }
}

victim_start "$scratch/victim.1" parked
verdict $? "the victim starts, with a thread parked in old code"
thread=$(parked_thread)
check "apply gives up" gives_up apply victim --timeout 1.2
check "and names the thread and the function" names "$thread" park_inside
check "nothing leads to the new code" text_is_file "$victim"
check "which runs the old version" runs_version 1
ask unpark >/dev/null
check "when the thread has left, apply succeeds" apply victim --timeout 5
check "the new version runs" runs_version 2
victim_stop
verdict $? "the victim ends by itself"

# Signals that are ignored come all the time, also while the thread is followed: each wakes it up, because it is traced.
victim_start "$scratch/victim.1" ignoring parked
verdict $? "a victim starts that ignores signals"
check "apply gives up again" gives_up apply victim --timeout 1.5
check "no system call was disturbed" runs_version 1
ask unpark >/dev/null
check "apply succeeds when the thread has left" apply victim --timeout 5
check "and still no system call was disturbed" runs_version 2
victim_stop

# In the other direction, with a thread that went into the function when it was new already.
victim_start "$scratch/victim.1" parked_later
verdict $? "another victim starts"
check "apply" apply victim
ask park >/dev/null
thread=$(parked_thread)
check "revert gives up" gives_up revert victim --timeout 1.2
check "and names the thread and the function" names "$thread" park_inside
check "the patch is still active" is_in_state victim active
ask unpark >/dev/null
check "when the thread has left, revert succeeds" revert victim --timeout 5
check "the old version runs" runs_version 1
exit "$((failures > 0))"
