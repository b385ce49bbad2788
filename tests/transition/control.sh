#!/bin/bash
# Ways to control a transition: going on later, turning round, giving up, all threads at once, by force; and stents that die.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 21

build_contract two:-DFAMILY=2 >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

begin_transition() {	# KIND
	contract_start "$1" && says ok "walk 4" && begin_apply two --timeout 20 && waits_for two installing 0 old fa
}

leaves() {	# LOG
	says ok "send 0 g" && within 5 says "$1" "log 0"
}

# A transition that has begun, and nobody at work on it; who is still old stays old.
left_alone() {
	contract_start pair && says ok "walk 4" && apply_ends 0 two --no-wait && in_state two installing && stays 0 old fa &&
		walkers_call_only 2 && runs_family 2 && says a1 "log 0"
}

reports() {	# TEXT COMMAND...
	local text=$1
	shift
	"$@" >"$scratch/output" && grep -q "$text" "$scratch/output" || fails "not '$text': $(cat "$scratch/output")"
}

# What it has printed is what it has done.
no_wait_reports() {
	contract_start && says ok "walk 4" && enter 0 pair a1 && reports "patch two is installing in process $victim " apply two --no-wait &&
		says ok "send 0 g" && within 5 says 'a1h1b1\.' "log 0" && reports "patch two is active in process $victim " apply two &&
		enter 1 pair a2 && reports "patch two is reverting in process $victim " revert two --no-wait && says ok "send 1 g" &&
		within 5 says 'a2h2b2\.' "log 1" && reports "patch two is reverted in process $victim " revert two && sound
}

no_wait_apply() {
	left_alone && begin_apply two --timeout 20 && waits_for two installing 0 old fa && leaves 'a1h1b2\.' && job_ends 0 &&
		in_state two active && sound
}

no_wait_leaves() {
	contract_start lingering && says ok "walk 4" && apply_ends 0 two --no-wait && in_state two installing &&
		leaves 'a1h1b1' && sleep 0.3 && says a1h1b1 "log 0" && in_state two installing &&
		apply_ends 0 two && within 5 says a1h1b1b2 "log 0" && in_state two active && walkers_call_only 2 && sound
}

# Everybody who must be old is: no need to wait for anyone.
no_wait_revert() {
	left_alone && revert_ends 0 two --timeout 1 && in_state two reverted && walkers_call_only 1 && says a1 "log 0" &&
		text_is_old && leaves 'a1h1b1\.' && sound
}

no_wait_revert_apply() {
	contract_start && says ok "walk 4" && apply_ends 0 two && enter 0 pair a2 && revert_ends 0 two --no-wait &&
		in_state two reverting && stays 0 new fa && walkers_call_only 1 && apply_ends 0 two --timeout 1 &&
		in_state two active && walkers_call_only 2 && says a2 "log 0" && leaves 'a2h2b2\.' && sound
}

# Nobody can be stopped as long as the child runs in the same memory: that is waited for.
no_wait_begins() {
	left_alone && says ok "send 0 v" && within 5 says 'a1vb1' "log 0" && revert_ends 0 two --no-wait && in_state two reverted &&
		says 'a1vb1b1V' "log 0" && text_is_old && says ok "send 0 g" && within 5 says 'a1vb1b1Vh1b1\.' "log 0" && sound
}

no_wait_is_enough() {
	contract_start && apply_ends 0 two --no-wait && in_state two active && runs_family 2 &&
		revert_ends 0 two --no-wait && in_state two reverted && text_is_old && sound
}

# With two threads inside, one of each version.
back_and_forth() {
	contract_start pair && says ok "walk 4" && apply_ends 0 two --no-wait && enter 1 pair a2 || return 1
	for _ in 1 2 3 4 5; do
		revert_ends 0 two --no-wait && in_state two reverting && stays 1 new fa && runs_family 1 &&
			apply_ends 0 two --no-wait && in_state two installing && stays 0 old fa && runs_family 2 || return 1
	done
	walkers_call_only 2 && begin revert two --timeout 20 && waits_for two reverting 1 new fa && walkers_call_only 1 &&
		says ok "send 1 g" && within 5 says 'a2h2b1\.' "log 1" && job_ends 0 && text_is_old &&
		says a1 "log 0" && leaves 'a1h1b1\.' && sound
}

# What it printed says who was in the way.
names_thread() {
	local tid
	tid=$(ask "tid 0")
	grep -q "thread $tid .*fa" "$scratch/job" || fails "thread $tid and fa are not named: $(cat "$scratch/job")"
}

not_installed() {
	is_in_state two reverted || limit 10 "$stent" status -p "$victim" | grep -q "holds no patch" || fails "$(status_json)"
}

gives_up() {
	contract_start pair && says ok "walk 4" && begin_apply two --timeout 3 && waits_for two installing 0 old fa && walkers_call_only 2 &&
		job_ends 4 && names_thread && not_installed && walkers_call_only 1 && runs_family 1 && text_is_old && leaves 'a1h1b1\.' &&
		apply_ends 0 two && runs_family 2 && sound
}

gives_up_reverting() {
	contract_start && says ok "walk 4" && apply_ends 0 two && enter 0 pair a2 && begin revert two --timeout 3 &&
		waits_for two reverting 0 new fa && walkers_call_only 1 && job_ends 4 && names_thread && in_state two active &&
		walkers_call_only 2 && leaves 'a2h2b2\.' && revert_ends 0 two && text_is_old && sound
}

gives_up_process() {
	local calls
	contract_start pair && says ok "walk 4" && begin_apply two --scope process --timeout 2 && walkers_call_only 1 && job_ends 4 &&
		names_thread && not_installed && walkers_call_only 1 && read -ra calls < <(ask calls) &&
		[ "${calls[1]}" = 0 ] && text_is_old && leaves 'a1h1b1\.' && sound
}

whole_process() {
	local calls
	contract_start pair && says ok "walk 4" && begin_apply two --scope process --timeout 20 && walkers_call_only 1 && job_runs &&
		leaves 'a1h1b[12]\.' && job_ends 0 && in_state two active && walkers_call_only 2 && sound
}

# The mixed call that this may lead to is what --force is for; and the proof that these tests would notice one.
forced() {
	contract_start pair && says ok "walk 4" && apply_ends 0 two --force --timeout 1 && in_state two active &&
		grep -q '"forced":true' < <(status_json) && walkers_call_only 2 && says ok "send 0 g" && within 5 says 'a1M2b2\.' "log 0" &&
		says "1 0" sums
}

not_forced() {
	contract_start && apply_ends 0 two --force --timeout 1 && grep -q '"forced":false' < <(status_json) && runs_family 2 &&
		revert_ends 0 two --force && text_is_old && sound
}

killed_apply() {
	begin_transition pair && kill_job && in_state two installing && walkers_call_only 2 && says a1 "log 0" && begin_apply two --timeout 20 &&
		waits_for two installing 0 old fa && leaves 'a1h1b2\.' && job_ends 0 && in_state two active && sound
}

# Its breakpoint has gone with it: the thread runs on, old.
killed_leaves() {
	begin_transition lingering && kill_job && leaves 'a1h1b1' && sleep 0.3 && says a1h1b1 "log 0" && walkers_call_only 2 && apply_ends 0 two && within 5 says a1h1b1b2 "log 0" &&
		in_state two active && sound
}

killed_revert() {
	begin_transition pair && kill_job && revert_ends 0 two --timeout 1 && in_state two reverted && walkers_call_only 1 && text_is_old && leaves 'a1h1b1\.' && sound
}

interrupted() {	# SIGNAL STATUS
	begin_transition pair && kill "-$1" "$job" && job_ends "$2" && not_installed && walkers_call_only 1 && text_is_old &&
		leaves 'a1h1b1\.' && sound
}

# Someone who wants it to end does not wait as long as the time-out again for a thread that sleeps in new code.
interrupted_with_new_inside() {
	contract_start && says ok "walk 4" && enter 0 pair a1 && begin_apply two --timeout 600 && waits_for two installing 0 old fa &&
		enter 1 pair a2 && kill -TERM "$job" && job_ends 143 6 && grep -q "patch two stays reverting" "$scratch/job" &&
		in_state two reverting && walkers_call_only 1 && says ok "send 1 g" && within 5 says 'a2h2b2\.' "log 1" &&
		revert_ends 0 two && text_is_old && leaves 'a1h1b1\.' && sound
}

second_stent() {
	local status
	begin_transition pair || return 1
	apply two --timeout 2
	status=$?
	[[ $status == [12] ]] || fails "the second stent's exit status is $status" || return 1
	job_runs && walkers_call_only 2 && stays 0 old fa && leaves 'a1h1b2\.' && job_ends 0 && in_state two active && sound
}

scenario "--no-wait says in which state it has left the patch" no_wait_reports
scenario "--no-wait, and apply again" no_wait_apply
scenario "--no-wait, and nobody looks when the thread leaves: it stays old till the next stent" no_wait_leaves
scenario "--no-wait, and revert, which has nobody to wait for" no_wait_revert
scenario "revert --no-wait, and apply, which has nobody to wait for" no_wait_revert_apply
scenario "--no-wait waits until it can begin" no_wait_begins
scenario "--no-wait with nobody inside does it all" no_wait_is_enough
scenario "back and forth with a thread in either version" back_and_forth
scenario "apply gives up when others are new already: all are old again" gives_up
scenario "revert gives up when others are old already: all are new again" gives_up_reverting
scenario "--scope process: nobody is new, and it gives up" gives_up_process
scenario "--scope process: all are new when the last one has left" whole_process
scenario "--force: done at the timeout, recorded, and mixed" forced
scenario "--force that is not needed is not recorded" not_forced
scenario "stent is killed, and apply goes on" killed_apply
scenario "stent is killed, and the thread leaves before apply goes on" killed_leaves
scenario "stent is killed, and revert turns round" killed_revert
scenario "SIGHUP takes everything back" interrupted HUP 129
scenario "SIGTERM takes everything back" interrupted TERM 143
scenario "SIGTERM does not wait for a thread that sleeps in new code" interrupted_with_new_inside
scenario "a second stent is turned away, and the first goes on" second_stent

exit "$((failures > 0))"
