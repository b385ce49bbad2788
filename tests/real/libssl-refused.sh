#!/bin/bash
# libssl3 3.0.20 -> 3.0.22 inserts a field into a structure: functions that differ only by where they find
# the others would misread what the running program has built, so there must be no patch.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
fetch_packages libssl3=3.0.20-1~deb12u2 libssl3=3.0.22-1~deb12u2 || skip_all "$reason"
# shellcheck disable=SC2154 # set by fetch_packages
old=${folders[0]}/usr/lib/x86_64-linux-gnu/libssl.so.3 new=${folders[1]}/usr/lib/x86_64-linux-gnu/libssl.so.3
plan 3

limit 100 "$stent" diff "$old" "$new" -o "$scratch/fix.stent" >"$scratch/out" 2>&1
status=$?
diag "$(head -n 20 "$scratch/out")"
check "diff refuses" [ $status = 2 ]
check "because a structure's layout moved" grep -qi 'layout' "$scratch/out"
check "and writes no patch" [ ! -e "$scratch/fix.stent" ]
