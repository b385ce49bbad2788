#!/bin/bash
# nginx of Debian 12 takes the update deb12u9 -> deb12u11: master and workers, with requests running
# through them.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
# shellcheck source=tests/nginx.sh
. "$top/tests/nginx.sh"
fetch_packages nginx=1.22.1-9+deb12u9 nginx=1.22.1-9+deb12u11 || skip_all "$reason"
# shellcheck disable=SC2154 # set by fetch_packages
old=${folders[0]}/usr/sbin/nginx new=${folders[1]}/usr/sbin/nginx
plan 17

# The update bounds what a script may write (CVE-2026-42533). The length of "[$1][$answer]" is that of
# the location's $1; then $answer matches another expression, and what is written has another $1.
http='map $http_long $answer { default ""; "~^(.*)$" ""; }'
location='location ~ ^/capture/(.)$ { return 200 "[$1][$answer]"; }'

answers_capture() {	# STATUS HEADER
	local answer
	answer=$(printf 'GET /capture/a HTTP/1.1\r\nHost: localhost\r\n%s\r\nConnection: close\r\n\r\n' "$2" | ask "$port")
	[[ $answer == "HTTP/1.1 $1"* ]] || { echo "the answer is: $answer"; return 1; }
}

# Each worker may take the request: ask often enough to meet all of them.
all_answer() {	# STATUS
	for _ in {1..20}; do
		answers_capture "$1" "Long: bbbbbbbb" || return 1
	done
}

each() {	# COMMAND...: for every process, with -p PID
	local pid
	for pid in "$master" "${workers[@]}"; do
		limit 60 "$@" -p "$pid" || { echo "exit status $? for process $pid"; return 1; }
	done
}

each_is() {	# STATE
	local pid
	for pid in "$master" "${workers[@]}"; do
		patch_is "$pid" "$name" "$1" || { echo "process $pid"; return 1; }
	done
}

each_text_equals() {
	local pid
	for pid in "$master" "${workers[@]}"; do
		text_equals_file "$pid" /nginx || return 1
	done
}

name="nginx-u11"
# What grew belongs to connections of HTTP/2, which this one doesn't have: the user's to know.
check "diff refuses, because objects have grown" ends_with 2 "$stent" diff "$old" "$new" -o "$scratch/fix.stent"
check "and says which" eval 'limit 60 "$stent" diff "$old" "$new" -o "$scratch/fix.stent" 2>&1 | grep -q "ngx_http_v2_init tells ngx_pcalloc 0x1e0 bytes where it told it 0x1c8"'
check "diff --allow-layout" limit 60 "$stent" diff "$old" "$new" -o "$scratch/fix.stent" --name "$name" --allow-layout || exit 1
check "show" limit 20 "$stent" show "$scratch/fix.stent"
start_nginx "${folders[0]}" "$http" "$location"
verdict $? "the old version starts, with a master and two workers"
check "a capture that grows overruns its buffer" all_answer 200
# For "/" a worker is inside of the index module, which the update changes, for most of its time: the hard case.
load_start http "$port" -c 20 -t 100
sleep 2
load_phase apply
check "apply under load, to each" each "$stent" apply --timeout 30 "$scratch/fix.stent"
load_phase after
check "the overrun is now refused" all_answer 500
check "and a capture as long as expected is not" answers_capture 200 "Other: b"
check "status says so for each" each_is active
sleep 2
load_phase revert
check "revert under load, from each" each "$stent" revert --timeout 30 "$name"
load_phase end
check "the old behaviour is back" all_answer 200
check "status says so for each, too" each_is reverted
check_load "every request was answered, no connection was lost"
check "the workers are the same as before" [ "${workers[*]}" = "$(tr -s ' ' <"/proc/$master/task/$master/children" | sed 's/ $//')" ]
check "nothing but the refusals in the error log" \
	awk '!/no buffer space in script copy/ { print; other = 1 } END { exit other }' "$scratch/error.log"
check "the text of the processes is the file's again" each_text_equals
