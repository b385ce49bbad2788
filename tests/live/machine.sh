#!/bin/bash
# All processes of a machine at once: stent status without -p, apply --all and revert --all.
# shellcheck source=tests/alone.sh
. "$(dirname "$0")/../alone.sh"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/crowds.sh
. "$top/tests/crowds.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 29

build_crowd crowd "1 2" && build_pair victim || exit 1
limit 60 "$stent" diff "$scratch/crowd.1" "$scratch/crowd.2" -o "$scratch/crowd.stent" --name crowd >/dev/null || exit 1
check "no process holds a patch" stent_ends 0 status
check "and it says so" says "^0 patches in 0 of [0-9]* processes$"
check "there is no process to apply to: exit status 3" stent_ends 3 apply "$scratch/crowd.stent" --all
check "none that holds the patch: exit status 3" stent_ends 3 revert crowd --all

victim_start "$scratch/victim.1" spin epoll
verdict $? "another program starts"
other=$victim other_in=$victim_in other_out=$victim_out
victim_start "$scratch/crowd.1" 20
verdict $? "twenty and one processes start"
crowd=$victim
snapshot "$other" >"$scratch/before"
check "apply --all" stent_ends 0 apply "$scratch/crowd.stent" --all
check "says what it did" says "^21 patched, 0 had nothing to do, 0 refused, 0 gave up, 0 failed$"
check "a line for each" says "^ *$crowd  crowd.1 .* patched  paused"
check "all of them run the new version" crowd_runs 0 20 0
snapshot "$other" >"$scratch/after"
check "the other program was not touched" cmp "$scratch/before" "$scratch/after"
check "again: nothing to do" stent_ends 3 apply "$scratch/crowd.stent" --all
check "each says so" says "^0 patched, 21 had nothing to do"
check "status lists them" stent_ends 0 status
check "a line for each patch" says "^ *$crowd  crowd.1 *active *crowd.1 *crowd$"
check "and the sum" says "^21 patches in 21 of [0-9]* processes$"
listed() {
	limit 20 "$stent" status --json >"$scratch/json" && python3 - "$scratch/json" "$crowd" <<'END_OF_PYTHON'
import json, sys
status = json.load(open(sys.argv[1]))
assert len(status["processes"]) == 21, len(status["processes"])
assert [p["pid"] for p in status["processes"]] == sorted(p["pid"] for p in status["processes"])
assert status["processes"][0]["pid"] == int(sys.argv[2])
assert all(p["patches"][0]["name"] == "crowd" and p["patches"][0]["state"] == "active" for p in status["processes"])
assert status["seen"] >= 22
END_OF_PYTHON
}
if command -v python3 >/dev/null; then
	check "status --json" listed
else
	skip "status --json" "python3 is not installed"
fi

# One is a debugger's: the others are reverted all the same.
mkfifo "$scratch/tracer"
child=$(head -c 100 "/proc/$crowd/task/$crowd/children")
"$build/tests/live/tracer" "${child%% *}" <"$scratch/tracer" >"$scratch/traced" &
started_all+=($!)
tracer=$!
exec {tracer_in}>"$scratch/tracer"
within 5 grep -q ready "$scratch/traced"
check "revert --all, where one is traced: exit status 2" stent_ends 2 revert crowd --all
check "names it" says "process ${child%% *} (crowd.1) is traced by tracer"
check "the others are reverted" says "^20 reverted, 0 had nothing to do, 1 refused"
exec {tracer_in}>&-
wait "$tracer"
check "nineteen children run the old version, the traced one the new" crowd_runs 19 1 0
check "again, without the debugger" stent_ends 0 revert crowd --all
check "reverts that one" says "^1 reverted, 0 had nothing to do"
check "all run the old version" crowd_runs 20 0 0
victim_stop
verdict $? "the processes end by themselves"
victim=$other victim_in=$other_in victim_out=$other_out

# Process 1 is a program of the old build, and stent is started in its namespace.
cp "$scratch/victim.1" "$scratch/init.1"
spared() {
	# shellcheck disable=SC2016 # the inner shell's
	unshare --pid --fork --kill-child --mount-proc bash -c '
		("$0/stent.copy" apply "$0/victim.stent" --all >"$0/output" 2>&1; echo $? >"$0/status") &
		exec "$0/init.1"' "$scratch" < <(within 20 test -s "$scratch/status") >/dev/null
	[ "$(cat "$scratch/status")" = 2 ] && says "process 1 is left alone"
}
cp "$stent" "$scratch/stent.copy"
check "process 1 is spared" spared
check "a process that is not there" stent_ends 1 apply "$scratch/victim.stent"
check "the other program has not noticed" runs_version 1
victim_stop
verdict $? "and ends by itself"
exit "$((failures > 0))"
