#!/bin/bash
# Processes that come and go while a transition lasts: children by fork and vfork, exec, and the end of the target.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 27

build_contract two:-DFAMILY=2 >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

begin_transition() {	# KIND OPTION...
	local kind=$1
	shift
	contract_start "$kind" && begin_apply two --timeout 20 "$@" && waits_for two installing 0 old fa
}

# Worker N forks; the child, which waits where it did, is in $child.
forks() {	# N LOG-OF-CHILD
	says ok "send $1 f" && within 5 says "$2" "log $(($1 + 8))" && child=$(ask "child $1")
}

child_is() {	# STATE
	process_is "$child" two "$1"
}

# A child that has the half-done state is finished, too. Until then it is old, and consistently so.
fork_inside() {
	begin_transition pair && forks 0 f && says ok "send 0 g" && within 5 says 'a1h1b2\.' "log 0" &&
		says f "log 8" && says ok "send 8 g" && within 8 says 'fh1(b1)?b2' "log 8" && job_ends 0 &&
		in_state two active && child_is active && runs_family 2 && sound
}

fork_inside_reverting() {
	contract_start && apply_ends 0 two && enter 0 pair a2 && begin revert two --timeout 20 && waits_for two reverting 0 new fa &&
		forks 0 f && says ok "send 0 g" && within 5 says 'a2h2b1\.' "log 0" &&
		says f "log 8" && says ok "send 8 g" && within 8 says 'fh2(b2)?b1' "log 8" && job_ends 0 &&
		in_state two reverted && child_is reverted && runs_family 1 && text_is_old && sound
}

# The child goes first, the parent stays.
fork_child_first() {
	begin_transition pair && forks 0 f && says ok "send 8 g" && within 8 says 'fh1(b1)?b2' "log 8" &&
		says a1 "log 0" && job_runs && says ok "send 0 g" && within 5 says 'a1h1b2\.' "log 0" && job_ends 0 &&
		child_is active && runs_family 2 && sound
}

fork_outside() {
	begin_transition pair && enter 1 outside o && forks 1 f && says ok "send 9 g" && within 5 says 'fb2' "log 9" &&
		says ok "send 0 g" && within 5 says 'a1h1b2\.' "log 0" && job_ends 0 && child_is active &&
		says fb2 "log 9" && runs_family 2 && sound
}

# When stent has been killed, the child is finished by the next one that is told to.
fork_and_die() {
	begin_transition pair && forks 0 f && kill_job && child_is installing && says ok "send 8 g" && within 5 says 'fh1b1' "log 8" &&
		limit 30 "$stent" apply "$scratch/two.stent" -p "$child" --timeout 8 && child_is active && within 5 says 'fh1b1b2' "log 8" &&
		in_state two installing && says a1 "log 0" && revert_ends 0 two && text_is_old &&
		says ok "send 0 g" && within 5 says 'a1h1b1\.' "log 0" && runs_family 1 && child_is active && sound
}

# SIGTRAP, which stent has its targets ignore as long as breakpoints are armed.
ignores_traps() {	# PID
	local ignored
	ignored=$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$1/status") && ((16#$ignored & 0x10))
}

fork_ignoring() {
	begin_transition pair && forks 0 f && { ignores_traps "$child" || fails "nothing to put back"; } && says ok "send 0 g" &&
		within 5 says 'a1h1b2\.' "log 0" && says ok "send 8 g" && job_ends 0 && child_is active &&
		! ignores_traps "$victim" && ! ignores_traps "$child" && sound
}

# A child of the child, which leaves first; all three are in old code until then.
fork_twice() {
	local grandchild
	begin_transition pair && forks 0 f && forks 8 f && grandchild=$child && says ok "send 16 g" &&
		within 8 says 'fh1(b1)?b2' "log 16" && says f "log 8" && says ok "send 8 g" && within 8 says 'fh1(b1)?b2' "log 8" &&
		says a1 "log 0" && job_runs && says ok "send 0 g" && job_ends 0 && child_is active && [ "$grandchild" != "$(ask "child 0")" ] &&
		child=$(ask "child 0") && child_is active && sound
}

# The child of a child that has ended at once: its parent is another one by now.
fork_orphan() {
	begin_transition pair && forks 0 f && says ok "send 8 O" && within 5 says f "log 16" && orphan=$(ask "child 8") &&
		says ok "send 16 g" && within 8 says 'fh1(b1)?b2' "log 16" &&
		says ok "send 0 g" && job_ends 0 && child=$orphan && child_is active && sound
}

with_orphan() {
	local status orphan=''
	fork_orphan
	status=$?
	[ -z "$orphan" ] || kill -KILL "$orphan"	# nobody waits for it, but init: it lives until then
	return $status
}

# The parent never leaves: the child, which has arrived, goes back with it.
gives_up_with_child() {
	contract_start pair && begin_apply two --timeout 4 && waits_for two installing 0 old fa && forks 0 f &&
		says ok "send 8 g" && within 3 child_is active && job_ends 4 12 && child_is reverted && in_state two reverted &&
		text_is_old && runs_family 1 && within 2 child_runs_old && says ok "send 0 g" && within 5 says 'a1h1b1\.' "log 0" && sound
}

# Only changes are in the log of a child, and there are no more.
child_runs_old() {
	says 'fh1(b1)?b2b1' "log 8"
}

# Neither leaves.
both_give_up() {
	contract_start pair && begin_apply two --timeout 3 && waits_for two installing 0 old fa && forks 0 f && job_ends 4 15 &&
		child_is reverted && in_state two reverted && says ok "send 8 g" && within 5 says 'fh1b1' "log 8" &&
		says ok "send 0 g" && within 5 says 'a1h1b1\.' "log 0" && sound
}

# The child never leaves, and its parent is not taken back for that.
child_gives_up() {
	contract_start pair && begin_apply two --timeout 4 && waits_for two installing 0 old fa && forks 0 f &&
		says ok "send 0 g" && within 5 says 'a1h1b2\.' "log 0" && job_ends 4 15 && grep -q "process $child " "$scratch/job" &&
		in_state two active && child_is reverted && says ok "send 8 g" && within 5 says 'fh1b1' "log 8" && runs_family 2 && sound
}

# What the child has executed needs nothing.
child_executes() {
	begin_transition pair && forks 0 f && says ok "send 8 X" && within 5 grep -q sleep "/proc/$child/comm" &&
		says ok "send 0 g" && within 5 says 'a1h1b2\.' "log 0" && job_ends 0 && in_state two active && sound
}

child_ends() {
	begin_transition pair && forks 0 f && kill -KILL "$child" && says ok "send 0 g" && within 5 says 'a1h1b2\.' "log 0" &&
		job_ends 0 && in_state two active && sound
}

# A stent was killed, its target ended well by another one, and the child left: the next one finds it.
found_later() {
	begin_transition pair && forks 0 f && kill_job && says ok "send 0 g" && says ok "send 8 g" &&
		within 5 says 'fh1b1' "log 8" && apply_ends 0 two --timeout 8 && child_is active && in_state two active &&
		within 5 says 'fh1b1b2' "log 8" && apply_ends 3 two && sound
}

tree() {
	contract_start pair && forks 0 f && begin_apply two --timeout 20 --tree && within 10 in_state two installing &&
		within 10 child_is installing && says ok "send 8 g" && within 8 says 'fh1(b1)?b2' "log 8" &&
		says a1 "log 0" && job_runs && says ok "send 0 g" && within 8 says 'a1h1b[12]\.' "log 0" && job_ends 0 &&
		in_state two active && child_is active && runs_family 2 && sound
}

tree_reverting() {
	contract_start && apply_ends 0 two && enter 0 pair a2 && forks 0 f && child_is active && begin revert two --timeout 20 --tree &&
		within 10 in_state two reverting && within 10 child_is reverting &&
		says ok "send 0 g" && within 8 says 'a2h2b[12]\.' "log 0" && job_runs && says ok "send 8 g" &&
		within 8 says 'fh2(b2)?b1' "log 8" && job_ends 0 && in_state two reverted && child_is reverted && text_is_old && sound
}

holds_none() {	# PID
	limit 10 "$stent" status -p "$1" | grep -q "holds no patch"
}

status_of_tree() {	# PATTERN...
	local pattern
	limit 20 "$stent" status -p "$victim" --tree >"$scratch/status" || return 1
	for pattern; do
		grep -q "$pattern" "$scratch/status" || fails "$(cat "$scratch/status")" || return 1
	done
	limit 20 "$stent" status -p "$victim" --tree --json | grep -q "\"pid\": $child"
}

# One process of the tree is refused: it is named and as it was, and the others are done.
tree_refused() {
	local lock
	contract_start pair && forks 0 f && says ok "send 0 g" && exec {lock}<"/proc/$child/personality" && flock -n "$lock" || return 1
	ends_with 2 apply two --tree >"$scratch/job" 2>&1 && status_of_tree "$victim .* active " "$child .* no patch" "1 patch in 1 of 2" && grep -q "process $child .*another stent" "$scratch/job" &&
		grep -q "1 done.* 1 refused" "$scratch/job" && in_state two active && holds_none "$child"
	local status=$?
	exec {lock}>&-
	[ $status = 0 ] || return 1
	says ok "send 8 g" && apply_ends 0 two --tree && child_is active && apply_ends 3 two --tree &&
		revert_ends 0 two --tree && child_is reverted && text_is_old && revert_ends 2 two --tree && sound
}

# One does not leave old code in time.
tree_gives_up() {
	contract_start pair && forks 0 f && says ok "send 0 g" && apply_ends 4 two --tree --timeout 2 && in_state two active &&
		child_is reverted && runs_family 2 && says ok "send 8 g" && within 5 says 'fh1b1' "log 8" && sound
}

# The process that is named has not the image, and neither have other children of its.
tree_below() {
	local program
	victim_start bash -c 'sleep 30 & "$1"; kill %1' bash "$scratch/contract.one" &&
		within 5 child_named contract.one >/dev/null && program=$(child_named contract.one) && apply_ends 0 two --tree &&
		limit 10 "$stent" status -p "$program" | grep -q "^two: active" && runs_family 2 && revert_ends 0 two --tree && runs_family 1 &&
		ends_with 2 revert other --tree && sound
}

# The child of the victim that runs this.
child_named() {	# NAME
	local pid
	for pid in $(cat "/proc/$victim/task/$victim/children"); do
		[ "$(cat "/proc/$pid/comm")" != "$1" ] || { echo "$pid"; return 0; }
	done
	return 1
}

no_tree() {
	local pid
	sleep 0 &
	pid=$!
	wait "$pid"
	ends_with 1 limit 10 "$stent" revert two -p "$pid" --tree && ends_with 1 limit 10 "$stent" revert two --all --tree
}

# The child runs in this very memory, and further down this very stack.
vfork_before() {
	contract_start pair && says ok "send 0 v" && begin_apply two --timeout 20 && within 8 says 'a1vb1b1V' "log 0" &&
		waits_for two installing 0 old fa && says ok "send 0 g" && within 5 says 'a1vb1b1Vh1b2\.' "log 0" && job_ends 0 && sound
}

vfork_inside() {
	begin_transition pair && says ok "send 0 v" && within 8 says 'a1vb1b1V' "log 0" && job_runs && within 5 are_armed 1 &&
		sleep 0.1 && says ok "send 0 g" && within 5 says 'a1vb1b1Vh1b2\.' "log 0" && job_ends 0 && runs_family 2 && sound
}

vfork_outside() {
	begin_transition pair && enter 1 outside o && says ok "send 1 v" && within 8 says 'ovb2b2V' "log 1" && job_runs &&
		says ok "send 0 g" && within 5 says 'a1h1b2\.' "log 0" && job_ends 0 && runs_family 2 && sound
}

# Worker N calls exec, perhaps before it is said that it was told to.
calls_exec() {	# N
	echo "send $1 x" >&"$victim_in"
	read -t 1 -r _ <&"$victim_out"
	return 0
}

# Nothing of the patch is left, and it can be had again.
executes() {
	begin_transition pair && calls_exec 0 && job_ends 1 && runs_family 1 && text_is_old &&
		enter 0 pair a1 && begin_apply two --timeout 20 && waits_for two installing 0 old fa && says ok "send 0 g" &&
		within 5 says 'a1h1b2\.' "log 0" && job_ends 0 && runs_family 2 && sound
}

executes_outside() {
	begin_transition pair && enter 1 outside o && calls_exec 1 && job_ends 1 && runs_family 1 && text_is_old && sound
}

killed() {
	begin_transition pair && kill -KILL "$victim" && job_ends 1
}

ends() {
	begin_transition pair && contract_stop && job_ends 1
}

scenario "a child by fork of the thread that is waited for is finished, too" fork_inside
scenario "the same in the other direction" fork_inside_reverting
scenario "the same, and the child leaves before its parent" fork_child_first
scenario "a child of a thread that is new is new" fork_outside
scenario "a child whose stent was killed is finished by the next, and its parent turned round" fork_and_die
scenario "SIGTRAP is in the child what it was" fork_ignoring
scenario "a child of the child" fork_twice
scenario "a child of a child that has ended" with_orphan
scenario "a child that has arrived goes back with its parent" gives_up_with_child
scenario "neither arrives in time" both_give_up
scenario "the child does not arrive in time" child_gives_up
scenario "the child calls exec" child_executes
scenario "the child is killed" child_ends
scenario "a child that a killed stent left is found by the next, told to work on its parent" found_later
scenario "a process and its child with --tree" tree
scenario "the same in the other direction" tree_reverting
scenario "--tree where one process is refused" tree_refused
scenario "--tree where one process does not arrive in time" tree_gives_up
scenario "--tree of a process that has not the image itself" tree_below
scenario "--tree of a process that is not there, and with --all" no_tree
scenario "a child by vfork lives when the transition begins" vfork_before
scenario "the thread that is waited for has a child by vfork" vfork_inside
scenario "a thread that is new has a child by vfork" vfork_outside
scenario "the thread that is waited for calls exec" executes
scenario "a thread that is new calls exec" executes_outside
scenario "the target is killed" killed
scenario "the target ends" ends

exit "$((failures > 0))"
