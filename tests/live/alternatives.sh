#!/bin/bash
# Two alternatives at one address: the entry of a function, and the jump with what it leads to. A thread that waits in the displaced
# copy of an old entry is inside of the old function, and its stack is no proof of anything. What unwind data says of displaced
# instructions is compared with them.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 20

victim_source=displaced.c
{ build_pair true && build_pair lies -DLIES; } >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

figure() {	# NAME OF-FILE
	"$stent" check --json "$scratch/$2.1" | awk -v name="\"$1\":" '$1 == name { sub(/,$/, "", $2); print $2; exit }'
}

all_agree() {
	[ "$(figure agreeing true)" = "$(figure redirectable true)" ] && [ "$(figure agreeing true)" -ge 4 ] &&
		! "$stent" check "$scratch/true.1" | grep 'have not:'
}

one_is_flagged() {
	[ "$(figure agreeing lies)" = $(($(figure redirectable lies) - 1)) ] &&
		"$stent" check "$scratch/lies.1" | grep -q '^ *1 have not: the unwind data of its entry is not exact$'
}

check "entries and their copies have one frame" all_agree
check "an entry with wrong unwind data is flagged" one_is_flagged

# Stopped in pause(2), in memory that belongs to no file and is not the vdso.
waits_in_copy() {
	local call rest pc range flags offset device inode path
	read -r call rest <"/proc/$victim/task/$thread/syscall" && [ "$call" = 34 ] || return 1
	pc=${rest##* }
	while read -r range flags offset device inode path; do
		((pc >= 16#${range%-*} && pc < 16#${range#*-})) || continue
		[[ $flags == r-x* && $path != *displaced* && $path != *"$scratch"* && $path != '[v'* ]]
		return
	done < <(cat "/proc/$victim/maps")
	return 1
}

# What stent stack says of the thread, on one line.
verdict_of_stack() {
	limit 10 "$stent" stack --json "$victim" | tr -d '\n' | grep -o "\"tid\": $thread,.*"
}

not_proven() {	# WHY
	verdict_of_stack >"$scratch/stack"
	[[ $(<"$scratch/stack") =~ ^\"tid\":\ $thread,[^[{]*\"proven\":\ false,[^[{]*\"why\":\ \"[^\"]*$1 ]] || { cat "$scratch/stack"; return 1; }
}

is_installing() {	# NAME
	limit 10 "$stent" status -p "$victim" | grep -q "^$1: installing"
}

is_inside() {
	limit 10 "$stent" status --json -p "$victim" | tr -d ' \n' |
		grep -qE "\"tid\":$thread,\"comm\":\"[^\"]*\",\"version\":\"old\",\"why\":\"inastubofstent\""
}

is() {	# ANSWER QUESTION
	[ "$(ask "$2")" = "$1" ]
}

for name in true lies; do
	victim_start "$scratch/$name.1"
	verdict $? "$name: the victim starts"
	is ok run && within 5 eval '! is 0 tid'
	thread=$(ask tid)
	apply "$name" --no-wait >"$scratch/output" 2>&1
	is ok go
	check "$name: a thread waits in a displaced copy" within 5 waits_in_copy
	check "$name: which proves nothing" not_proven 'in a stub or a displaced copy'
	check "$name: and counts as inside of the old function" is_inside
	"$stent" apply "$scratch/$name.stent" -p "$victim" --timeout 20 >"$scratch/job" 2>&1 {victim_in}>&- {victim_out}<&- &
	job=$!
	started_all+=("$job")
	sleep 1.5	# stent looks more than once
	check "$name: for as long as it waits" is_installing "$name"
	is ok wake
	check "$name: it has run the old version only" within 5 is 11 said
	wait "$job"
	verdict $? "$name: then the patch is in"
	started_all=("$victim")
	is ok run && is ok go && within 5 eval '! is 0 tid'
	thread=$(ask tid)
	within 5 grep -q '^34 ' "/proc/$victim/task/$thread/syscall"
	is ok wake
	check "$name: the new version runs" within 5 is 22 said
	[ "$name" = true ] && check "$name: and is taken out" revert "$name"
	[ "$name" = lies ] && check "$name: and the old text is back" eval 'revert lies && text_is_file "$victim" lies.1'
	victim_stop
	started_all=()
done
exit "$((failures > 0))"
