#!/bin/bash
# Servers that are a tree of processes, patched as one with --tree while processes come and go: a small one of our own, and nginx.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
# shellcheck source=tests/nginx.sh
. "$top/tests/nginx.sh"
# shellcheck source=tests/trees.sh
. "$top/tests/trees.sh"
plan 26

for version in 1 2; do
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -g -Wl,--build-id -pthread -DVERSION=$version -o "$scratch/server.$version" \
		"$top/tests/transition/tree_server.c" || exit 1
done
limit 60 "$stent" diff "$scratch/server.1" "$scratch/server.2" -o "$scratch/server.stent" --name server >"$scratch/output" 2>&1 ||
	{ cat "$scratch/output"; exit 1; }

exchange() {	# PORT REQUEST
	echo "$2" | ask "$1" 12
}

answers() {	# VERSION
	local answer
	for _ in {1..20}; do
		answer=$(exchange "$port" call) && [[ $answer == "$1 $1 "* ]] || { echo "the answer is '$answer'"; return 1; }
	done
}

# Sets $counts to what the clients have seen since the last time.
read -ra counts <<<""
count() {
	echo >&"$load_in"
	read -t 10 -ra counts <&"$load_out"
}

# Many requests, none failed, none mixed.
clean_counts() {
	echo "requests, failed, mixed, old, new: ${counts[*]}"
	((counts[0] >= 50 && counts[1] == 0 && counts[2] == 0))
}

only_version() {	# VERSION
	sleep 0.3	# for answers on their way
	count && sleep 1 && count && clean_counts && ((counts[5 - $1] == 0 && counts[$1 + 2] >= 50)) || { echo "${counts[*]}"; return 1; }
}

start_clients() {
	mkfifo "$scratch/load.in" "$scratch/load.out"
	start run_clients
	exec {load_in}>"$scratch/load.in" {load_out}<"$scratch/load.out"
	rm "$scratch/load.in" "$scratch/load.out"
	read -t 10 -r _ <&"$load_out"
}

run_clients() {
	exec "$scratch/server.1" load "$port" 8 <"$scratch/load.in" >"$scratch/load.out"
}

start quiet "$scratch/port" "$scratch/server.1" serve 3
master=$started
within 5 grep -q . "$scratch/port"
port=$(cat "$scratch/port")
read -ra workers <"/proc/$master/task/$master/children"
check "a server with three workers" [ "${#workers[@]}" = 3 ] || exit 1
start_clients
check "it answers" answers 1

# Someone is in old code for two seconds, and someone else has a child there after one.
held() {	# REQUEST
	exchange "$port" "$1" >"$scratch/$1.$2"
}
start held hold 1
holder=$started
start held fork 1
forker=$started
sleep 0.3
check "apply --tree under load, with processes that come and go" limit 60 "$stent" apply "$scratch/server.stent" --tree -p "$master" -v
wait "$holder" "$forker"
check "who was inside stayed old" grep -q '^1 1 ' "$scratch/hold.1"
check "and so did the child that was forked there" grep -q '^1 1 ' "$scratch/fork.1"
read -r _ _ lingering <"$scratch/fork.1"
check "which has been finished, too" patch_is "${lingering:-0}" server active
check "all processes have the patch" tree_is "$master" server active server
check "every answer is new" only_version 2
check "again" answers 2
limit 60 "$stent" apply "$scratch/server.stent" --tree -p "$master" >"$scratch/output" 2>&1
check "nothing to do the second time" [ $? = 3 ]
start held hold 2
holder=$started
start held fork 2
forker=$started
sleep 0.3
limit 60 "$stent" revert server --tree -p "$master" -v >"$scratch/output" 2>&1
status=$?
cp "$scratch/output" "$scratch/reverted"
check "revert --tree" [ $status = 0 ] || diag "$(cat "$scratch/reverted")"
check "it names every process" names_each "$scratch/reverted" "$master" "${workers[@]}"
wait "$holder" "$forker"
check "who was inside stayed new" grep -q '^2 2 ' "$scratch/hold.2"
check "and so did the child that was forked there" grep -q '^2 2 ' "$scratch/fork.2"
check "no process has the patch" tree_is "$master" server reverted server
check "every answer is old" only_version 1
exec {load_in}>&- {load_out}<&-
kill "$master"

# nginx: a master, which never runs what its workers do, and two of them.
fetch_nginx() {
	fetch_packages nginx=1.22.1-9+deb12u9 nginx=1.22.1-9+deb12u11
}
if ! fetch_nginx; then
	for _ in {1..10}; do
		skip "nginx" "$reason"
	done
	exit "$((failures > 0))"
fi
# shellcheck disable=SC2154 # set by fetch_packages
old=${folders[0]}/usr/sbin/nginx new=${folders[1]}/usr/sbin/nginx
# (What grew belongs to connections of HTTP/2, which this one doesn't have.)
limit 60 "$stent" diff "$old" "$new" -o "$scratch/nginx.stent" --name nginx --allow-layout >"$scratch/output" 2>&1
start_nginx "${folders[0]}"
verdict $? "nginx starts, with a master and two workers"
load_start http "$port" -c 20 -t 100
sleep 1
load_phase apply
limit 60 "$stent" apply --tree "$scratch/nginx.stent" -p "$master" >"$scratch/applied" 2>&1
status=$?
check "apply --tree under load" [ $status = 0 ] || diag "$(cat "$scratch/applied")"
check "it names every process" names_each "$scratch/applied" "$master" "${workers[@]}"
check "master and workers have the patch" tree_is "$master" nginx active nginx
load_phase revert
check "revert --tree under load" limit 60 "$stent" revert --tree nginx -p "$master"
check "master and workers are without it" tree_is "$master" nginx reverted nginx
check_load "every request was answered, no connection was lost"
check "apply --tree again" limit 60 "$stent" apply --tree "$scratch/nginx.stent" -p "$master"
kill -KILL "${workers[0]}"
replaced() {
	find_workers && [[ " ${workers[*]} " != *" $1 "* ]]
}
within 5 replaced "${workers[0]}"
check "a worker that the master makes now has the patch" tree_is "$master" nginx active nginx
check "revert --tree takes it out of all" limit 60 "$stent" revert --tree nginx -p "$master"

exit "$((failures > 0))"
