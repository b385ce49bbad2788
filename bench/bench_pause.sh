#!/bin/bash
# How long stent stops a process: beside a bare ptrace stop (bench_pause.c), and as the clients of a real server see it, a redis-server
# of Debian that takes its security update and gives it back while 50 clients ask it. The limit is for the first table.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../demo/servers.sh"
# shellcheck source=demo/redis.sh
. "$top/demo/redis.sh"
# shellcheck disable=SC2154 # from lib.sh and redis.sh
rounds=${ROUNDS-7} requests=${REQUESTS-400000}
name=bench-pause

limit 60 "$stent" diff "$build/bench/bench_pause_target.1" "$build/bench/bench_pause_target.2" -o "$scratch/$name.stent" --name $name \
	>"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 2; }
limit 900 "$build/bench/bench_pause" "$stent" "$build/bench/bench_pause_target.1" "$scratch/$name.stent" $name
verdict=$?
[ $verdict -le 1 ] || exit $verdict

echo
fetch_redis || { echo "no redis-server: $reason"; exit 2; }
limit 60 "$stent" diff "$redis_old" "$redis_new" -o "$scratch/redis.stent" --name redis >"$scratch/output" 2>&1 &&
	start_redis || { cat "$scratch/output"; exit 2; }

# One run of the clients: its percentiles are added to the file.
run_clients() {	# FILE
	LD_LIBRARY_PATH=$libraries limit 120 "$redis_tools/redis-benchmark" -p "$port" -c 50 -n "$requests" -t get --precision 3 |
		tr '\r' '\n' | awk '
			$2 == "<=" && $1 + 0 >= 50 && !p50 { p50 = $3 }
			$2 == "<=" && $1 + 0 >= 99 && !p99 { p99 = $3 }
			$2 == "<=" && $1 + 0 >= 99.9 && !p999 { p999 = $3 }
			/requests per second/ { rate = $(NF - 3) }
			/avg +min/ { getline; max = $NF }
			END { print p50, p99, p999, max, rate }' >>"$1"
}

# A change each half second, while the clients run.
run_changes() {
	local pid=$1
	while sleep 0.5 && ! ended "$pid"; do
		limit 60 "$stent" apply "$scratch/redis.stent" -p "$redis" >>"$scratch/changes" 2>&1 || return 1
		applied=yes
		sleep 0.5
		limit 60 "$stent" revert redis -p "$redis" >>"$scratch/changes" 2>&1 || return 1
	done
}

run_patched() {
	applied=
	start run_clients "$scratch/patched"
	run_changes "$started" || { cat "$scratch/changes"; exit 2; }
	wait "$started"
	[ "$applied" ] || { echo "bench_pause.sh: the clients were done before anything was applied: more REQUESTS"; exit 2; }
}

median() {	# FILE COLUMN
	cut -d ' ' -f "$2" "$1" | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

row() {	# NAME FILE
	printf '%-28s %9s %9s %9s %9s %12.0f\n' "$1" "$(median "$2" 1)" "$(median "$2" 2)" "$(median "$2" 3)" "$(median "$2" 4)" \
		"$(median "$2" 5)"
}

run_clients "$scratch/warm"
: >"$scratch/changes"
for ((i = 0; i < rounds; i++)); do
	run_clients "$scratch/alone"
	run_patched
done
echo "redis-server with 50 clients, medians of $rounds runs of $requests requests, in turns; milliseconds"
echo
printf '%-28s %9s %9s %9s %9s %12s\n' "" p50 p99 p99.9 max "per second"
row "without" "$scratch/alone"
row "apply and revert all along" "$scratch/patched"
echo
sed -n '/ ms more, /!s/^  paused *\([0-9.]*\) ms.*/\1/p' "$scratch/changes" | sort -n |
	awk '{ value[NR] = $1 } END { print NR " changes; paused " value[int((NR + 1) / 2)] " ms each (median), at most " value[NR] " ms" }'
exit $verdict
