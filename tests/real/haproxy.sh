#!/bin/bash
# haproxy of Debian 12 takes the update deb12u3 -> deb12u4 under load. A request runs through it twice:
# its own second frontend is the server behind the first.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
fetch_packages haproxy=2.6.12-1+deb12u3 haproxy=2.6.12-1+deb12u4 || skip_all "$reason"
# shellcheck disable=SC2154 # set by fetch_packages
old=${folders[0]}/usr/sbin/haproxy new=${folders[1]}/usr/sbin/haproxy
plan 13

find_port
origin=$port
find_port
cat >"$scratch/haproxy.cfg" <<END
global
	nbthread 2
	maxconn 500
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend front
	bind 127.0.0.1:$port
	default_backend back
backend back
	server local 127.0.0.1:$origin
frontend origin
	bind 127.0.0.1:$origin
	http-request wait-for-body time 1s if { method POST }
	http-request return status 200 content-type text/plain lf-string "hello\n"
END

# A chunk of a body whose size is given with more zeroes than a buffer holds: the old version waits for
# the rest of the line and finds no room for it, the new one refuses it at once.
answers_chunk() {	# ZEROES STATUS
	local answer
	answer=$({
		printf 'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n'
		head -c "$1" /dev/zero | tr '\0' 0
		printf '5\r\nhello\r\n0\r\n\r\n'
	} 2>/dev/null | ask "$port" 2)
	[[ $answer == "HTTP/1.1 $2"* ]] || { echo "the answer is: $answer"; return 1; }
}

keeps_versions() {
	local variable
	for variable in haproxy_version haproxy_date stats_version_string; do
		limit 20 "$stent" show "$scratch/fix.stent" | grep -q "note .*the variable $variable only says the version" || { echo "$variable is not named"; return 1; }
	done
}

name="haproxy-u4"
check "diff" limit 60 "$stent" diff "$old" "$new" -o "$scratch/fix.stent" --name "$name" || exit 1
# They are initialised variables, which a running process keeps.
check "show names the variables that say the version and its date" keeps_versions
# shellcheck disable=SC2154 # set by fetch_packages
start quiet "$scratch/log" env "LD_LIBRARY_PATH=$libraries" "$old" -f "$scratch/haproxy.cfg" -db
haproxy=$started
check "the old version starts" within 10 listens "$port" || exit 1
check "it waits for more of a chunk size too long" answers_chunk 60000 408
load_start http "$port" -c 30 -t 100
sleep 2
load_phase apply
check "apply under load" limit 60 "$stent" apply "$scratch/fix.stent" -p "$haproxy"
load_phase after
check "a chunk size too long is now refused" answers_chunk 60000 400
check "and one that fits is not" answers_chunk 100 200
check "status says so" patch_is "$haproxy" "$name" active
sleep 2
load_phase revert
check "revert under load" limit 60 "$stent" revert "$name" -p "$haproxy"
load_phase end
check "the old behaviour is back" answers_chunk 60000 408
check "status says so, too" patch_is "$haproxy" "$name" reverted
check_load "every request was answered, no connection was lost"
check "the text of the process is its file's again" text_equals_file "$haproxy" /haproxy
