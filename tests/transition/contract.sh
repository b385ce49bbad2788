#!/bin/bash
# What is promised of each thread: while it is inside of old code everything that it calls is old, and the very next call
# after that is new; who is outside is new all the while. Whatever way a thread leaves by, and whatever happens meanwhile.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 24

build_contract two:-DFAMILY=2 >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

# Worker 0 waits in fa of the old version, stent waits for it.
begin_transition() {	# KIND
	contract_start "$1" && begin_apply two --timeout 20 && waits_for two installing 0 old fa
}

# It has gone on as it should, and all is done.
completes() {	# LOG
	within 5 says "$1" "log 0" && job_ends 0 && in_state two active && runs_family 2 && sound
}

next_call() {	# TIMES
	local times
	for ((times = 0; times < $1; times++)); do
		begin_transition pair && says ok "send 0 g" && completes 'a1h1b2\.' || return 1
		contract_stop || return 1
	done
}

next_call_back() {	# TIMES
	local times
	for ((times = 0; times < $1; times++)); do
		contract_start && apply_ends 0 two && enter 0 pair a2 && begin revert two --timeout 20 &&
			waits_for two reverting 0 new fa && says ok "send 0 g" && within 5 says 'a2h2b1\.' "log 0" &&
			job_ends 0 && in_state two reverted && runs_family 1 && text_is_old && sound || return 1
		contract_stop || return 1
	done
}

outside() {
	contract_start pair && says ok "walk 4" && begin_apply two --timeout 20 && waits_for two installing 0 old fa &&
		walkers_call_only 2 && runs_family 2 && says a1 "log 0" &&
		says ok "create 3" && within 5 says 'b2\.' "log 3" && job_runs &&
		says ok "send 0 g" && completes 'a1h1b2\.' && walkers_call_only 2
}

outside_back() {
	contract_start && says ok "walk 4" && apply_ends 0 two && enter 0 pair a2 && begin revert two --timeout 20 &&
		waits_for two reverting 0 new fa && walkers_call_only 1 && runs_family 1 &&
		says ok "create 3" && within 5 says 'b1\.' "log 3" && job_runs &&
		says ok "send 0 g" && within 5 says 'a2h2b1\.' "log 0" && job_ends 0 && text_is_old && sound
}

# Also a thread that an old one creates, from within old code: its stack is empty.
creates() {
	begin_transition pair && says ok "send 0 t" && within 5 says 'b2\.' "log 4" && job_runs &&
		says ok "send 0 g" && completes 'a1h1b2\.'
}

# Several in one function, who leave one after the other: each is moved on its own.
several() {
	local i
	contract_start && enter 0 pair a1 && enter 1 pair a1 && enter 2 pair a1 && begin_apply two --timeout 20 || return 1
	for i in 0 1 2; do
		waits_for two installing "$i" old fa || return 1
	done
	sleep 1.5	# for each of them to be watched
	for i in 2 0 1; do
		job_runs && says ok "send $i g" && within 5 says 'a1h1b2\.' "log $i" || return 1
	done
	completes 'a1h1b2\.'
}

# Forty who leave at the same moment, each of them through its own breakpoint.
crowd() {
	local i
	contract_start || return 1
	for i in {24..63}; do
		enter "$i" pair a1 || return 1
	done
	begin_apply two --timeout 20 && within 10 are_armed 40 && sleep 0.2 || fails "$(cat "$scratch/job")" || return 1
	for i in {24..63}; do
		echo "send $i g" >&"$victim_in"
	done
	for i in {24..63}; do
		read -t 10 -r _ <&"$victim_out" || return 1
	done
	for i in {24..63}; do
		within 5 says 'a1h1b2\.' "log $i" || fails "$(cat "$scratch/job")" || return 1
	done
	job_ends 0 && in_state two active && sound
}

# glibc gives a new thread the stack, and so the thread pointer, of one that has ended; its entry is still there, and old.
successor() {
	local pointer
	contract_start pair && enter 1 pair a1 && begin_apply two --timeout 20 && waits_for two installing 0 old fa &&
		pointer=$(ask "pointer 1") && says ok "send 1 e" && says ok "join 1" && enter 2 outside o || return 1
	says "$pointer" "pointer 2" && says ok "send 2 g" && within 5 says 'o(b1)?b2' "log 2" && job_runs && says a1 "log 0" &&
		says ok "send 0 g" && completes 'a1h1b2\.'
}

# While it is looked at, again and again.
polling() {
	begin_transition polling && sleep 1 && says ok "send 0 g" && completes 'a1h1b2\.'
}

# It can't have a breakpoint.
blocking() {
	contract_start blocking && begin_apply two --timeout 20 && within 5 in_state two installing && within 5 stays 0 old fa && sleep 0.5 &&
		says ok "send 0 g" && completes 'a1h1(b1)?b2'
}

# What the process does with signals.
dispositions() {
	grep '^Sig[IC]' "/proc/$victim/status"
}

# A program with a handler for SIGTRAP gets no breakpoints, and all of its own signals.
own_traps() {
	local before
	contract_start lingering && says 0 traps && before=$(dispositions) && begin_apply two --timeout 20 &&
		within 5 in_state two installing && within 5 stays 0 old fa && says ok "send 0 TTTT" && within 5 says 4 traps && job_runs &&
		says ok "send 0 TTg" && completes 'a1h1(b1)?b2' && says 6 traps && treats_signals "$before"
}

treats_signals() {	# AS-BEFORE
	[ "$(dispositions)" = "$1" ] || fails "before: $1; after: $(dispositions)"
}

restores_traps() {
	local before
	contract_start pair && before=$(dispositions) && begin_apply two --timeout 20 && waits_for two installing 0 old fa &&
		says ok "send 0 g" && completes 'a1h1b2\.' && treats_signals "$before"
}

restores_traps_killed() {
	local before
	contract_start pair && before=$(dispositions) && begin_apply two --timeout 20 && waits_for two installing 0 old fa &&
		kill_job && begin_apply two --timeout 20 && waits_for two installing 0 old fa && says ok "send 0 g" && completes 'a1h1b2\.' &&
		treats_signals "$before"
}

recursive() {
	contract_start && enter 0 recursive a1b1a1 && begin_apply two --timeout 20 && waits_for two installing 0 old fa &&
		says ok "send 0 g" && completes 'a1b1a1h1B1h1b2\.'
}

# No breakpoint sees these, so some calls may still be old; but of one version, and not for long.
jumps() {
	begin_transition jumper && says ok "send 0 l" && completes 'a1j(b1)?b2'
}

cancelled() {
	begin_transition pair && says ok "cancel 0" && completes 'a1kb[12]'
}

exits() {	# BYTE LOG
	begin_transition pair && says ok "send 0 $1" && completes "$2"
}

# Its handler runs in the middle of fa, and old; each signal once, and in order. (stent may take the breakpoint away, because
# each signal stops a thread that has one; so calls of fb just behind fa may be old.)
signalled() {
	local signalled=5000
	contract_start signalled && says ok "signals $signalled" && begin_apply two --timeout 20 && within 5 in_state two installing &&
		stays 0 old fa &&
		says 'a1b1' "log 0" && says ok "send 0 g" && within 5 says 'a1b1h1(b1)?b2' "log 0" && job_ends 0 &&
		within 10 says "$signalled $signalled" signalled && says 'a1b1h1(b1)?b2' "log 0" && sound
}

# One that is watched is stopped for its tracer, too.
is_stopped() {	# TID
	grep -qE '^State:[[:space:]]*[Tt] \((tracing stop|stopped)\)' "/proc/$victim/task/$1/status" ||
		fails "thread $1: $(grep ^State "/proc/$victim/task/$1/status")"
}

# All threads stay stopped, also those that stent has looked at.
stopped() {
	local tid
	begin_transition pair && tid=$(ask "tid 0") && kill -STOP "$victim" &&
		within 5 is_stopped "$victim" && within 5 is_stopped "$tid" || return 1
	sleep 1
	is_stopped "$victim" && is_stopped "$tid" && job_runs && kill -CONT "$victim" &&
		says a1 "log 0" && says ok "send 0 g" && completes 'a1h1b2\.'
}

stopped_before() {
	local tid
	contract_start pair && tid=$(ask "tid 0") && kill -STOP "$victim" && within 5 is_stopped "$tid" && begin_apply two --timeout 20 &&
		within 5 in_state two installing || return 1
	sleep 1
	is_stopped "$victim" && is_stopped "$tid" && job_runs && kill -CONT "$victim" &&
		says a1 "log 0" && runs_family 2 && says ok "send 0 g" && within 5 says 'a1h1b[12]\.' "log 0" &&
		job_ends 0 && in_state two active && runs_family 2 && sound
}

is_zombie() {
	grep -q '^State:.*Z' "/proc/$victim/task/$victim/status"
}

# The first thread is the one that is waited for, and ends; the others live on.
leader() {
	victim_start "$scratch/contract.one" leader && within 5 says a1 "log 0" && begin_apply two --timeout 20 &&
		waits_for two installing 0 old fa && says ok "send 0 $1" && within 5 is_zombie && job_ends 0 &&
		in_state two active && runs_family 2 && sound
}

leaderless() {
	victim_start "$scratch/contract.one" leader && within 5 says a1 "log 0" && says ok "send 0 e" && within 5 is_zombie &&
		enter 1 pair a1 && begin_apply two --timeout 20 && waits_for two installing 1 old fa && runs_family 2 &&
		says ok "send 1 g" && within 5 says 'a1h1b2\.' "log 1" && job_ends 0 && in_state two active && sound
}

scenario "fa goes on with the old helper, and the very next call of fb is new, five times" next_call 5
scenario "the same in the other direction" next_call_back 5
scenario "threads outside, and one created there, are new all the while" outside
scenario "and old all the while that a patch goes out" outside_back
scenario "a thread that old code creates is new" creates
scenario "three threads in the same function: each is new as soon as it has left" several
scenario "forty threads in it, which leave at the same moment" crowd
scenario "a thread with the thread pointer of an old one that has ended" successor
scenario "a thread that waits with time-outs has no other result" polling
scenario "a thread that blocks SIGTRAP" blocking
scenario "SIGTRAPs that the program sends itself" own_traps
scenario "SIGTRAP is treated as before" restores_traps
scenario "SIGTRAP is treated as before, though a stent was killed" restores_traps_killed
scenario "fa called by fb called by fa: all old till the outermost has returned" recursive
scenario "longjmp out of fa" jumps
scenario "pthread_cancel of a thread that waits in fa" cancelled
scenario "pthread_exit in fa" exits e 'a1kb[12]'
scenario "a thread that ends in fa without a word" exits E a1
scenario "signals all the while: none is lost, all in order" signalled
scenario "SIGSTOP and SIGCONT during the transition" stopped
scenario "SIGSTOP before it" stopped_before
scenario "the first thread is waited for, and ends" leader e
scenario "the same, and it ends without a word" leader E
scenario "the first thread has ended before" leaderless

exit "$((failures > 0))"
