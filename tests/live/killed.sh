#!/bin/bash
# stent is killed before each of the operations by which it touches the process, in apply and in revert. The process must
# run on, in one version as a whole, and the next stent must bring it to where it should be.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 11

build_pair victim >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }
build_killer || exit 1

one_version() {
	local answer
	answer=$(ask) || { echo "no answer"; return 1; }
	[[ $answer == "1 21 0" || $answer == "2 42 0" ]] || { echo "the answer is '$answer'"; return 1; }
}

least=20

make_old() {
	brings 1 023 "$stent" revert victim -p "$victim"
}

# With the memory kept, which the next one uses again.
make_old_kept() {
	brings 1 023 "$stent" revert victim --reclaim 0 -p "$victim"
}

make_new() {
	brings 2 03 "$stent" apply "$scratch/victim.stent" -p "$victim"
}

fresh() {
	if [ -n "${victim-}" ]; then
		make_old && text_is_file "$victim" victim.1 && victim_stop || return 1
	fi
	victim_start "$scratch/victim.1" nanosleep spin
}

# Of the part of the region that only the ledger is in.
ledger_pages() {
	local range
	range=$(grep -o "^$(printf '%x' "$(ledger_at victim)")-[0-9a-f]*" "/proc/$victim/maps")
	echo $(((16#${range#*-} - 16#${range%-*}) / 4096))
}

kill_everywhere fresh 2 apply "$scratch/victim.stent" >"$scratch/log" 2>&1
verdict $? "apply to a new process, killed at each of ${deaths-0} operations, and applied again"
diag "$(cat "$scratch/log")"
# A ledger of several pages, of which only the first has been written.
cp "$scratch/victim.stent" "$scratch/short.stent"
limit 60 "$stent" diff "$scratch/victim.1" "$scratch/victim.2" -o "$scratch/victim.stent" --name victim \
	--description "$(printf 'long%.0s' {1..5000})" >"$scratch/output"
least=1 TORN=1 kill_everywhere fresh 2 apply "$scratch/victim.stent" >"$scratch/log" 2>&1
verdict $? "apply to a new process, killed within each of ${deaths-0} long writes, and applied again"
diag "$(cat "$scratch/log")"
check "the ledger has several pages" [ "$(ledger_pages)" -ge 5 ]
cp "$scratch/short.stent" "$scratch/victim.stent"
{ fresh && make_new; } >"$scratch/output" 2>&1
kill_everywhere make_old_kept 2 apply "$scratch/victim.stent" >"$scratch/log" 2>&1
verdict $? "apply once more in the same memory, killed at each of ${deaths-0} operations, and applied again"
diag "$(cat "$scratch/log")"
{ make_old && mappings >"$scratch/before"; } >"$scratch/output" 2>&1
kill_everywhere make_new 1 revert victim >"$scratch/log" 2>&1
verdict $? "revert, killed at each of ${deaths-0} operations, and reverted again"
diag "$(cat "$scratch/log")"
check "no memory is left of that" diff "$scratch/before" <(mappings)
check "apply once more" apply victim
check "revert once more" revert victim
check "no system call was disturbed" runs_version 1
check "the text is that of the file" text_is_file "$victim"
victim_stop
verdict $? "the victim ends by itself"
exit "$((failures > 0))"
