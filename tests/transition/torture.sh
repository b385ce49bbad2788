#!/bin/bash
# Apply, revert, turn round in the middle, replace and be killed, as fast as stent goes, while 16 threads call a chain of
# functions whose protocol differs from version to version (torture.c). Closes with
#	transitions T, calls C, mixed M, crashes X
# T: how often stent came to an end with all threads on one side. Exit status 1 when M or X is not 0, or T is too small. As a
# test it speaks TAP; SECONDS is how long (20).
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
duration=${1-20} seed=${SEED-$RANDOM}
RANDOM=$seed
plan 7
trap '' PIPE	# a victim that has died gives no answer

for version in 1 2 3; do
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -g -pthread -Wl,--build-id -DVERSION=$version -o "$scratch/torture.$version" \
		"$top/tests/transition/torture.c" || exit 1
	[ $version = 1 ] || limit 60 "$stent" diff "$scratch/torture.1" "$scratch/torture.$version" -o "$scratch/$version.stent" \
		--name "to-$version" >"$scratch/diff" || { cat "$scratch/diff"; exit 1; }
done

transitions=0 reversals=0 kills=0 timeouts=0 nothing=0 refusals=0 crashes=0 unexpected=0
installed=1	# what the process runs, or goes to; unknown behind a death
replaces=0

# Says behind which command calls were mixed, the first times.
seen=0 times=0 last=none
look_for_mixed() {	# STATUS AND COMMAND
	local sum
	read -r _ sum _ < <(ask) && [ "$sum" != "$seen" ] && [ $((times += 1)) -le 5 ] || return 0
	diag "$((sum - seen)) mixed calls behind exit status $1"
	seen=$sum
	return 1
}

# A command of stent's; killed after so many milliseconds, if they are given. Its exit status is in $status.
run() {	# MILLISECONDS ARGUMENT...
	local after=$1 deadly=()
	shift
	[[ $* != *--replace* ]] || replaces=$((replaces + 1))
	[ "$after" = 0 ] || deadly=(timeout --foreground -s KILL "0.$(printf %03d "$after")")
	# (Not in the background: threads take so many numbers that a child gets one that bash remembers of another, and then it waits for ever.)
	"${deadly[@]}" "$stent" "$@" -p "$victim" >"$scratch/said" 2>&1
	status=$?
	look_for_mixed "$status of: $*" || diag "before: $last"
	last="$status of: $*"
	case $status in
	0) transitions=$((transitions + 1)) ;;
	2) refusals=$((refusals + 1)) ;;
	3) nothing=$((nothing + 1)) ;;
	4) timeouts=$((timeouts + 1)) ;;
	137) [ "$after" != 0 ] && kills=$((kills + 1)) || crashes=$((crashes + 1)) ;;
	*)
		[ "$status" -lt 128 ] && unexpected=$((unexpected + 1)) || crashes=$((crashes + 1))
		[ "$((unexpected + crashes))" -gt 5 ] || diag "exit status $status of stent $*: $(cat "$scratch/said")"
		;;
	esac
}

# What comes next depends on what is there, but for what a death left: then it is one of the things that must put it right.
step() {
	local after=0 other
	((RANDOM % 6)) || after=$((RANDOM % 30 + 1))
	((RANDOM % 20)) || ask "$( ((RANDOM % 3)) && echo busy || echo calm)" >/dev/null
	case $installed in
	1)
		other=$((RANDOM % 2 + 2))
		if ((RANDOM % 4)); then
			run $after apply "$scratch/$other.stent" --timeout 20
		else
			turn_round $after $other
			return
		fi
		installed=$other
		;;
	2 | 3)
		other=$((5 - installed))
		case $((RANDOM % 4)) in
		0)
			run $after apply --replace "$scratch/$other.stent" --timeout 20
			installed=$other
			;;
		1)
			turn_back $after "$installed"
			return
			;;
		*)
			run $after revert "to-$installed" --timeout 20
			installed=1
			;;
		esac
		;;
	*)
		other=$((RANDOM % 2 + 2))
		run 0 apply --replace "$scratch/$other.stent" --timeout 20
		installed=$other
		;;
	esac
	case $status in
	0 | 3) ;;
	*) installed=unknown ;;
	esac
}

# Begin, and then the other way before it is complete (if it is not already).
turn_round() {	# MILLISECONDS VERSION
	run 0 apply --no-wait "$scratch/$2.stent"
	[ "$status" = 0 ] || { installed=unknown; return; }
	run "$1" revert "to-$2" --timeout 20
	[ "$status" = 0 ] && reversals=$((reversals + 1)) installed=1 || installed=unknown
}

turn_back() {	# MILLISECONDS VERSION
	run 0 revert --no-wait "to-$2"
	[ "$status" = 0 ] || { installed=unknown; return; }
	run "$1" apply "$scratch/$2.stent" --timeout 20
	[ "$status" = 0 ] && reversals=$((reversals + 1)) || installed=unknown
}

victim_start "$scratch/torture.1"
verdict $? "the victim starts"
end=$((${EPOCHREALTIME/./} + duration * 1000000))
while [ "${EPOCHREALTIME/./}" -lt "$end" ] && ! ended "$victim" && [ "$((unexpected + crashes))" -lt 100 ]; do
	step
done
if ended "$victim"; then
	wait "$victim"
	diag "the victim's exit status is $?; stent has said: $(cat "$scratch/said")"
	crashes=$((crashes + 1))
	started_all=()
	not_ok "the victim lives"
	echo "transitions $transitions, calls unknown, mixed unknown, crashes $crashes"
	exit 1
fi
ok "the victim lives"
run 0 apply --replace "$scratch/2.stent" --timeout 20
# The last death may have left the other patch between the versions, which keeps all others out.
[ "$status" != 2 ] || { run 0 revert to-3 --timeout 20; run 0 apply --replace "$scratch/2.stent" --timeout 20; }
run 0 revert to-2 --timeout 20
check "in the end everything can be taken out" is_in_state to-2 reverted
check "and the text is that of the file" text_is_file "$victim" torture.1
read -r calls mixed errors _ < <(ask)
left=$(limit 10 "$stent" status -p "$victim" | grep -c '^to-[23]: ')
diag "seed $seed: $replaces replacements, after which the memory of $left patches is left; $reversals turned round, $kills killed, $timeouts time-outs, $refusals refusals, $nothing with nothing to do, $unexpected errors"
[ "${mixed-}" = 0 ] && [ "${errors-}" = 0 ] && [ "$unexpected" = 0 ]
verdict $? "no call was of two versions, and none went wrong: ${mixed-unknown} mixed, ${errors-unknown} errors, $unexpected of stent"
# Two in a second, on a machine that is busy.
[ "$crashes" = 0 ] && [ "$transitions" -ge $((2 * duration)) ]
verdict $? "nothing crashed, and there were enough transitions"
# Forced, threads go on in code that calls the other version: the calls are counted as what they are.
is_mixed_by_force() {
	local sum
	apply 2 --force --timeout 0 >/dev/null && revert to-2 --force --timeout 0 >/dev/null
	read -r _ sum _ < <(ask busy)
	[ "${sum-0}" -gt "${mixed-0}" ]
}

check "and mixed calls would have been seen: --force makes some" within 10 is_mixed_by_force
echo "transitions $transitions, calls $((${calls-0} * 8)), mixed ${mixed-unknown}, crashes $crashes"
exit "$((failures > 0))"
