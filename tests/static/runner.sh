#!/bin/bash
# The test runner notices every way in which a test program can fail, and lib.sh ends what it started.
. "$(dirname "$0")/../lib.sh"
plan 21

program() {	# NAME LINES...: a test program that runs these lines of shell
	local name=$1
	shift
	{
		echo '#!/bin/bash'
		printf '%s\n' "$@"
	} >"$scratch/$name"
	chmod +x "$scratch/$name"
}

sums_up() {	# "N passed, N failed, N skipped" PATTERN PROGRAM...: the last line, and something in the output
	local sums=$1 pattern=$2 output status want=0
	shift 2
	output=$(cd "$scratch" && BUILD=$scratch/build TEST_LIMIT=1 "$top/tests/run" "${@/#/$scratch/}" 2>&1)
	status=$?
	case $sums in *" 0 failed"*) ;; *) want=1 ;; esac
	if [ "$(tail -n 1 <<<"$output")" != "$sums" ] || [ "$status" != "$want" ] || ! grep -q -e "$pattern" <<<"$output"; then
		echo "exit status $status: $output"
		return 1
	fi
}

program good 'echo 1..2' 'echo ok 1 - a' 'echo ok 2 - b'
program bad 'echo 1..3' 'echo ok 1' 'echo not ok 2 - the reason' 'echo "# because"' 'echo ok 3' 'echo heard >&2' 'exit 1'
program skips 'echo 1..3' 'echo "ok 1 - a # SKIP no network"' 'echo "not ok 2 # SKIP b"' 'echo ok 3'
program skips_all 'echo "1..0 # SKIP nothing here"'
program crash 'echo 1..1' 'echo ok 1' 'kill -SEGV $$'
program killed 'echo 1..1' 'echo ok 1' 'kill -KILL $$'
program hangs 'echo 1..1' 'echo ok 1' 'sleep 60'
program silent 'true'
program no_plan 'echo ok 1'
program empty_plan 'echo 1..0'
program too_few 'echo 1..2' 'echo ok 1'
program too_many 'echo 1..1' 'echo ok 1' 'echo ok 2'
program two_plans 'echo 1..1' 'echo ok 1' 'echo 1..1'
program status 'echo 1..1' 'echo ok 1' 'exit 3'

check "all good" sums_up "4 passed, 0 failed, 0 skipped" '^ok .*2 passed' good good
check "a failed result, with its comment" sums_up "2 passed, 1 failed, 0 skipped" '# because' bad
check "what a failed program said on stderr" sums_up "2 passed, 1 failed, 0 skipped" '| heard' bad
check "skipped results" sums_up "1 passed, 0 failed, 2 skipped" 'no network' skips
check "a skipped program" sums_up "0 passed, 0 failed, 1 skipped" 'nothing here' skips_all
check "a crash" sums_up "1 passed, 1 failed, 0 skipped" 'ended by signal 11' crash
check "a kill" sums_up "1 passed, 1 failed, 0 skipped" 'it was ended' killed
check "a program that hangs" sums_up "1 passed, 1 failed, 0 skipped" 'limit of 1 s' hangs
check "no output" sums_up "0 passed, 1 failed, 0 skipped" 'printed no plan' silent
check "no plan" sums_up "1 passed, 1 failed, 0 skipped" 'printed no plan' no_plan
check "an empty plan without a reason" sums_up "0 passed, 1 failed, 0 skipped" 'it planned nothing' empty_plan
check "too few results" sums_up "1 passed, 1 failed, 0 skipped" 'planned 2 results and printed 1' too_few
check "too many results" sums_up "2 passed, 1 failed, 0 skipped" 'planned 1 results and printed 2' too_many
check "two plans" sums_up "1 passed, 1 failed, 0 skipped" 'more than one plan' two_plans
check "a bad exit status" sums_up "1 passed, 1 failed, 0 skipped" 'exit status 3 without' status
check "a program that is not there" sums_up "2 passed, 1 failed, 0 skipped" 'FAIL.*absent' good absent

program says_why ". '$top/tests/lib.sh'" 'plan 2' 'verdict 1 a || diag the reason' 'verdict 0 b || diag another'
check "a failed verdict, with its comment" sums_up "1 passed, 1 failed, 0 skipped" '# the reason' says_why

# What a script has started does not outlive it, whether it ends well or by its limit.
program starts ". '$top/tests/lib.sh'" 'plan 1' 'start sleep 600' "echo \$started >'$scratch/pid'" 'ok a'
program starts_and_hangs ". '$top/tests/lib.sh'" 'plan 1' 'start sleep 600' "echo \$started >'$scratch/pid'" 'sleep 60'

# This one does not hear of it the first time, as if it had been told between fork and exec.
program starts_deaf ". '$top/tests/lib.sh'" 'plan 1' "deaf() { trap : TERM; touch '$scratch/deaf'; sleep 0.2; trap - TERM; exec sleep 600; }" \
	'start deaf' "echo \$started >'$scratch/pid'" "within 5 [ -e '$scratch/deaf' ]" 'ok a'

cleans_up() {
	sums_up "$@" && within 5 gone
}

gone() {
	local pid
	pid=$(cat "$scratch/pid") && [ -n "$pid" ] && ended "$pid"
}

check "processes end with the script" cleans_up "1 passed, 0 failed, 0 skipped" '' starts
check "one that misses the first signal, too" cleans_up "1 passed, 0 failed, 0 skipped" '' starts_deaf
check "processes end with a script that is ended" cleans_up "0 passed, 1 failed, 0 skipped" 'limit of 1 s' starts_and_hangs

# A pid that was waited for may be another process's by now: here it is one that this script has started.
program starts_other ". '$top/tests/lib.sh'" 'plan 1' "started_all+=(\$(cat '$scratch/other'))" 'ok a'

leaves_alone() {
	sums_up "$@" && sleep 0.3 && ! ended "$other"
}

start sleep 600
other=$started
echo "$other" >"$scratch/other"
check "a process that is not the script's is left alone" leaves_alone "1 passed, 0 failed, 0 skipped" '' starts_other
