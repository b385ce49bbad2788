#!/bin/bash
# While stent waits for a thread that is inside of a function to be replaced, other things happen.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 8

build_pair victim >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

# Start an apply that waits; its pid is in $waiting.
apply_waits() {	# OPTION...
	start exec_quietly "$scratch/waiting" "$stent" apply "$scratch/victim.stent" -p "$victim" "$@"
	waiting=$started
	within 5 is_in_state victim prepared
}

exec_quietly() {	# OUTPUT COMMAND...
	local output=$1
	shift
	exec "$@" >"$output" 2>&1
}

waited() {	# STATUS
	wait "$waiting"
	local is=$?
	[ "$is" = "$1" ] || { echo "exit status $is instead of $1"; cat "$scratch/waiting"; return 1; }
}

# Something else comes to lie where the region was. (Of the same state and with the same magic.)
victim_start "$scratch/victim.1" parked
verdict $? "a victim starts, with a thread parked in old code"
apply_waits --timeout 20
verdict $? "apply waits"
ledger=$(ledger_at victim)
nonce=$(peek $((ledger + 48)) 8)
poke $((ledger + 48)) 0102030405060708
ask unpark >/dev/null
waited 1 >"$scratch/output"
verdict $? "it fails when another region is in the place of its own"
check "and says so" grep -q "unmapped the patch meanwhile" "$scratch/waiting"
check "it has not written there" [ "$(peek $((ledger + 32)) 1)" = 01 ]
check "nor to the program" text_is_file "$victim"
poke $((ledger + 48)) "$nonce"
check "the next apply succeeds" apply victim
check "and the new version runs" runs_version 2
victim_stop
