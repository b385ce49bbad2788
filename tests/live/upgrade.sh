#!/bin/bash
# stent upgrade: programs and libraries that are replaced on disk while they run.
# shellcheck source=tests/alone.sh
. "$(dirname "$0")/../alone.sh"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/crowds.sh
. "$top/tests/crowds.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 57

build_crowd crowd "1 2 3" && build_pair victim || exit 1
mkdir "$scratch/bin"
program=$scratch/bin/crowd

# A crowd of that build, under the name $program.
crowd_start() {	# BUILD COUNT
	cp "$1" "$program.start" && mv "$program.start" "$program" && victim_start "$program" "$2"
}

# Nothing to do.
crowd_start "$scratch/crowd.1" 20
verdict $? "twenty and one processes start"
check "nothing was replaced: exit status 3" stent_ends 3 upgrade
replace "$scratch/crowd.1" "$program"
check "replaced by the same build: exit status 3" stent_ends 3 upgrade

# The usual case.
replace "$scratch/crowd.2" "$program"
snapshot "$victim" >"$scratch/before"
check "--dry-run" stent_ends 0 upgrade --dry-run
check "says what can be patched" row 21 " crowd  .* -> .* can be patched$"
snapshot "$victim" >"$scratch/after"
check "and changes nothing" cmp "$scratch/before" "$scratch/after"
check "upgrade" stent_ends 0 upgrade
check "says what was patched" row 21 "^ *[0-9]*  crowd .* crowd .* -> .* patched, paused [0-9.]* ms$"
check "all run the new build" crowd_runs 0 20 0
check "the second time there is nothing to do: exit status 3" stent_ends 3 upgrade
check "and it says so" says "^0 patched, 21 had nothing to do"
check "--json" stent_ends 3 upgrade --json
check "says why" row 21 '"patch crowd-[0-9a-f]*-to-[0-9a-f]* has brought it already"'

# A later update on top.
replace "$scratch/crowd.3" "$program"
check "the next update" stent_ends 0 upgrade
check "all run it" crowd_runs 0 0 20
is_replaced() {
	limit 10 "$stent" status -p "$victim" >"$scratch/output" && [ "$(grep -c ': active' "$scratch/output")" = 1 ] &&
		[ "$(grep -c ': reverted' "$scratch/output")" -le 1 ] || { cat "$scratch/output"; return 1; }
}
check "its patch has taken the place of the first one" is_replaced
check "the second time there is nothing to do" stent_ends 3 upgrade
replace "$scratch/crowd.1" "$program"
check "back to the old build on disk: exit status 2" stent_ends 2 upgrade
check "says what to do" says "the old build is on disk again: revert patch crowd-"
victim_stop

# Somebody's own patch.
limit 60 "$stent" diff "$scratch/crowd.1" "$scratch/crowd.3" -o "$scratch/own.stent" --name own >/dev/null
crowd_start "$scratch/crowd.1" 1
apply own >/dev/null && is_in_state own active && crowd_runs 1 0 0
verdict $? "only the parent holds a patch of its own"
replace "$scratch/crowd.2" "$program"
check "a patch that it has not made stays: exit status 2" stent_ends 2 upgrade
check "and is named" says "patch own of crowd is in it, which stent upgrade has not made"
check "the other process is patched" crowd_runs 0 1 0
check "--replace" stent_ends 0 upgrade --replace
check "takes it out" is_in_state own reverted
victim_stop

# Two programs.
crowd_start "$scratch/crowd.1" 3
crowd=$victim crowd_in=$victim_in crowd_out=$victim_out
cp "$scratch/victim.1" "$scratch/bin/victim"
victim_start "$scratch/bin/victim" spin epoll futex
verdict $? "another program starts"
replace "$scratch/victim.2" "$scratch/bin/victim"
replace "$scratch/crowd.2" "$program"
check "--exclude" stent_ends 0 upgrade --exclude crowd
check "the other one is patched" runs_version 2
check "and it alone" row 1 "patched, paused"
check "--only something else: exit status 3" stent_ends 3 upgrade --only 'lib*'
check "--only, by a pattern of its path" stent_ends 0 upgrade --only '*/bin/cro?d'
check "the rest is patched" row 4 "patched, paused"
victim_stop
verdict $? "the other program ends by itself"
victim=$crowd victim_in=$crowd_in victim_out=$crowd_out
check "the crowd runs the new build" crowd_runs 0 3 0
victim_stop

# One that can't be done keeps the others from nothing.
crowd_start "$scratch/crowd.1" 4
replace "$scratch/crowd.2" "$program"
mkfifo "$scratch/tracer"
child=$(head -c 100 "/proc/$victim/task/$victim/children")
child=${child%% *}
"$build/tests/live/tracer" "$child" <"$scratch/tracer" >"$scratch/traced" &
started_all+=($!)
tracer=$!
exec {tracer_in}>"$scratch/tracer"
within 5 grep -q ready "$scratch/traced"
check "one is traced: exit status 2" stent_ends 2 upgrade
check "says which, and why" says "process $child (crowd) is traced by tracer"
check "the others are patched" row 4 "patched, paused"
exec {tracer_in}>&-
wait "$tracer"
check "again, without the tracer" stent_ends 0 upgrade
check "all run the new build" crowd_runs 0 4 0
victim_stop

cp "$scratch/victim.1" "$scratch/bin/victim"
victim_start "$scratch/bin/victim" parked
replace "$scratch/victim.2" "$scratch/bin/victim"
check "one waits in old code: exit status 4" stent_ends 4 upgrade --timeout 0.3
check "says where" says "park_inside"
ask unpark >/dev/null
check "when it has left" within 5 stent_ends 0 upgrade
check "it runs the new build" runs_version 2
victim_stop

# Not replaced, but gone.
crowd_start "$scratch/crowd.1" 1
rm "$program"
check "deleted, and nothing in its place: exit status 3" stent_ends 3 upgrade
check "nothing has happened" crowd_runs 1 0 0
# What a new file may be that it must not be: none of these is opened, or believed.
mkfifo "$program"
check "a pipe in its place: exit status 2" stent_ends 2 upgrade
check "says so" says "bin/crowd is not a regular file"
rm "$program"
truncate -s 3G "$program"
check "a huge file in its place: exit status 2" stent_ends 2 upgrade
check "says so, too" says "bin/crowd has no build-id"
head -c 9000 "$scratch/crowd.2" >"$program"
check "half a program in its place: exit status 2" stent_ends 2 upgrade
check "the old build runs on" crowd_runs 1 0 0
replace "$scratch/victim.2" "$program"
check "another program in its place: exit status 2" stent_ends 2 upgrade
check "says that it is another one" says "are too different"
check "the old build still runs on" crowd_runs 1 0 0
victim_stop

# What looks like one pair of builds need not be one: a build-id is only a claim.
build_crowd one "1" -Wl,--build-id=0x1111111111111111 && build_crowd one "2" -Wl,--build-id=0x2222222222222222 &&
	build_crowd two "1" -Wl,--build-id=0x1111111111111111 && build_crowd two "3" -Wl,--build-id=0x2222222222222222 || exit 1
cp "$scratch/one.1" "$scratch/bin/one"
cp "$scratch/two.1" "$scratch/bin/two"
victim_start "$scratch/bin/one" 1
one=$victim one_in=$victim_in one_out=$victim_out
victim_start "$scratch/bin/two" 1
replace "$scratch/one.2" "$scratch/bin/one"
replace "$scratch/two.3" "$scratch/bin/two"
stent_ends 0 upgrade && crowd_runs 0 0 1
verdict $? "two programs that claim the same build-ids: the second gets its own new code"
victim_stop
victim=$one victim_in=$one_in victim_out=$one_out
check "and so does the first" crowd_runs 0 1 0
victim_stop
if command -v setpriv >/dev/null; then
	cp "$stent" "$scratch/stent"
	chmod 755 "$scratch" "$scratch/stent"
	check "who can look at no process is not told that there is nothing to do" ends_with 1 \
		setpriv --reuid=65534 --regid=65534 --clear-groups "$scratch/stent" upgrade
else
	skip "who can look at no process is not told that there is nothing to do" "there is no setpriv(1)"
fi
exit "$((failures > 0))"
