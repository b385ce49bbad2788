#!/bin/bash
# A security update goes into a running, loaded server, and out again. Shows what happens, checks it from
# outside, and ends with status 0 only when every check held. Nothing is installed and nothing stays.
#
#	demo/demo.sh		redis-server, two versions that Debian serves
#	demo/demo.sh own	demo/server.c, as where the packages can't be had
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/servers.sh"
# shellcheck source=demo/redis.sh
. "$top/demo/redis.sh"

phases=()
bold='' green='' red='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

say() {
	printf '%s\n' "$@"
}

title() {
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# Shows a command as a person would type it, runs it and shows what it prints.
run() {
	local status line=''
	printf -v line '%s ' "${@@Q}"
	printf '  %s$ %s%s\n' "$bold" "$(sed "s/ $//; s/'\([^ ]*\)'/\1/g" <<<"$line")" "$plain"
	limit 90 "$@" >"$scratch/output" 2>&1
	status=$?
	sed "s|^|    |" "$scratch/output"
	return $status
}

# Like a test's check, for people.
holds() {	# WHAT COMMAND...
	local what=$1
	shift
	if "$@" >"$scratch/why" 2>&1; then
		results=$((results + 1))
		printf '  %s[ok]%s     %s\n' "$green" "$plain" "$what"
	else
		failures=$((failures + 1))
		printf '  %s[FAILED]%s %s\n' "$red" "$plain" "$what"
		sed 's/^/           /' "$scratch/why"
	fi
}

give_up() {
	say "$@"
	exit 1
}

# --- The real server -------------------------------------------------------------------------------

redis_scene() {
	ln -s "${folders[0]}" "$scratch/deb12u7"
	ln -s "${folders[1]}" "$scratch/deb12u10"
	old=deb12u7/usr/bin/redis-check-rdb new=deb12u10/usr/bin/redis-check-rdb
	versions=("$redis_old_version" "$redis_new_version")
	name="redis-security" text=/redis-check-rdb
	description="the Debian security updates of July to September 2026"
	old_answer='OK' new_answer='ERR Bad data format'
	start_redis || give_up "redis-server does not start:" "$(cat "$scratch/log")"
	server=$redis
	say "  redis-server $redis_old_version runs as process $server, as Debian built it. (In Debian," \
		"  redis-server is another name of redis-check-rdb: one program, in the package redis-tools.)" \
		"  The update, $redis_new_version, corrects among others CVE-2026-25243: RESTORE did not" \
		"  validate what it was given."
}

redis_load() {
	start benchmark set
	benchmarks=("$started")
	start benchmark get
	benchmarks+=("$started")
	load_start redis "$port" -c 4 -i 500 -t 150 || give_up "the load does not start"
	start quiet "$scratch/blpop" env "LD_LIBRARY_PATH=$libraries" "$redis_tools/redis-cli" -p "$port" blpop queue 0
	mkfifo "$scratch/monitor"
	start watch_monitor
	start quiet "$scratch/monitor" env "LD_LIBRARY_PATH=$libraries" "$redis_tools/redis-cli" -p "$port" monitor
	within 10 connected 56 || give_up "not all clients could connect"
	say "  redis-benchmark with 50 connections, 25 for SET and 25 for GET; 4 more that compare every" \
		"  answer; one client that waits in BLPOP; one that watches with MONITOR."
}

# redis-benchmark ends at the first error, so that it runs on says that it had none. Four times a
# second it prints its rate, which gets the time in front of it here.
benchmark() {	# TEST
	local line
	[ -z "$load_input" ] || exec {load_input}>&-
	mkfifo "$scratch/benchmark-$1"
	{
		while IFS= read -r -d $'\r' line; do
			[[ $line != *rps=* ]] || echo "$EPOCHREALTIME $line"
		done <"$scratch/benchmark-$1" >"$scratch/rates-$1"
	} &
	exec env "LD_LIBRARY_PATH=$libraries" "$redis_tools/redis-benchmark" -p "$port" -c 25 -n 1000000000 -t "$1" \
		-r 100000 -d 64 -q >"$scratch/benchmark-$1" 2>"$scratch/benchmark-$1.err" </dev/null
}

# All that MONITOR sees is too much to keep: 150,000 commands a second.
watch_monitor() {
	[ -z "$load_input" ] || exec {load_input}>&-
	exec grep --line-buffered '"rpush"' "$scratch/monitor" >"$scratch/monitor-saw"
}

connected() {	# COUNT
	[ "$(client_ids | wc -l)" -ge "$1" ]
}

# The server's numbers for its connections, but for the one that asks: a connection that was made anew
# has a new number.
client_ids() {
	redis_cli client list | grep -v 'cmd=client|list' | sed -n 's/^id=\([0-9]*\) .*/\1/p' | sort -n
}

redis_probe() {
	restore_zipmap
}

redis_probe_text() {
	say "  redis-cli -x RESTORE zipmap 0, with a payload whose inner lengths contradict its format:"
}

redis_checks() {
	holds "no connection was dropped: the same 56 as before" [ "$(client_ids)" = "$clients_before" ]
	holds "redis-benchmark never got an error" kill -0 "${benchmarks[@]}"
	holds "the server answered no other request with an error" \
		[ "$(redis_cli info stats | sed -n 's/^total_error_replies:\([0-9]*\).*/\1/p')" = 1 ]
	redis_cli rpush queue "hello again" >/dev/null
	holds "the client that waited in BLPOP all the time gets its answer" \
		within 5 grep -q '^hello again$' "$scratch/blpop"
	holds "the client in MONITOR saw that" within 5 grep -q '"hello again"' "$scratch/monitor-saw"
	kill "${benchmarks[@]}" 2>/dev/null
}

# --- The project's own server, where packages can't be had -----------------------------------------

own_scene() {
	build_servers || give_up "demo/server.c does not compile"
	cp "$build/demo/server-1" "$scratch/server"
	cp "$build/demo/server-2" "$scratch/server-new"
	old=server new=server-new
	versions=(1 2)
	name="server-2" text=/server
	description="parse numbers strictly"
	old_answer='8' new_answer='error: numbers are separated by commas'
	find_port
	start quiet "$scratch/log" "$scratch/server" "$port"
	server=$started
	within 10 listens "$port" || give_up "demo/server.c does not start"
	say "  demo/server.c, stripped, runs as process $server, with a thread per connection. Version 2 corrects" \
		"  its parser."
}

own_load() {
	load_start line "$port" -c 50 -t 150 || give_up "the load does not start"
	say "  50 connections that ask for sums and compare every answer."
}

own_probe() {
	local connection line
	exec {connection}<>"/dev/tcp/127.0.0.1/$port" || return 1
	echo "sum 5-3" 1>&"$connection"
	IFS= read -r -t 5 line <&"$connection"
	exec {connection}>&-
	echo "$line"
}

own_probe_text() {
	say '  The request "sum 5-3", which is not a list of numbers:'
}

own_checks() {
	:
}

# --- What happens ----------------------------------------------------------------------------------

probe() {	# EXPECTED
	local answer
	answer=$("${scene}_probe")
	say "    $answer"
	holds "that is the $2 code" [ "$answer" = "$1" ]
}

# What redis-benchmark measured between two times, both tests together. It prints a rate four times a
# second, so what is said of a shorter time is about the quarters of a second that it lies in.
benchmark_rate() {	# FROM TO
	local test
	for test in set get; do
		awk -v from="$1" -v to="$2" '
			$1 > from && $1 <= to + 0.3 { sub(/.*rps=/, ""); sum += $1; count++ }
			END { print count ? sum / count : 0 }' "$scratch/rates-$test"
	done | awk '{ sum += $1 } END { printf "%d", sum }'
}

# Marks the time and tells the load, whose table has a row for each phase.
phase() {	# NAME
	phases+=("$EPOCHREALTIME")
	load_phase "$1"
}

show_figures() {
	local name rate p50 p99 longest failed i=0
	phases+=("$EPOCHREALTIME")
	printf '  %-12s %14s %12s %12s %12s %10s\n' '' 'requests/s' 'median' '99%' 'longest' 'failed'
	while read -r name _ rate p50 p99 longest failed _; do
		[ "$scene" != redis ] || rate=$(benchmark_rate "${phases[i]}" "${phases[i + 1]}")
		printf '  %-12s %14s %9s ms %9s ms %9s ms %10s\n' "$name" "$rate" "$p50" "$p99" "$longest" "$failed"
		i=$((i + 1))
	done < <(sed '/^phase/d; /^start/d; /^total/d' "$scratch/load")
	[ "$scene" != redis ] ||
		say "  (requests/s: redis-benchmark; the rest: the 4 clients that compare every answer)"
}

cd "$scratch" || exit 1
PATH=$build:$PATH
title "stent: a fix for a running program"
if [ "${1-}" = own ]; then
	scene=own
elif fetch_redis; then
	scene=redis
else
	say "  The packages of redis-server can't be had here, so this runs on the project's own server." "  ($reason)"
	scene=own
fi

title "The server"
"${scene}_scene"
"${scene}_probe_text"
probe "$old_answer" old

title "Its load"
"${scene}_load"

title "The patch: what differs between the two binaries. No source, no symbols, no rebuild."
run stent diff "$old" "$new" -o fix.stent --name "$name" --description "$description" \
	--old-version "${versions[0]}" --new-version "${versions[1]}" || give_up "there is no patch to apply"
say ''
printf '  %s$ stent show fix.stent%s\n' "$bold" "$plain"
limit 20 stent show fix.stent >"$scratch/show"
grep -v '^noise' "$scratch/show" | sed 's/^/    /'
noise=$(grep -c '^noise' "$scratch/show")
[ "$noise" = 0 ] || say "    ($noise lines about functions in which only line numbers changed are left out here)"

phase before
sleep 3
[ "$scene" != redis ] || clients_before=$(client_ids)

title "The fix goes in, under load"
phase apply
run stent apply fix.stent -p "$server"
applied=$?
phase after
holds "stent apply ended with status 0" [ "$applied" = 0 ]
"${scene}_probe_text"
probe "$new_answer" new
run stent status -p "$server"
sleep 3

title "And out again"
phase revert
run stent revert "$name" -p "$server"
reverted=$?
phase reverted
holds "stent revert ended with status 0" [ "$reverted" = 0 ]
"${scene}_probe_text"
probe "$old_answer" old
sleep 2

title "What the clients saw"
"${scene}_checks"
load_finish
loaded=$?
show_figures
holds "every request was answered, and rightly" [ $loaded = 0 ]
holds "the program's text is that of its file again, byte for byte" text_equals_file "$server" "$text"

if [ "$failures" = 0 ]; then
	title "${green}All $results checks held."
else
	title "${red}$failures of $((results + failures)) checks failed."
fi
[ "$failures" = 0 ]
