# taken.sh: for tests of kinds of processes, sourced behind victims.sh: a process is taken, or refused, with one result for each.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from lib.sh and victims.sh

# shellcheck disable=SC2015
works_in_turn() {	# PATCH
	apply "$1" && runs_version 2 && revert "$1" && runs_version 1 && apply "$1" && runs_version 2 && revert "$1" && runs_version 1
}

# Start COMMAND, patch it, and end it. One result.
taken() {	# WHAT PATCH COMMAND...
	local what=$1 patch=$2
	shift 2
	if ! victim_start "$@" 2>"$scratch/start"; then
		ended "$victim" && wait "$victim"
		[ $? = 77 ] && skip "$what" "this system has no such thing" || not_ok "$what: starts ($(cat "$scratch/start"))"
		return
	fi
	inner_victim
	check "$what" works_in_turn "$patch"
	finish_victim
}

# Likewise, but refused for that reason (a regular expression), and left alone.
refused() {	# WHAT PATCH REASON COMMAND...
	local what=$1 patch=$2 reason=$3
	shift 3
	victim_start "$@" 2>"$scratch/start" || { not_ok "$what: starts ($(cat "$scratch/start"))"; return; }
	inner_victim
	check "$what: refused" is_refused "$patch" "$reason"
	finish_victim
}

is_refused() {	# PATCH REASON
	snapshot "$victim" >"$scratch/before"
	ends_with 2 apply "$1" >"$scratch/refusal" 2>&1 || { cat "$scratch/refusal"; return 1; }
	grep -q "$2" "$scratch/refusal" || { cat "$scratch/refusal"; return 1; }
	snapshot "$victim" | diff "$scratch/before" - && runs_version 1
}

# Where the command is a wrapper that has the program for a child, that is the victim.
inner_victim() {
	wrapper=$victim
	local child
	child=$(head -c 100 "/proc/$victim/task/$victim/children" 2>/dev/null)
	case $(readlink "/proc/$victim/exe") in */unshare) victim=${child%% *} ;; esac
}

finish_victim() {
	victim=$wrapper
	victim_stop >"$scratch/output" 2>&1 || not_ok "it ends by itself"
}
