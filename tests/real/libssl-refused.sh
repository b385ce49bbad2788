#!/bin/bash
# libssl3 3.0.20 -> 3.0.22 inserts a field into a structure: functions that differ only by where they find
# the others would misread what the running program has built, so there must be no patch.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
fetch_packages libssl3=3.0.20-1~deb12u2 libssl3=3.0.22-1~deb12u2 || skip_all "$reason"
# shellcheck disable=SC2154 # set by fetch_packages
old=${folders[0]}/usr/lib/x86_64-linux-gnu/libssl.so.3 new=${folders[1]}/usr/lib/x86_64-linux-gnu/libssl.so.3
plan 4

# The sizes that objects are allocated with, and how often.
sizes() {	# FILE
	objdump -d --no-show-raw-insn "$1" | grep -B6 'call.*CRYPTO_zalloc' | grep -oE 'mov +\$0x[0-9a-f]+,%edi' | sort | uniq -c
}

# It is true: one kind of object (SSL, of 0x1db8 bytes) is 16 bytes larger in the new build.
one_kind_grew() {
	[ "$(diff <(sizes "$old") <(sizes "$new") | grep '^[<>]' | awk '{ print $1, $4 }' | tr '\n' ' ')" = "< \$0x1db8,%edi > \$0x1dc8,%edi " ]
}
check "one kind of object is larger in the new build" one_kind_grew

limit 100 "$stent" diff "$old" "$new" -o "$scratch/fix.stent" >"$scratch/out" 2>&1
status=$?
diag "$(head -n 20 "$scratch/out")"
check "diff refuses" [ $status = 2 ]
check "because a structure's layout moved" grep -qi 'layout' "$scratch/out"
check "and writes no patch" [ ! -e "$scratch/fix.stent" ]
