#!/bin/bash
# `stent stack` finds the same return addresses as libdwfl and libunwind-ptrace, on every thread of real programs, and as
# programs of our own that have recorded theirs. The process is stopped (SIGSTOP) while the three look at it one after the
# other; servers are stopped wherever they are, under load, a few times.
#
#	COMPARE_ROUNDS=N	how often each server is looked at (3)
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
# shellcheck source=demo/redis.sh
. "$top/demo/redis.sh"
# shellcheck source=tests/nginx.sh
. "$top/tests/nginx.sh"
# shellcheck source=tests/postgres.sh
. "$top/tests/postgres.sh"
rounds=${COMPARE_ROUNDS:-3}
programs=$build/tests/stack
plan 11

all_stopped() {	# PID
	! awk '{ sub(/.*\) /, ""); if ($1 != "T" && $1 != "Z") running = 1 } END { exit !running }' /proc/"$1"/task/*/stat
}

# Where a process is: in which call, and waiting for what. In what it does in user space it is looked at twice.
whereabouts() {	# PID
	local file
	for file in stat syscall wchan stack stat; do
		sed "s|^|/proc/$1/$file: |" "/proc/$1/$file" 2>&1
		echo
	done
	grep -E '^(State|TracerPid|Sig|Shd)' "/proc/$1/status"
}

# stent has been seen to hang here once, and nobody knows why: so it is asked before it is ended.
take_stacks() {	# PID
	local status
	start "$stent" stack "$1" --json >"$scratch/json"
	within 20 ended "$started" || { whereabouts "$started"; whereabouts "$1"; kill -KILL "$started"; }
	wait "$started"
	status=$?
	[ "$status" = 0 ] || echo "stent stack: exit status $status"
	return "$status"
}

# The three views of a stopped process; and it is still as stopped as before, and the first view is still true.
look() {	# PID
	cat "/proc/$1/maps" >"$scratch/maps"
	limit 20 "$build/tests/oracle/chains" dwfl "$1" >"$scratch/dwfl" || return 1
	limit 20 "$build/tests/oracle/chains" unwind "$1" >"$scratch/unwind" || return 1
	take_stacks "$1" || return 1
	"$build/tests/oracle/json_chains" <"$scratch/json" >"$scratch/stent" 2>"$scratch/doubts" || return 1
	# A thread that is let go takes a moment to stop again.
	within 1 all_stopped "$1" || { echo "a thread has run on"; return 1; }
	# But for the innermost pc: stent makes some calls begin again that a stop would end with EINTR.
	limit 20 "$build/tests/oracle/chains" dwfl "$1" >"$scratch/again" || return 1
	cmp <(cut -d ' ' -f 1,3- "$scratch/dwfl") <(cut -d ' ' -f 1,3- "$scratch/again") || { echo "the stacks have changed"; return 1; }
}

stopped_look() {	# PID
	cat "/proc/$1/maps" >"$scratch/maps"
	local status
	kill -STOP "$1" && within 5 all_stopped "$1" || return 1
	look "$1"
	status=$?
	kill -CONT "$1"
	return $status
}

same() {	# VIEW OTHER
	cmp -s "$scratch/$1" "$scratch/$2" && [ -s "$scratch/$1" ] && return
	diff "$scratch/$1" "$scratch/$2" | sed "s/^</$1/; s/^>/$2/" | head -n 20
	return 1
}

# Prints the first address of a line "TID PC PC..." that is in no executable mapping: such a chain is wrong, whoever found it.
no_code() {	# LINE
	awk -v line="$1" '
		function pad(hex) { return substr("0000000000000000" hex, length(hex) + 1) }
		$2 ~ /x/ { split($1, range, "-"); from[++count] = pad(range[1]); to[count] = pad(range[2]) }
		END {
			words = split(line, word, " ")
			for (i = 2; i <= words; i++) {
				address = pad(substr(word[i], 3))
				for (j = 1; j <= count && !(from[j] <= address && address < to[j]); j++) ;
				if (j > count) { print word[i]; exit 0 }
			}
			exit 1
		}' "$scratch/maps"
}

# The view is stent's, or wrong for each thread that it differs in (libunwind can't read the unwind data of the vdso, and
# follows frame pointers then).
same_as_stent() {	# VIEW
	local line address
	cmp -s "$scratch/$1" "$scratch/stent" && return
	[ "$(cut -d ' ' -f 1 "$scratch/$1")" = "$(cut -d ' ' -f 1 "$scratch/stent")" ] || { echo "$1 has other threads"; return 1; }
	while IFS= read -r line; do
		address=$(no_code "$line") || { same "$1" stent; return 1; }
		echo "$1 is wrong, $address is in no executable mapping: $line" >>"$scratch/disproved"
	done < <(grep -vxFf "$scratch/stent" "$scratch/$1")
}

# At least one of the two others has to be the same as stent's.
compare_once() {	# PID
	stopped_look "$1" && same_as_stent dwfl && same_as_stent unwind || return 1
	cmp -s "$scratch/dwfl" "$scratch/stent" || same unwind stent
}

compare_often() {	# PID...
	local i pid
	threads=0 unproven=0
	: >"$scratch/all_doubts"
	: >"$scratch/disproved"
	for ((i = 0; i < rounds; i++)); do
		for pid; do
			compare_once "$pid" || { echo "process $pid, round $i"; return 1; }
			threads=$((threads + $(wc -l <"$scratch/stent"))) unproven=$((unproven + $(wc -l <"$scratch/doubts")))
			cut -d ' ' -f 2- "$scratch/doubts" >>"$scratch/all_doubts"
		done
		sleep 0.05
	done
	[ "$threads" -gt 0 ]
}

compare() {	# WHAT PID...
	local what=$1
	shift
	compare_often "$@" >"$scratch/differences"
	check "$what: the same return addresses" [ $? = 0 ] || diag "$(cat "$scratch/differences")"
	diag "$threads stacks compared, $unproven of them not proven"
	[ ! -s "$scratch/all_doubts" ] || diag "$(sort "$scratch/all_doubts" | uniq -c | sort -rn | head -n 5)"
	[ ! -s "$scratch/disproved" ] || diag "$(cut -c 1-200 "$scratch/disproved")"
}

# What the program has recorded of its own threads, without the two innermost frames.
as_recorded() {
	grep '^[0-9]' "$scratch/recorded" | sort >"$scratch/known"
	awk 'NR == FNR { recorded[$1]; next } $1 in recorded { sub(/ [^ ]* [^ ]*/, ""); print }' "$scratch/known" "$scratch/stent" |
		sort >"$scratch/found"
	same known found
}

start_recorder() {	# PROGRAM ARGUMENT...
	start "$@" >"$scratch/recorded"
	within 20 grep -q '^ready' "$scratch/recorded"
}

start_recorder "$programs/many" 64 38
check "64 threads start" grep -q ready "$scratch/recorded"
rounds=1 compare "64 threads of 38 frames" "$started"	# they never move
check "which are those that the program has recorded" as_recorded
check "38 in each" awk '{ count[NF - 1]++ } END { exit count[38] != 64 }' "$scratch/stent"

start_recorder "$programs/throw"
check "a C++ program starts, in the middle of exceptions" grep -q ready "$scratch/recorded"
rounds=1 compare "C++ exceptions" "$started"
check "which are those that the program has recorded" as_recorded

# Threads in frames of the interpreter, of C code that calls back into it, and in between.
with_python() {
	fetch_packages python3.11-minimal libpython3.11-minimal libpython3.11-stdlib || { skip "python3.11" "$reason"; return; }
	cat >"$scratch/nested.py" <<-'END'
		import functools, threading, time
		def nested(depth):
		    if depth == 0:
		        while True:
		            sorted(range(300), key=functools.cmp_to_key(lambda a, b: b - a))
		            time.sleep(0.001)
		    return list(map(nested, [depth - 1]))
		for depth in range(5):
		    threading.Thread(target=nested, args=(depth,)).start()
		print("ready", flush=True)
		nested(6)
	END
	: >"$scratch/python"
	start quiet "$scratch/python" env "PYTHONPATH=${folders[1]}/usr/lib/python3.11:${folders[2]}/usr/lib/python3.11" \
		"LD_LIBRARY_PATH=$libraries" "${folders[0]}/usr/bin/python3.11" -S "$scratch/nested.py"
	within 10 grep -q '^ready' "$scratch/python"
	compare "python3.11, 6 threads" "$started"
}

with_redis() {
	fetch_redis || { skip "redis" "$reason"; return; }
	start_redis
	load_start redis "$port" -c 20 -t 100
	sleep 0.3
	compare "redis under load" "$redis"
	load_finish
}

with_nginx() {
	local master workers
	fetch_packages nginx=1.22.1-9+deb12u9 || { skip "nginx" "$reason"; return; }
	start_nginx "${folders[0]}"
	load_start http "$port" -c 20 -t 100
	sleep 0.3
	compare "nginx under load, master and ${#workers[@]} workers" "$master" "${workers[@]}"
	load_finish
}

sessions() {
	psql -A -t -c "select pid from pg_stat_activity where query like '%stent%' and query not like '%activity%'"
}

two_sessions() {
	[ "$(sessions | wc -l)" = 2 ]
}

# One session in plpgsql, asleep; one in the executor; the postmaster, which forks the others; and a worker.
with_postgres() {
	local server pids
	fetch_packages postgresql-15 postgresql-client-15 || { skip "postgres" "$reason"; return; }
	start_postgres "${folders[@]}" >"$scratch/output" || { not_ok "postgres starts"; diag "$(cat "$scratch/output")"; return; }
	start psql -c "do \$\$ begin /* stent */ perform pg_sleep(100); end \$\$" >/dev/null 2>&1
	start psql -c "select /* stent */ count(*) from generate_series(1, 1000000000) as a where a % 7 = 3" >/dev/null 2>&1
	within 10 two_sessions
	mapfile -t pids < <(sessions)
	compare "postgres, ${#pids[@]} sessions and the postmaster" "$server" "${pids[@]}"
	kill -INT "$server"
}

with_python
with_redis
with_nginx
with_postgres
exit "$((failures > 0))"
