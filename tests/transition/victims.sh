# victims.sh: for tests of the transition, sourced behind lib.sh and tests/victims.sh: builds of contract.c and patches between them,
# and scenarios in which a worker waits in fa while stent is at work.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from lib.sh and victims.sh

trap '' PIPE	# a victim that has died gives no answer

# Version 1 and each other one that is named, as a program contract.NAME and a patch NAME.stent, named likewise. Nothing is
# inlined, so that what changes is what the flags say, and not where the compiler finds the rest too large.
build_contract() {	# NAME:FLAG...
	local pair
	for pair in one: "$@"; do
		"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -g -fno-inline -pthread -Wl,--build-id ${pair#*:} -o "$scratch/contract.${pair%%:*}" \
			"$top/tests/transition/contract.c" || return 1
		[ "${pair%%:*}" = one ] && continue
		limit 60 "$stent" diff "$scratch/contract.one" "$scratch/contract.${pair%%:*}" -o "$scratch/${pair%%:*}.stent" \
			--name "${pair%%:*}" || return 1
	done
}

# One result for a function of the script, which runs here and not in a subshell. What it started is ended behind it.
scenario() {	# WHAT FUNCTION ARGUMENT...
	local what=$1 status
	shift
	job='' victim=''
	"$@" >"$scratch/said" 2>&1
	status=$?
	verdict "$status" "$what"
	[ "$status" = 0 ] || diag "$(uniq "$scratch/said" | tail -n 20)"
	[ -z "$job" ] || { kill -KILL "$job"; wait "$job"; } 2>/dev/null
	[ -z "$victim" ] || { kill -KILL "$victim"; wait "$victim"; exec {victim_in}>&- {victim_out}<&-; } 2>/dev/null
	started_all=()	# all of them have been waited for: their pids may be others' by now
}

fails() {	# WHY
	echo "$@"
	return 1
}

# Like victim_start, and with the worker 0 in fa, if a kind is given.
contract_start() {	# [KIND]
	victim_start "$scratch/contract.one" || fails "the victim did not start" || return 1
	[ $# = 0 ] || enter 0 "$1" a1
}

contract_stop() {
	victim_stop || fails "the victim did not end by itself" || return 1
	victim=
}

# Worker N goes into fa, which writes this.
enter() {	# N KIND LOG
	says ok "run $1 $2" && within 5 says "$3" "log $1"
}

says() {	# EXPRESSION QUESTION
	local answer
	answer=$(ask "$2") || fails "no answer to '$2'" || return 1
	[[ $answer =~ ^($1)$ ]] || fails "the answer to '$2' is '$answer', not '$1'"
}

# All that the victim has checked itself: no mixed call, no system call with a wrong result.
sound() {
	says "0 0" sums
}

# stent in the background; its pid is in $job, what it says in the file.
begin() {	# ARGUMENT...
	"$stent" "$@" -p "$victim" >"$scratch/job" 2>&1 {victim_in}>&- {victim_out}<&- &	# else the victim would never see their end
	job=$!
	started_all+=("$job")
}

begin_apply() {	# NAME OPTION...
	local name=$1
	shift
	begin apply "$scratch/$name.stent" "$@"
}

job_ends() {	# STATUS [SECONDS]
	local pid=$job status
	within "${2-8}" ended "$pid" || { fails "stent still runs; it has said: $(cat "$scratch/job")"; return 1; }
	job=
	wait "$pid"
	status=$?
	[ "$status" = "$1" ] || fails "stent's exit status is $status, not $1: $(cat "$scratch/job")"
}

job_runs() {
	! ended "$job" || fails "stent has ended: $(cat "$scratch/job")"
}

kill_job() {
	local pid=$job
	job=
	kill -KILL "$pid" || return 1
	wait "$pid" 2>/dev/null
	[ $? = 137 ] || fails "stent was not killed"
}

# What the status says, without spaces and on one line.
status_json() {
	limit 10 "$stent" status --json -p "$victim" | tr -d ' \n'
}

in_state() {	# NAME STATE
	is_in_state "$1" "$2" || fails "not $2: $(status_json)"
}

# The worker is old, or new, and in that function.
stays() {	# N VERSION FUNCTION
	local tid
	tid=$(ask "tid $1") || return 1
	grep -qE "\"tid\":$tid,\"comm\":\"[^\"]*\",\"version\":\"$2\",\"why\":\"in$3[\",]" < <(status_json) ||
		fails "no thread $tid that is $2 and in $3: $(status_json)"
}

# stent watches so many threads with breakpoints, which are perf events.
are_armed() {	# COUNT
	[ "$(find "/proc/$job/fd" -lname '*perf_event*' 2>/dev/null | wc -l)" -ge "$1" ]
}

# The transition has begun, and stent waits for worker N, in that function, with a breakpoint where it returns.
waits_for() {	# NAME STATE N VERSION FUNCTION
	within 10 in_state "$1" "$2" || fails "$(cat "$scratch/job")" || return 1
	within 5 stays "$3" "$4" "$5" && within 5 are_armed 1 || fails "no breakpoint: $(cat "$scratch/job")" || return 1
	sleep 0.1	# it was opened just now
}

# From now on walkers call this version and no other; 0.3 s of it.
walkers_call_only() {	# VERSION
	local before after i
	read -ra before < <(ask calls)
	sleep 0.3
	read -ra after < <(ask calls)
	for i in 0 1 2; do
		if [ "$i" = $(($1 - 1)) ]; then
			((after[i] >= before[i] + 10)) || fails "${before[*]} -> ${after[*]}: no calls of version $1" || return 1
		else
			((after[i] == before[i])) || fails "${before[*]} -> ${after[*]}: calls of version $((i + 1))" || return 1
		fi
	done
}

# A call of everything by the answering thread, which is always outside.
runs_family() {	# VERSION
	says "a$1h$1b$1.*" trace
}

apply_ends() {	# STATUS NAME OPTION...
	local status=$1
	shift
	ends_with "$status" apply "$@"
}

revert_ends() {	# STATUS NAME OPTION...
	local status=$1
	shift
	ends_with "$status" revert "$@"
}

# There is nothing to take out: its memory is gone (2), or had to stay (3).
is_out() {	# NAME
	revert "$1"
	[[ $? == [23] ]]
}

# Nothing that leads to new code is left.
text_is_old() {
	text_is_file "$victim" contract.one
}
