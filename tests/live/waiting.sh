#!/bin/bash
# While stent waits for a thread that is inside of a function to be replaced, other things happen.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 60

build_pair victim >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

# Start an apply that waits; its pid is in $waiting.
apply_waits() {	# OPTION...
	start exec_quietly "$scratch/waiting" "$stent" apply "$scratch/victim.stent" -p "$victim" "$@"
	waiting=$started
	within 30 is_in_state victim installing
}

# (A shell that ignores a signal can't have its children do otherwise.)
exec_quietly() {	# OUTPUT COMMAND...
	local output=$1
	shift
	exec env --default-signal=INT,TERM,HUP "$@" >"$output" 2>&1
}

waited() {	# STATUS
	wait "$waiting"
	local is=$?
	[ "$is" = "$1" ] || { echo "exit status $is instead of $1"; cat "$scratch/waiting"; return 1; }
}

# Whatever comes in between, the process is as it was before.
start_waiting() {	# WHAT
	victim_start "$scratch/victim.1" parked
	verdict $? "$1: a victim starts, with a thread parked in old code"
	apply_waits --timeout 60
	verdict $? "$1: apply waits"
}

# Other threads have been in the new code, so its memory stays; but nothing leads there.
is_unchanged() {
	text_is_file "$victim" && runs_version 1 && "$stent" status -p "$victim" | grep -q '^victim: reverted'
}

# 6 results
interrupted_by() {	# SIGNAL
	start_waiting "$1"
	kill -s "$1" "$waiting"
	waited $((128 + $(kill -l "$1"))) >"$scratch/output" 2>&1
	verdict $? "$1: it ends by that"
	check "$1: and says so" grep -q "^stent: process $victim (victim.1): interrupted after [0-9.]* s" "$scratch/waiting"
	check "$1: nothing is left in the process" is_unchanged
	ask unpark >/dev/null
	check "$1: apply succeeds later" apply victim
	victim_stop
}

for signal in INT TERM HUP; do
	interrupted_by "$signal"
done

# Ignored, as nohup has it.
exec_ignoring() {	# OUTPUT COMMAND...
	local output=$1
	shift
	exec env --ignore-signal=HUP "$@" >"$output" 2>&1
}
victim_start "$scratch/victim.1" parked
verdict $? "ignored: a victim starts"
start exec_ignoring "$scratch/waiting" "$stent" apply "$scratch/victim.stent" -p "$victim" --timeout 60
waiting=$started
within 30 is_in_state victim installing
for _ in {1..20}; do
	kill -HUP "$waiting"
	sleep 0.02
done
check "ignored: a signal that is ignored ends nothing" kill -0 "$waiting"
ask unpark >/dev/null
waited 0 >"$scratch/output" 2>&1
verdict $? "ignored: it gets done"
victim_stop

# The other direction: the patch stays in force.
victim_start "$scratch/victim.1" parked_later
verdict $? "revert: a victim starts"
check "revert: apply" apply victim
ask park >/dev/null
start exec_quietly "$scratch/waiting" "$stent" revert victim -p "$victim" --timeout 60
waiting=$started
# With breakpoints, before which a thread of the process has SIGTRAP ignored.
ignores_traps() {
	local ignored
	ignored=$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$victim/status") && ((16#$ignored & 16))
}
within 30 ignores_traps
kill -INT "$waiting"
waited 130 >"$scratch/output" 2>&1
verdict $? "revert: it ends by the signal"
check "revert: and says so" grep -q "interrupted after" "$scratch/waiting"
check "revert: and for how long a thread made system calls" grep -q "^  borrowed *[0-9.]* ms of one thread" "$scratch/waiting"
check "revert: the patch is active" is_in_state victim active
check "revert: the new version runs" runs_version 2
victim_stop

# Two of them at once.
is_refused() {	# COMMAND...
	ends_with 2 "$@" >"$scratch/output" 2>&1 && grep -q "another stent is at work" "$scratch/output" || { cat "$scratch/output"; return 1; }
}
start_waiting "two at once"
check "two at once: the second one is refused" is_refused apply victim
check "two at once: a revert, too" is_refused revert victim
ask unpark >/dev/null
waited 0 >"$scratch/output" 2>&1
verdict $? "two at once: the first one works"
check "two at once: the new version runs" runs_version 2
victim_stop

# Something else comes to lie where the region was. (Of the same state and with the same magic.)
victim_start "$scratch/victim.1" parked
verdict $? "a victim starts, with a thread parked in old code"
apply_waits --timeout 60
verdict $? "apply waits"
ledger=$(ledger_at victim)
nonce=$(peek $((ledger + 56)) 8)
poke $((ledger + 56)) 0102030405060708
ask unpark >/dev/null
waited 1 >"$scratch/output"
verdict $? "it fails when another region is in the place of its own"
check "and says so" grep -q "unmapped the patch meanwhile" "$scratch/waiting"
check "it has not written there" [ "$(peek $((ledger + 32)) 1)" = 02 ]
poke $((ledger + 56)) "$nonce"
check "the next apply succeeds" apply victim
check "and the new version runs" runs_version 2
victim_stop

# What nothing leads to is unmapped with no stop of all: as a killed stent leaves it, of whose state this is the number.
victim_start "$scratch/victim.1" parked
verdict $? "another victim starts"
ask unpark >/dev/null
check "a patch goes in" apply victim
check "and out, and its memory stays" revert victim --reclaim 0
poke $(($(ledger_at victim) + 32)) 01
revert victim >"$scratch/waiting" 2>&1 && is_gone victim >/dev/null 2>&1
verdict $? "memory that nothing leads to is unmapped"
check "how long it took a thread is said" grep -q "^  borrowed *[0-9.]* ms of one thread" "$scratch/waiting"
check "and that the others ran on" exits 1 '' grep "^  paused" "$scratch/waiting"
victim_stop

# What is waited for is said while that lasts, without --verbose too, and once.
begins_to_wait() {	# OPTION...
	start exec_quietly "$scratch/waiting" "$stent" apply "$scratch/victim.stent" -p "$victim" --timeout 60 "$@"
	waiting=$started
}

told_once() {
	within 10 grep -q "waiting for thread [0-9]*: " "$scratch/waiting" && sleep 0.5 &&
		[ "$(grep -c "waiting for thread" "$scratch/waiting")" = 1 ] || { cat "$scratch/waiting"; return 1; }
}

for scope in thread process; do
	victim_start "$scratch/victim.1" parked
	verdict $? "live report, $scope: a victim starts, with a thread parked in old code"
	begins_to_wait --scope "$scope"
	check "live report, $scope: who is waited for is named meanwhile" told_once
	ask unpark >/dev/null
	waited 0 >"$scratch/output" 2>&1
	verdict $? "live report, $scope: then it goes in"
	victim_stop
done
victim_start "$scratch/victim.1"
apply victim >"$scratch/waiting" 2>&1
verdict $? "live report: a patch goes in at once"
check "live report: and nothing is said of waiting" exits 1 '' grep "waiting for" "$scratch/waiting"
victim_stop

# The process is killed meanwhile: there is nothing to apply again.
victim_start "$scratch/victim.1" parked
verdict $? "killed: a victim starts, with a thread parked in old code"
begins_to_wait
check "killed: apply waits" told_once
kill -KILL "$victim"
waited 1 >"$scratch/output" 2>&1
verdict $? "killed: apply fails"
check "killed: and says so" grep -q "has ended meanwhile" "$scratch/waiting"
check "killed: and nothing else" exits 1 '' grep "stays" "$scratch/waiting"
