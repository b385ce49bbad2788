#!/bin/bash
# Stent is killed at the entry and at the exit of each system call that it makes in apply, revert, replace and upgrade, of processes with one
# thread and with several under load. Each time the process must run on, in one version as a whole, and the next stent (status, then
# in turns the same command and the opposite one) must see what was left and bring it where it should be.
#
#   tests/chaos/chaos.sh		STEP: only each STEP-th point (401: the short form of `make check`; `make chaos` takes all)
# shellcheck source=tests/alone.sh
. "$(dirname "$0")/../alone.sh"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
step=${STEP:-401}
killer=$build/tests/chaos/kill_at
threads=(nanosleep spin poll futex read signals)	# none whose call ends early when its tracer dies: epoll, recv, sigwait
points=0 survived=0 recovered=0 runs=0
start=start_victim

plan 12

one_version() {
	local answer
	answer=$(ask) || { echo "no answer"; return 1; }
	[[ $answer == "1 21 0" || $answer == "2 42 0" || $answer == "3 63 0" ]] || { echo "the answer is '$answer'"; return 1; }
}

# Each brings the process to a version, and knows what exit status is right when it may be there already (3) or without the patch (2).
to_old() {
	local name
	# What lies on top of another one goes first, wherever it is in the list; and what a killed stent has left without a ledger goes with any.
	for name in $(limit 10 "$stent" status -p "$victim" | sed -n 's/^\([^ :]*\): .*/\1/p') victim third; do
		limit 30 "$stent" revert "$name" -p "$victim"
		[[ $? == [023] ]] || return 1
	done
	runs_version 1
}

to_new() {
	brings 2 03 "$stent" apply "$scratch/victim.stent" --replace -p "$victim"
}

to_third() {
	brings 3 03 "$stent" apply "$scratch/third.stent" --replace -p "$victim"
}

upgraded() {
	brings 2 03 "$stent" upgrade --only upgraded
}

start_victim() {
	# shellcheck disable=SC2086 # words
	victim_start "$scratch/victim.1" $threads_now
}

fresh() {
	if [ -n "${victim-}" ]; then
		# Killed before there was a ledger, stent leaves its stub behind the end of the text: the next one takes it away.
		to_old && text_is_file "$victim" victim.1 && victim_stop || return 1
	fi
	start_victim
}

# A new process now and then.
renew() {	# START-COMMAND
	[ $((++runs % 50)) != 0 ] || { to_old && victim_stop && "$1"; }
}

# One run that is killed at a point, and what comes after. Sets "through" when there was no such point any more.
kill_once() {	# POINT BEFORE AFTER STENT-ARGUMENT...
	local point=$1 before=$2 after=$3
	shift 3
	through=
	[ "$before" = fresh ] || renew "$start" || { echo "a new process at point $point"; return 1; }
	$before || { echo "before point $point"; return 1; }
	[ "$1" = upgrade ] || set -- "$@" -p "$victim"
	limit 60 "$killer" "$point" "$stent" "$@" 2>"$scratch/killer"
	[ $? != 127 ] || { echo "$killer is not there"; return 1; }
	! grep -q '^points' "$scratch/killer" || { through=1; return 0; }
	points=$((points + 1))
	one_version || { echo "after it was killed at point $point"; return 1; }
	survived=$((survived + 1))
	limit 30 "$stent" status -p "$victim" || { echo "status after point $point: $?"; return 1; }
	if ((point / step % 2)); then $after; else to_old; fi || { echo "after the one killed at point $point"; return 1; }
	recovered=$((recovered + 1))
}

kill_everywhere() {	# WHAT BEFORE AFTER STENT-ARGUMENT...
	local what=$1 point
	shift
	for ((point = ${FROM:-1 + RANDOM % step}; ; point += step)); do
		kill_once "$point" "$@" >"$scratch/output" 2>&1 || break
		[ -z "$through" ] || break
	done
	if [ -n "$through" ] && ((point > 400)); then
		ok "$what: points up to $point"
	else
		not_ok "$what: point $point"
		diag "$(cat "$scratch/output" "$scratch/killer")"
	fi
}

check "three versions and the patches to them are built" build_three victim
for threads_now in "" "${threads[*]}"; do
	what=${threads_now:+several threads}
	what=${what:-one thread}
	kill_everywhere "$what, apply to a new process" fresh to_new apply "$scratch/victim.stent"
	kill_everywhere "$what, replace" to_new to_third apply "$scratch/third.stent" --replace
	kill_everywhere "$what, revert" to_new to_old revert victim
done
threads_now="patient parked nanosleep spin"
fresh >"$scratch/output" 2>&1
kill_everywhere "with a thread inside of old code, apply until it gives up" to_old to_old apply "$scratch/victim.stent" --timeout 0.3
echo unpark >&"$victim_in" && read -t 10 -r _ <&"$victim_out"
check "the text is that of the file again" text_is_file "$victim" victim.1
victim_stop
verdict $? "the process ends by itself"

# Its file is replaced while it runs.
start_upgraded() {
	cp "$scratch/victim.1" "$scratch/upgraded" && victim_start "$scratch/upgraded" "${threads[@]}" &&
		cp "$scratch/victim.2" "$scratch/new" && mv "$scratch/new" "$scratch/upgraded"
}
start=start_upgraded
start_upgraded
kill_everywhere "several threads, upgrade" to_old upgraded upgrade --only upgraded
victim_stop
verdict $? "that process ends by itself, too"
echo "# kill points $points, survived $survived, recovered $recovered"
exit "$((failures > 0))"
