#!/bin/bash
# stent check on real programs and libraries: what is known to be wrong is found, what a compiler wrote is not called wrong.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
libc=$(ldconfig -p | awk '$1 == "libc.so.6" && /x86-64/ { print $NF; exit }')
plan 13

# figure NAME: from the JSON of the one file that was checked last, whose text has one member on each line.
figure() {
	awk -v name="\"$1\":" '$1 == name { sub(/,$/, "", $2); print $2; exit }' "$scratch/json"
}

examine() {	# FILE: its JSON
	limit 60 "$stent" check --json "$1" >"$scratch/json"
}

none_contradicted() {	# FILE...
	local file
	for file; do
		examine "$file" || { echo "$file: failed"; return 1; }
		[ "$(figure contradicted)" = 0 ] && [ "$(figure rows)" -gt 100 ] || { echo "$file: $(figure contradicted) of $(figure rows)"; return 1; }
	done
}

# At least PERCENT of the rows are exact.
exact() {	# PERCENT FILE
	examine "$2" && [ $((100 * $(figure exact))) -ge $((($1) * $(figure rows))) ] || { echo "$(figure exact) of $(figure rows)"; return 1; }
}

# Within 50 s per 100 MB of text: five times what it takes, for a machine that does other things at the same time.
fast_enough() {	# FILE
	local start=${EPOCHREALTIME/./} text
	examine "$1" || return 1
	text=$(figure text)
	[ $(((${EPOCHREALTIME/./} - start))) -le $((text / 2 + 500000)) ] || { echo "$((${EPOCHREALTIME/./} - start)) us for $text bytes"; return 1; }
}

refuses() {
	printf 'no such thing' >"$scratch/text"
	"$stent" check "$scratch/text" /bin/true >"$scratch/out" 2>&1
	[ $? = 1 ] && grep -q 'text: is not an ELF file' "$scratch/out" && grep -q '^/bin/true: .* FDEs' "$scratch/out"
}

# __mpn_addmul_1 and __mpn_submul_1 push without saying so; they are no exported names.
finds_mpn() {
	local address
	"$stent" check "$libc" >"$scratch/out" || return 1
	[ "$(grep -c ': push rbp: CFA claimed rsp+8, computed rsp+16' "$scratch/out")" = 2 ] || { cat "$scratch/out"; return 1; }
	for address in $(sed -n 's/^  0x\([0-9a-f]*\): push rbp: CFA.*/\1/p' "$scratch/out"); do
		objdump -d --no-show-raw-insn --start-address="$((0x$address - 1))" --stop-address="$((0x$address + 1))" "$libc" |
			grep -q 'push  *%rbx' || { echo "no push before $address"; return 1; }
	done
}

json_is_valid() {
	command -v python3 >/dev/null || return 0
	"$stent" check --json "$libc" /bin/true | python3 -c '
import json, sys
libc, true = json.load(sys.stdin)
assert libc["rows"] == libc["exact"] + libc["unverifiable"] + libc["contradicted"], libc
assert sum(libc["reasons"].values()) == libc["unverifiable"]
assert libc["functions"] == libc["redirectable"] + sum(libc["not_redirectable"].values())
assert libc["redirectable"] == libc["agreeing"] + sum(libc["not_agreeing"].values())
assert 100 * libc["agreeing"] >= 98 * libc["redirectable"]
assert all(c["claimed"] != c["computed"] and c["instruction"] for c in libc["contradictions"])
assert true["contradictions"] == []'
}

check "coreutils" none_contradicted /bin/true /bin/ls /bin/cp /usr/bin/sort /usr/bin/numfmt /usr/bin/du
check "the shell" none_contradicted "$(readlink -f /bin/sh)" "$(command -v bash)"
check "the C library's __mpn_addmul_1 and __mpn_submul_1 are found" finds_mpn
check "99% of the C library's rows are exact" exact 99 "$libc"
check "what is no program is an error, and the rest is checked" refuses
check "JSON adds up" json_is_valid
check "speed" fast_enough "$libc"

# shellcheck disable=SC2154 # set by fetch_packages
if fetch_packages "librsvg2-2=$(apt-cache show librsvg2-2 2>/dev/null | awk '/^Version:/ { print $2; exit }')"; then
	librsvg=$(find "${folders[0]}" -name 'librsvg-2.so.2.*' | head -n 1)
	more_than_200() { examine "$librsvg" && [ "$(figure contradicted)" -gt 200 ] || { figure contradicted; return 1; }; }
	check "more than 200 of librsvg's epilogues are found" more_than_200
	check "99% of librsvg's rows are exact" exact 99 "$librsvg"
else
	skip "more than 200 of librsvg's epilogues are found" "$reason"
	skip "99% of librsvg's rows are exact" "$reason"
fi
if fetch_packages redis-tools=5:7.0.15-1~deb12u7 nginx=1.22.1-9+deb12u9; then
	check "redis" none_contradicted "${folders[0]}/usr/bin/redis-check-rdb"
	check "99% of redis's rows are exact" exact 99 "${folders[0]}/usr/bin/redis-check-rdb"
	check "nginx" none_contradicted "${folders[1]}/usr/sbin/nginx"
	check "99% of nginx's rows are exact" exact 99 "${folders[1]}/usr/sbin/nginx"
else
	for name in redis "99% of redis's rows are exact" nginx "99% of nginx's rows are exact"; do
		skip "$name" "$reason"
	done
fi
