# servers.sh: start servers, put load on them, and look at them from outside. To be sourced; on top of
# tests/lib.sh, which ends all that was started when the script ends. Used by the demo and by the tests
# with real programs.
# shellcheck shell=bash
# shellcheck source=tests/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tests/lib.sh"
load_input=''		# the file descriptor that the load's phases go to
load_pid=''

# start quiet LOG COMMAND...: in the background, its output in LOG. It doesn't inherit the load's pipe,
# whose end is what ends the load.
quiet() {
	local log=$1
	shift
	[ -z "$load_input" ] || exec {load_input}>&-
	exec "$@" >"$log" 2>&1 </dev/null
}

# Sets $port to one of 127.0.0.1 that nobody listens on.
find_port() {
	for _ in {1..50}; do
		port=$((20000 + RANDOM % 10000))
		listens "$port" || return 0
	done
	return 1
}

listens() {	# PORT
	(: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Sends standard input, prints what comes back until the other side closes or has been silent for
# SECONDS (3).
ask() {	# PORT [SECONDS]
	local connection line
	{ exec {connection}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
	cat 1>&"$connection"
	while IFS= read -r -t "${2:-3}" line <&"$connection"; do
		printf '%s\n' "$line"
	done
	printf '%s' "$line"
	exec {connection}>&-
}

# Compiles one of the programs of this folder, unless it is there and newer than its source.
build_program() {	# SOURCE PROGRAM FLAG...
	local source=$top/demo/$1 program=$2
	shift 2
	[ ! "$program" -nt "$source" ] || return 0
	mkdir -p "$(dirname "$program")" &&
		"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 "$@" -Wall -Wextra -o "$program.$$" "$source" -pthread &&
		mv "$program.$$" "$program"
}

# The project's own server, both versions, as a distribution would build them: optimised, stripped.
build_servers() {
	local version
	for version in 1 2; do
		build_program server.c "$build/demo/server-$version" -DVERSION=$version -g0 -s -fPIE -pie \
			-Wl,--build-id || return 1
	done
}

# The load generator: load_start, then load_phase for each part, then load_finish.
load_start() {	# MODE PORT [OPTION...]
	build_program load.c "$build/demo/load" || return 1
	rm -f "$scratch/phases"
	mkfifo "$scratch/phases" || return 1
	start quiet_load "$@"
	load_pid=$started
	exec {load_input}>"$scratch/phases"
}

quiet_load() {
	exec "$build/demo/load" "$@" <"$scratch/phases" >"$scratch/load" 2>&1
}

load_phase() {	# NAME
	echo "$1" 1>&"$load_input"
}

# Ends the load. True when requests were made, none failed and no connection was lost; the table is in
# $scratch/load.
load_finish() {
	exec {load_input}>&-
	load_input=''
	wait "$load_pid"
}

check_load() {	# WHAT
	local status
	load_finish
	status=$?
	diag "$(cat "$scratch/load")"
	check "$1" [ $status = 0 ]
}

# Every executable mapping of that file holds what the file holds (zeroes behind its end).
text_equals_file() {	# PID FILE-SUFFIX
	local range flags offset path start end found=1
	while read -r range flags offset _ _ path; do
		[[ $flags == ??x? && $path == *"$2" ]] || continue
		start=$((16#${range%-*})) end=$((16#${range#*-}))
		if ! cmp <(dd if="/proc/$1/mem" bs=4096 skip=$((start / 4096)) count=$(((end - start) / 4096)) status=none) \
			<(dd if="/proc/$1/map_files/$range" bs=4096 skip=$((16#$offset / 4096)) status=none |
				cat - /dev/zero | head -c $((end - start))); then
			echo "the text of process $1 differs from $path"
			return 1
		fi
		found=0
	done < <(cat "/proc/$1/maps")
	[ $found = 0 ] || echo "process $1 has no executable mapping of *$2"
	return $found
}

# Unpacks the packages and sets $folders to where they are and $libraries to what their programs need
# as LD_LIBRARY_PATH; or fails, and $reason says why they can't be had.
fetch_packages() {	# PKG=VERSION...
	if ! "$top/scripts/fetch" "$@" >"$scratch/folders" 2>"$scratch/reason"; then
		# shellcheck disable=SC2034 # for the scripts
		reason=$(tail -n 1 "$scratch/reason")
		return 1
	fi
	# shellcheck disable=SC2034
	mapfile -t folders <"$scratch/folders"
	# shellcheck disable=SC2034 # for the scripts
	libraries=$("$top/scripts/fetch" --libraries)
}

# For check: does the command end with this status?
ends_with() {	# STATUS COMMAND...
	local expected=$1 status
	shift
	limit 60 "$@"
	status=$?
	[ $status = "$expected" ] || { echo "exit status $status, not $expected"; return 1; }
}

# `stent status` says that the process has the patch of that name in that state.
# One that is reverted is listed only if something may refer to its memory.
patch_is() {	# PID NAME STATE
	limit 20 "$stent" status -p "$1" >"$scratch/status" 2>&1 || { cat "$scratch/status"; return 1; }
	cat "$scratch/status"
	if [ "$3" = reverted ]; then
		! grep "^$2: " "$scratch/status" | grep -qv "^$2: reverted"
	else
		grep -q "^$2: $3" "$scratch/status"
	fi
}
