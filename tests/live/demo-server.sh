#!/bin/bash
# The project's own multi-threaded server takes a correction under load, and gives it back.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
plan 16

answers() {	# REQUEST ANSWER
	local answer
	answer=$(ask_line "$1")
	[ "$answer" = "$2" ] || { echo "'$1' was answered by '$answer'"; return 1; }
}

ask_line() {	# REQUEST
	local connection line
	exec {connection}<>"/dev/tcp/127.0.0.1/$port"
	echo "$1" 1>&"$connection"
	IFS= read -r -t 5 line <&"$connection"
	exec {connection}>&-
	echo "$line"
}

# Not reset by a patch: what the server has counted.
counts_on() {
	local now
	now=$(ask_line count)
	[ "$now" -gt "$counted" ] || { echo "counted $counted, then $now"; return 1; }
}

name="demo-server-2"
check "both versions build" build_servers || exit 1
cp "$build/demo/server-1" "$scratch/server"
find_port
start quiet "$scratch/log" "$scratch/server" "$port"
server=$started
check "it starts" within 10 listens "$port" || exit 1

check "diff" limit 60 "$stent" diff "$scratch/server" "$build/demo/server-2" -o "$scratch/fix.stent" --name "$name"
check "show" limit 20 "$stent" show "$scratch/fix.stent"
check "the old parser skips the sign" answers "sum 5-3" 8
load_start line "$port" -c 16 -t 60
sleep 1
counted=$(ask_line count)
load_phase apply
check "apply under load" limit 30 "$stent" apply "$scratch/fix.stent" -p "$server"
load_phase after
check "the new parser knows commas" answers "sum 5-3" "error: numbers are separated by commas"
check "and large numbers" answers "max 7,99999999999999999999" "error: number too large"
check "status says so" patch_is "$server" "$name" active
check "the server's own data is as it was" counts_on
check "the same patch twice: nothing to do" ends_with 3 "$stent" apply "$scratch/fix.stent" -p "$server"
sleep 1
load_phase revert
check "revert under load" limit 30 "$stent" revert "$name" -p "$server"
load_phase end
check "the old parser is back" answers "sum 5-3" 8
check "status says so, too" patch_is "$server" "$name" reverted
check_load "every request was answered, no connection was lost"
check "its text is the file's again" text_equals_file "$server" /server
