#!/bin/bash
# Several patches in one process, on different functions and on the same ones, taken out in any order; and --replace.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 17

build_contract two:-DFAMILY=2 three:-DFAMILY=3 both:"-DFAMILY=2 -DD=2" c:-DC=2 d:-DD=2 >"$scratch/output" 2>&1 ||
	{ cat "$scratch/output"; exit 1; }

for preload in killer failing; do
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -shared -fPIC -o "$scratch/$preload.so" "$top/tests/live/preload/$preload.c" -ldl || exit 1
done

runs_exactly() {	# LETTERS WITH VERSIONS
	says "$1" trace
}

different() {	# FIRST-OUT SECOND-OUT BETWEEN
	contract_start && apply_ends 0 c && runs_exactly a1h1b1c2d1 && apply_ends 0 d && runs_exactly a1h1b1c2d2 &&
		in_state c active && in_state d active && apply_ends 3 c && apply_ends 3 d &&
		revert_ends 0 "$1" && runs_exactly "$3" && in_state "$2" active && revert_ends 0 "$2" && runs_exactly a1h1b1c1d1 &&
		text_is_old && sound
}

different_again() {
	contract_start && apply_ends 0 c && apply_ends 0 d && revert_ends 0 c && apply_ends 0 two && apply_ends 0 c &&
		runs_exactly a2h2b2c2d2 && revert_ends 0 two && runs_exactly a1h1b1c2d2 && revert_ends 0 d && revert_ends 0 c &&
		text_is_old && sound
}

# A thread in fa of one patch is in nobody's way when others go in and out.
different_waiting() {
	contract_start && apply_ends 0 two && enter 0 pair a2 && apply_ends 0 c --timeout 1 && apply_ends 0 d --timeout 1 &&
		revert_ends 0 c --timeout 1 && runs_exactly a2h2b2c1d2 && begin revert two --timeout 20 && waits_for two reverting 0 new fa &&
		says ok "send 0 g" && within 5 says 'a2h2b1\.' "log 0" && job_ends 0 && runs_exactly a1h1b1c1d2 &&
		revert_ends 0 d && text_is_old && sound
}

# Each is made for the process as it started, so the upper one holds all that the lower one does.
same_upper_first() {
	contract_start && apply_ends 0 two && apply_ends 0 three && runs_exactly a3h3b3c1d1 && revert_ends 0 three &&
		runs_exactly a2h2b2c1d1 && revert_ends 0 two && runs_exactly a1h1b1c1d1 && text_is_old && sound
}

same_lower_first() {
	contract_start && apply_ends 0 two && apply_ends 0 three && runs_exactly a3h3b3c1d1 || return 1
	revert two
	case $? in
	0)
		runs_exactly a3h3b3c1d1 && revert_ends 0 three && runs_exactly a1h1b1c1d1 && text_is_old && sound
		;;
	2)
		runs_exactly a3h3b3c1d1 && in_state two active && in_state three active && revert_ends 0 three &&
			runs_exactly a2h2b2c1d1 && revert_ends 0 two && text_is_old && sound
		;;
	*)
		fails "revert's exit status is neither 0 nor 2"
		;;
	esac
}

same_waiting() {
	contract_start && apply_ends 0 two && enter 0 pair a2 && says ok "walk 4" && begin_apply three --timeout 20 &&
		waits_for three installing 0 old fa && walkers_call_only 3 && says ok "send 0 g" && within 5 says 'a2h2b3\.' "log 0" &&
		job_ends 0 && enter 1 pair a3 && begin revert three --timeout 20 && waits_for three reverting 1 new fa && walkers_call_only 2 &&
		says ok "send 1 g" && within 5 says 'a3h3b2\.' "log 1" && job_ends 0 && runs_exactly a2h2b2c1d1 &&
		revert_ends 0 two && text_is_old && sound
}

# three knows nothing of the new fd, and the two builds together were never one program.
partly() {
	contract_start && apply_ends 0 both && runs_exactly a2h2b2c1d2 && apply_ends 2 three && runs_exactly a2h2b2c1d2 &&
		in_state both active && revert_ends 0 both && text_is_old && sound
}

only() {	# NAME: of all patches, only this one is active
	[ "$(limit 10 "$stent" status -p "$victim" | grep -E '^[a-z]+: active')" = "$1: active" ] || fails "$(status_json)"
}

replaces() {
	contract_start && apply_ends 0 both && apply_ends 0 c && runs_exactly a2h2b2c2d2 && apply_ends 0 three --replace &&
		runs_exactly a3h3b3c1d1 && only three && apply_ends 3 three --replace && revert_ends 0 three &&
		runs_exactly a1h1b1c1d1 && text_is_old && sound
}

# The patch is there already, below another one on the same functions, or beside one on others.
replaces_above_itself() {
	contract_start && apply_ends 0 two && apply_ends 0 three && apply_ends 2 two --replace && runs_exactly a3h3b3c1d1 &&
		in_state three active && revert_ends 0 three && apply_ends 3 two --replace && apply_ends 0 d && apply_ends 2 two --replace &&
		runs_exactly a2h2b2c1d2 && revert_ends 0 d && revert_ends 0 two && text_is_old && sound
}

# A thread in what goes out only: not in fa, which both patches have, but in what is replaced it is as well.
replaces_waiting() {
	contract_start && apply_ends 0 both && enter 0 pair a2 && says ok "walk 4" && begin_apply three --replace --timeout 20 &&
		waits_for three installing 0 old fa && walkers_call_only 3 && runs_exactly a3h3b3c1d1 &&
		says ok "send 0 g" && within 5 says 'a2h2b3\.' "log 0" && job_ends 0 && only three && runs_exactly a3h3b3c1d1 &&
		revert_ends 0 three && text_is_old && sound
}

# And it gives up: what was there is there again, whole.
replaces_not() {
	contract_start && apply_ends 0 both && enter 0 pair a2 && says ok "walk 4" && apply_ends 4 three --replace --timeout 1 &&
		walkers_call_only 2 && runs_exactly a2h2b2c1d2 && only both && says ok "send 0 g" && within 5 says 'a2h2b2\.' "log 0" &&
		revert_ends 0 both && text_is_old && sound
}

# A write that fails, whichever, leaves in force what was.
replaces_failing() {
	local status write
	contract_start && apply_ends 0 both || return 1
	for ((write = 1; write < 300; write++)); do
		FAILING=$write LD_PRELOAD=$scratch/failing.so apply three --replace >"$scratch/output" 2>&1
		status=$?
		grep -q "^write $write fails" "$scratch/output" || break
		if [ "$status" = 0 ]; then	# where a system call was made from has not got its bytes back: the next stent sees to that
			only three && revert_ends 0 three && apply_ends 0 both || fails "done at write $write" || return 1
		fi
		only both && runs_exactly a2h2b2c1d2 || fails "$(cat "$scratch/output")" || return 1
	done
	[ "$status" = 0 ] && [ "$write" -gt 25 ] && runs_exactly a3h3b3c1d1 && only three && revert_ends 0 three && text_is_old && sound
}

# Taken out by force, and applied again to the same memory without: that is said no more. (There was another patch each time: both need as much room.)
forced_before() {
	contract_start && apply_ends 0 c && apply_ends 0 two && revert_ends 0 c && enter 0 pair a2 &&
		revert_ends 0 two --force --timeout 0.5 && status_json | grep -q '"name":"two","state":"reverted","forced":true' &&
		says ok "send 0 g" && within 5 says 'a2.*\.' "log 0" && apply_ends 0 two >"$scratch/output" 2>&1 &&
		grep -q 'of an earlier application is used again' "$scratch/output" &&
		status_json | grep -q '"name":"two","state":"active","forced":false' || fails "$(status_json)"
}

# Killed anywhere, and what lies below is one thing: while threads go back to it one by one, and when all have.
replaces_killed() {
	local status deaths below parked=0
	for ((deaths = 0; deaths < 300; deaths++)); do
		contract_start && apply_ends 0 both || return 1
		DEADLY=$((deaths + 1)) LD_PRELOAD=$scratch/killer.so apply three --replace >"$scratch/output" 2>&1
		status=$?
		[[ $status == 0 || $status == 137 ]] || fails "exit status $status after $deaths" || return 1
		if [ "$(ask trace)" = a3h3b3c1d1 ]; then
			enter 0 pair a3 && revert_ends 0 three --no-wait && in_state three reverting && below=$(ask trace) &&
				stays 0 new fa && says ok "send 0 g" && within 5 says 'a3h3b3\.' "log 0" && revert_ends 0 three &&
				runs_exactly "$below" || fails "after $deaths operations" || return 1
			parked=$((parked + 1))
		else
			runs_exactly a2h2b2c1d2 && revert three
			[[ $? == [023] ]] && runs_exactly a2h2b2c1d2 || fails "after $deaths operations" || return 1
		fi
		sound && contract_stop || fails "after $deaths operations" || return 1
		[ "$status" = 137 ] || break
	done
	[ "$parked" -ge 3 ] || fails "only $parked of $deaths were new"
}

replaces_nothing() {
	contract_start && apply_ends 0 three --replace && runs_exactly a3h3b3c1d1 && only three && apply_ends 0 two --replace &&
		runs_exactly a2h2b2c1d1 && only two && apply_ends 0 three --replace && only three && revert_ends 0 three && text_is_old && sound
}

# While one is half-way, with a thread in its old code, others are refused, or go in beside it; nothing is mixed.
half_way() {
	contract_start pair && apply_ends 0 two --no-wait && in_state two installing || return 1
	apply c --timeout 1
	case $? in
	0) runs_exactly a2h2b2c2d1 && revert_ends 0 c ;;
	2) runs_exactly a2h2b2c1d1 ;;
	*) fails "neither done nor refused" ;;
	esac
	[ $? = 0 ] && begin_apply two --timeout 20 && waits_for two installing 0 old fa && says ok "send 0 g" &&
		within 5 says 'a1h1b2\.' "log 0" && job_ends 0 && runs_exactly a2h2b2c1d1 && revert_ends 0 two && text_is_old && sound
}

scenario "different functions: the first one goes out first" different c d a1h1b1c1d2
scenario "different functions: the last one goes out first" different d c a1h1b1c2d1
scenario "different functions, in again, and three at once" different_again
scenario "different functions: who waits in one of them is in nobody else's way" different_waiting
scenario "the same functions: the upper one goes out first" same_upper_first
scenario "the same functions: the lower one goes out first, or is refused" same_lower_first
scenario "the same functions, and a thread waits in the lower version" same_waiting
scenario "some of the same functions: refused" partly
scenario "--replace takes out what else there is" replaces
scenario "--replace by a patch that is there with others" replaces_above_itself
scenario "--replace with a thread that waits in what goes out" replaces_waiting
scenario "--replace that gives up" replaces_not
scenario "--replace in which a write fails" replaces_failing
scenario "--replace that is killed, and reverted with a thread in it" replaces_killed
scenario "by force, and then without" forced_before
scenario "--replace of nothing, and of each other" replaces_nothing
scenario "another patch while one is half-way" half_way

exit "$((failures > 0))"
