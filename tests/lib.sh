# lib.sh: for test scripts, which speak TAP (https://testanything.org): source it first, then
#
#	plan 3				how many results follow
#	ok "what holds"			one result; not_ok and skip likewise
#	check "what holds" command...	ok if the command succeeds, else not_ok with what it printed
#	verdict $? "what holds"		ok if the status is 0, else not_ok; like check, it returns the status
#	exits 2 "text" command...	true if the command ends with this status, and its output has the text
#	start command...		run in the background, pid in $started; ended when the script ends
#	within 5 command...		try the command again until it succeeds, for so many seconds
#	limit 10 command...		run it, but end it after so many seconds (exit status 124)
#	skip_all "why"			instead of a plan: nothing can be tested here; ends the script
#
# A folder for the script's files is in $scratch; it is removed at the end. $build is the build's folder,
# $stent the program. The current folder is the top of the source tree.
# shellcheck shell=bash
set -u
export LC_ALL=C

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
cd "$top" || exit 1
build=${BUILD:-build}
case $build in /*) ;; *) build=$top/$build ;; esac
# shellcheck disable=SC2034 # for the scripts
stent=$build/stent
export STENT_ROWS_CACHE=$build/rows	# and not the machine's own
scratch=$(mktemp -d "${TMPDIR:-/tmp}/stent-test.XXXXXX") || exit 1
started=
started_all=()
results=0
failures=0

# A child of this script, or a child's child, which is in its process group. Once one has been waited for, its pid may be another's.
is_ours() {	# PID
	local stat own
	{ read -r stat <"/proc/$1/stat" && read -r own <"/proc/$$/stat"; } 2>/dev/null || return 1
	# Behind the name: state, parent, process group (proc(5)).
	read -ra stat <<<"${stat##*) }"
	read -ra own <<<"${own##*) }"
	[ "${stat[1]}" = $$ ] || [ "${stat[2]}" = "${own[2]}" ]
}

# One that is told between fork and exec, while it is still a copy of this shell, forgets it: to be told again until it has gone.
has_obeyed() {	# PID
	ended "$1" || { kill -TERM "$1" 2>/dev/null; return 1; }
}

# Only what this script started, by pid.
clean_up() {
	local status=$? pid
	trap - EXIT
	trap '' TERM INT	# who started this script may tell it again, too
	for pid in ${started_all[@]+"${started_all[@]}"}; do
		is_ours "$pid" && kill -TERM "$pid" 2>/dev/null
	done
	for pid in ${started_all[@]+"${started_all[@]}"}; do
		is_ours "$pid" || continue
		within 5 has_obeyed "$pid" || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$scratch"
	[ "$status" != 0 ] || [ "$failures" = 0 ] || status=1
	exit "$status"
}
trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# Gone or a zombie (which `wait` then takes away).
ended() {	# PID
	! kill -0 "$1" 2>/dev/null || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

plan() {
	echo "1..$1"
}

ok() {
	results=$((results + 1))
	echo "ok $results - $*"
}

not_ok() {
	results=$((results + 1))
	failures=$((failures + 1))
	echo "not ok $results - $*"
}

skip() {	# WHAT WHY
	results=$((results + 1))
	echo "ok $results - $1 # SKIP ${2-}"
}

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

diag() {
	local text=$*
	echo "# ${text//$'\n'/$'\n'# }"
}

check() {	# WHAT COMMAND...
	local what=$1 output status
	shift
	output=$("$@" 2>&1)
	status=$?
	if [ "$status" = 0 ]; then
		ok "$what"
	else
		not_ok "$what"
		diag "exit status $status of: $*"
		[ -z "$output" ] || diag "$output"
	fi
	return "$status"
}

# A result of something that had to be done in this shell, not in a subshell as check does it. The status is returned.
verdict() {	# STATUS WHAT
	if [ "$1" = 0 ]; then ok "$2"; else not_ok "$2"; fi
	return "$1"
}

exits() {	# STATUS PATTERN COMMAND...: this exit status, and the output has this
	local want=$1 pattern=$2 output status
	shift 2
	output=$("$@" 2>&1)
	status=$?
	[ "$status" = "$want" ] || { echo "exit status $status; output: $output"; return 1; }
	grep -q -e "$pattern" <<<"$output" || { echo "no '$pattern' in: $output"; return 1; }
}

start() {
	"$@" &
	started=$!
	started_all+=("$started")
}

within() {	# SECONDS COMMAND...
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@"; do
		[ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
		sleep 0.02
	done
}

limit() {	# SECONDS COMMAND...
	local seconds=$1
	shift
	timeout -k 5 "$seconds" "$@"
}
