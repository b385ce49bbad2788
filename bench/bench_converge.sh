#!/bin/bash
# How long a patch takes to go into a process of which 64 threads are inside of the patched function most of the time: thread by
# thread, and at one instant (--scope process). ROUNDS for the first, one for the second; each is given up after LIMIT seconds.
# The limit: thread by thread, each ends.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../tests/lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from lib.sh and victims.sh
rounds=${ROUNDS-5} limit=${LIMIT-20} shares=${SHARES-0 50 90 99 99.9}
name=bench-converge
target=$build/bench/bench_converge_target
status=0

# One application to a new process. Sets milliseconds, or "" when it gave up, and inside: the share of threads found there.
measure() {	# KIND SHARE OPTION...
	local kind=$1 share=$2 start old new
	shift 2
	victim_start nice -n 5 "$target.1" "$kind" "$share" || exit 2
	sleep 0.3
	read -r inside _ < <(ask)
	start=${EPOCHREALTIME/./}
	limit $((limit + 30)) "$stent" apply "$scratch/$name.stent" -p "$victim" --timeout "$limit" "$@" >"$scratch/output" 2>&1
	code=$?
	milliseconds=$(((${EPOCHREALTIME/./} - start) / 1000))
	case $code in
	0)
		read -r _ old new < <(ask)
		[ "$share" = 0 ] || { [ "$old" = 0 ] && [ "$new" != 0 ]; } ||
			{ echo "bench_converge.sh: calls of the old function when it was done: $old old, $new new"; exit 2; }
		;;
	4) milliseconds= ;;
	*) cat "$scratch/output"; exit 2 ;;
	esac
	kill -KILL "$victim"
	wait "$victim" 2>/dev/null
	exec {victim_in}>&- {victim_out}<&-
	started_all=()
}

row() {	# KIND SHARE
	local i times=() given_up=0 found middle
	for ((i = 0; i < rounds; i++)); do
		measure "$1" "$2"
		found=$inside
		[ "$milliseconds" ] && times+=("$milliseconds") || given_up=$((given_up + 1))
	done
	[ $given_up = 0 ] || status=1
	mapfile -t times < <(printf '%s\n' "${times[@]}" | sort -n)
	middle=${times[${#times[@]} / 2]}
	measure "$1" "$2" --scope process
	printf '%7s%% %10s%% %14s %14s %10s %18s\n' "$2" "$found" "${middle:--}" "${times[-1]:--}" \
		"$given_up of $rounds" "${milliseconds:-gave up at $((limit * 1000))}"
}

limit 60 "$stent" diff "$target.1" "$target.2" -o "$scratch/$name.stent" --name $name >"$scratch/output" 2>&1 ||
	{ cat "$scratch/output"; exit 2; }
for kind in sleeping working; do
	echo "64 threads, $kind inside; milliseconds from the start of the command to its end"
	echo
	printf '%8s %11s %14s %14s %10s %18s\n' inside found "per thread" "at most" "gave up" "all at once"
	for share in $shares; do
		row $kind "$share"
	done
	echo
done
exit $status
