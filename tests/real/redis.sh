#!/bin/bash
# redis-server of Debian 12, stripped and unprepared, takes the update deb12u7 -> deb12u10 under load.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
# shellcheck source=demo/redis.sh
. "$top/demo/redis.sh"
fetch_redis || skip_all "$reason"
plan 17

answers_restore() {	# ANSWER
	local answer
	answer=$(restore_zipmap)
	[ "$answer" = "$1" ] || { echo "the answer is '$answer'"; return 1; }
}

name="redis-u10"
check "diff" limit 60 "$stent" diff "$redis_old" "$redis_new" -o "$scratch/fix.stent" --name "$name" || exit 1
check "show" limit 20 "$stent" show "$scratch/fix.stent"
start_redis
check "the old server starts" listens "$port" || exit 1
check "it accepts a zipmap that isn't well-formed" answers_restore OK
start quiet "$scratch/blpop" env "LD_LIBRARY_PATH=$libraries" "$redis_tools/redis-cli" -p "$port" blpop queue 0
blpop=$started
start quiet "$scratch/monitor" env "LD_LIBRARY_PATH=$libraries" "$redis_tools/redis-cli" -p "$port" monitor
monitor=$started
load_start redis "$port" -c 50 -t 100
sleep 2
load_phase apply
check "apply under load" limit 60 "$stent" apply "$scratch/fix.stent" -p "$redis"
load_phase after
check "the zipmap is now refused" answers_restore "ERR Bad data format"
check "status says so" patch_is "$redis" "$name" active
check "the same patch twice: nothing to do" ends_with 3 "$stent" apply "$scratch/fix.stent" -p "$redis"
sleep 2
load_phase revert
check "revert under load" limit 60 "$stent" revert "$name" -p "$redis"
load_phase end
check "the zipmap is accepted again" answers_restore OK
check "status says so, too" patch_is "$redis" "$name" reverted
is_out() {
	"$stent" revert "$name" -p "$redis"
	[[ $? == [23] ]]
}
check "reverting it again: nothing is there (2), or nothing to do (3)" is_out
check_load "every request was answered, no connection was lost"
check "the client that waits in BLPOP still waits" kill -0 "$blpop"
redis_cli rpush queue answer >/dev/null
check "and gets its answer" within 5 grep -q '^answer$' "$scratch/blpop"
check "the client in MONITOR saw that" within 5 grep -q '"rpush" "queue"' "$scratch/monitor"
kill "$monitor"
check "the text of the process is its file's again" text_equals_file "$redis" /redis-check-rdb
