#!/bin/bash
# stent check on 500 programs and libraries of this machine, and of the folders in $MORE: no crash, no hang, and figures of what was
# found. Not a part of make check: it takes minutes.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck disable=SC2154 # stent and scratch are set by lib.sh
count=${COUNT:-500}
plan 5

# Files of Debian's own packages: what others build may be without a build-id.
packaged() {
	local name
	dpkg-query -W -f='${db:Status-Status} ${binary:Package} ${Maintainer}\n' | grep -i '^installed .*debian' |
		while read -r _ name _; do
			for name in "$name" "${name%%:*}"; do
				[ -e "/var/lib/dpkg/info/$name.list" ] && cat "/var/lib/dpkg/info/$name.list"
			done
		done | grep -E '^(/usr)?/(s?bin|lib|libexec)/' | grep -v '^/usr/lib/debug/'	# which has no code
	# shellcheck disable=SC2086 # a list of folders
	[ -z "${MORE:-}" ] || find $MORE -type f
}

# One of each name, x86-64, ELF; in the same order each time.
candidates() {
	packaged | LC_ALL=C sort -u | while read -r file; do
		if [ ! -f "$file" ] || [ -L "$file" ] || [ "$(stat -c %s "$file")" -le 8192 ]; then
			continue
		fi
		case $(od -An -tx1 -N20 "$file" 2>/dev/null | tr -d ' \n') in
		7f454c4602*02003e00 | 7f454c4602*03003e00) echo "$file" ;;
		esac
	done | awk -F/ '!seen[$NF]++' | shuf --random-source=<(yes stent) -n "$count"
}

# Exit codes: 0 checked, 1 refused with a line that says why.
examine() {
	local file status
	touch "$scratch/crashed" "$scratch/refused" "$scratch/all"
	while read -r file; do
		timeout 120 "$stent" check --json "$file" >"$scratch/json" 2>"$scratch/err"
		status=$?
		case $status in
		0) tr -d '\n' <"$scratch/json" >>"$scratch/all"; echo >>"$scratch/all" ;;
		1) [ -s "$scratch/err" ] && cat "$scratch/err" >>"$scratch/refused" || echo "$file: no reason" >>"$scratch/crashed" ;;
		*) echo "$file: exit code $status" >>"$scratch/crashed" ;;
		esac
	done <"$scratch/files"
}

# Sum of a figure over all files.
sum() {
	grep -o "\"$1\": [0-9]*" "$scratch/all" | awk '{ sum += $2 } END { print sum + 0 }'
}

candidates >"$scratch/files"
enough() { [ "$(wc -l <"$scratch/files")" = "$count" ] || { wc -l <"$scratch/files"; return 1; }; }
none_crashes() { [ ! -s "$scratch/crashed" ] || { cat "$scratch/crashed"; return 1; }; }
most_are_checked() { [ $((20 * $(wc -l <"$scratch/refused"))) -le "$count" ] || { cat "$scratch/refused"; return 1; }; }
adds_up() { [ "$(sum rows)" = $(($(sum exact) + $(sum unverifiable) + $(sum contradicted))) ]; }
# Of a language whose compiler does not write unwind data (OCaml's knows nothing of saved registers) there may be some.
mostly_exact() { [ $((100 * $(sum exact))) -ge $((97 * $(sum rows))) ] || { echo "$(sum exact) of $(sum rows)"; return 1; }; }

check "$count files are there" enough
# All of them by one command, as somebody would type it. Seconds of user time are in $seconds.
check_at_once() {
	local TIMEFORMAT=%U all
	readarray -t all <"$scratch/files"
	seconds=$( { time "$stent" check "${all[@]}" >/dev/null 2>&1; } 2>&1 )
}

examine
check "no crash, no hang" none_crashes
check "no more than 5% are refused" most_are_checked
check "figures add up" adds_up
check "97% of all rows are exact" mostly_exact
check_at_once
echo "# $(sum text) bytes of text by one command in $seconds s of user time, that is" \
	"$(awk "BEGIN { print $seconds / $(sum text) * 1e8 }") s per 100 MB; $(sum fdes) FDEs, $(sum rows) rows: $(sum exact) exact," \
	"$(sum unverifiable) unverifiable, $(sum contradicted) contradicted; $(wc -l <"$scratch/refused") refused"
echo "# $(grep -c '"switches": \[ *[0-9]' "$scratch/all") files leave the stack for another one:"
grep '"switches": \[ *[0-9]' "$scratch/all" | grep -o '"file": "[^"]*"' | sed 's/^/#   /'
