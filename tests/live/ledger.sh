#!/bin/bash
# What the ledger in a process says, and what becomes of it when writes fail or it is damaged.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 17

build_pair victim >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }
build_preload() {	# NAME
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -shared -fPIC -o "$scratch/$1.so" "$top/tests/live/preload/$1.c" -ldl
}

# Each write fails in its turn. Whatever stent had done by then is undone: nothing stays mapped. Only that it can't put the bytes back
# where a system call was made from (which the next stent does) is no reason to fail.
every_write_fails() {
	local status
	failed=0
	for ((write = 1; write < 500; write++)); do
		victim_start "$scratch/victim.1" spin epoll || return 1
		mappings >"$scratch/before"
		FAILING=$write LD_PRELOAD=$scratch/failing.so apply victim >"$scratch/output" 2>&1
		status=$?
		grep -q "^write $write fails" "$scratch/output" || break
		[[ $status == [012] ]] || { cat "$scratch/output"; echo "exit status $status at write $write"; return 1; }
		if [ "$status" != 0 ]; then
			failed=$((failed + 1))
			runs_version 1 || { echo "after write $write"; return 1; }
			mappings >"$scratch/after"
			cmp "$scratch/before" "$scratch/after" || { cat "$scratch/output"; echo "after write $write"; return 1; }
		fi
		victim_stop || return 1
	done
	[ "$failed" -gt 10 ] && [ "$status" = 0 ] && runs_version 2
}

since() {
	limit 10 "$stent" status -p "$victim" --json | sed -n 's/.*"since": *\([0-9]*\).*/\1/p'
}

check "a library to make writes fail" build_preload failing
every_write_fails >"$scratch/log" 2>&1
verdict $? "each of $((write - 1)) writes fails, apply with $failed of them, and nothing is left behind"
diag "$(cat "$scratch/log")"
check "the new version runs" runs_version 2
first=$(since)
check "since is a moment ago" [ $(($(date +%s) - first)) -lt 5 ]
check "revert" revert victim --reclaim 0
check "the text is that of the file" text_is_file "$victim"
sleep 1.1
check "apply once more" apply victim
check "in the same memory" [ "$(limit 10 "$stent" status -p "$victim" | grep -c '^  memory')" = 1 ]
check "since is when it was applied last" [ "$(since)" -gt "$first" ]

# Damage.
says() {	# STATUS TEXT COMMAND...
	local status=$1 text=$2
	shift 2
	ends_with "$status" "$@" >"$scratch/output" 2>&1 && grep -q -- "$text" "$scratch/output" || { cat "$scratch/output"; return 1; }
}
ledger=$(ledger_at victim)
byte=$(peek $((ledger + 100)) 1)
poke $((ledger + 100)) ff
at=$(printf '%#x' "$ledger")
check "apply names a damaged ledger" says 2 "ledger, at $at, that can't be read: its checksum is wrong" apply victim
check "and so does revert" says 2 "ledger, at $at, that can't be read: its checksum is wrong" revert victim
check "and status" says 0 "1 ledger can't be read; at $at: its checksum is wrong" "$stent" status -p "$victim"
poke $((ledger + 100)) "$byte"
check "the same without the damage" revert victim --reclaim 0

# A program that changes its own ledger to "installing" whenever its threads are let go.
check "a library to forge a ledger" build_preload forging
poke $((ledger + 32)) 02
export FORGED_IN=$victim FORGED_AT=$((ledger + 32))
limit 60 "$stent" diff "$scratch/victim.1" "$scratch/victim.2" -o "$scratch/second.stent" --name second >/dev/null
check "nobody waits for that for ever" says 2 "is between the versions" \
	env "LD_PRELOAD=$scratch/forging.so" timeout 20 "$stent" apply "$scratch/second.stent" -p "$victim"
check "the old version runs" runs_version 1
check "apply when it has stopped that" apply victim
victim_stop
