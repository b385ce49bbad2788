#!/bin/bash
# bench_upgrade.sh: what stent upgrade takes on a machine with many idle processes of a program that was replaced: 1000, and a tenth of them,
# in a PID namespace of its own. Beside it what it takes to read the list of mappings of each once, with cat. PROCESSES: another number.
# shellcheck source=tests/alone.sh
. "$(dirname "$0")/../tests/alone.sh"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../tests/lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/crowds.sh
. "$top/tests/crowds.sh"

fails() {
	echo "bench_upgrade: $*" >&2
	[ ! -s "$scratch/output" ] || tail -n 5 "$scratch/output" >&2
	exit 1
}

# Sets $taken to the milliseconds that it took; it has to end with that status.
measure() {	# STATUS COMMAND...
	local before=${EPOCHREALTIME/./} status=$1
	shift
	ends_with "$status" "$@" >"$scratch/output" 2>&1 || fails "$*"
	taken=$(((${EPOCHREALTIME/./} - before) / 1000))
}

row() {	# WHAT
	local tenths=$((taken * 10 / (base > 0 ? base : 1)))
	printf '  %-32s %7d ms  %6d us each  %4d.%d x cat\n' "$1" "$taken" $((taken * 1000 / (count + 1))) $((tenths / 10)) $((tenths % 10))
}

run() {	# COUNT
	count=$1
	replace "$scratch/crowd.1" "$scratch/crowd"
	victim_start "$scratch/crowd" "$count" || fails "the crowd does not start"
	echo "$count idle processes and their parent, $(nproc) processors"
	measure 0 bash -c 'cat /proc/[0-9]*/maps >/dev/null 2>&1; true'
	base=$taken
	row "cat of all mappings"
	measure 0 "$stent" status
	row "status"
	measure 3 "$stent" upgrade
	row "upgrade, nothing to do"
	replace "$scratch/crowd.2" "$scratch/crowd"
	measure 0 "$stent" upgrade --dry-run
	row "upgrade --dry-run"
	measure 0 "$stent" upgrade
	row "upgrade"
	cp "$scratch/output" "$scratch/table"
	crowd_runs 0 "$count" 0 >"$scratch/output" || fails "not all run the new build"
	awk '/patched, paused/ { sum += $(NF - 1); if ($(NF - 1) > most) most = $(NF - 1); count++ }
		END { printf "    each process stood still for %.2f ms on average, %.2f ms at most\n", sum / count, most }' "$scratch/table"
	measure 3 "$stent" upgrade
	row "upgrade again, nothing to do"
	victim_stop
}

build_crowd crowd "1 2" || fails "the crowd can't be built"
run $((${PROCESSES:-1000} / 10))
run "${PROCESSES:-1000}"
