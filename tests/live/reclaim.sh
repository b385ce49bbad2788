#!/bin/bash
# The memory of a patch that is reverted: it goes where nothing can refer to it any more, and stays, with the reason, where something may. The
# program goes on to use what it has kept (referrer.c).
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
victim_source=referrer.c
plan 18

build_pair referrer >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

# If not now, then when it has looked again: on a busy machine a thread may not stop in time.
says_why() {	# REASON
	grep -Eq "stay mapped: $1" "$scratch/revert" && return
	revert referrer >"$scratch/revert" 2>&1
	grep -Eq "stay mapped: $1" "$scratch/revert"
}

# Reverted, and its memory stays for this reason.
stays() {	# REASON
	revert referrer >"$scratch/revert" 2>&1 && within 5 says_why "$1" && is_in_state referrer reverted && ! is_gone referrer ||
		{ cat "$scratch/revert"; return 1; }
}

# It was found in a register or on a stack that the program is about to leave: look again. `revert` has nothing to do (3) but that.
goes() {
	revert referrer >"$scratch/again" 2>&1
	[[ $? == [023] ]] && is_gone referrer || { cat "$scratch/again"; return 1; }
}

kept() {	# WHERE REASON USE
	victim_start "$scratch/referrer.1" && cp "/proc/$victim/maps" "$scratch/before" && apply referrer && is_answered ask 2 && is_answered "keep $1" kept &&
		stays "$2" && is_answered ask 1 && { [ -z "$3" ] || is_answered use "$3"; } && is_answered ask 1 || return 1
	[ "$1" = atexit ] || { is_answered drop dropped && within 3 goes && is_answered ask 1; } || return 1
	victim_stop
}

nothing_kept() {
	victim_start "$scratch/referrer.1" && cp "/proc/$victim/maps" "$scratch/before" && apply referrer && is_answered ask 2 && revert referrer &&
		diff "$scratch/before" "/proc/$victim/maps" && is_answered ask 1 && victim_stop
}

check "nothing is kept: all mappings are what they were" nothing_kept
check "a function, in the heap" kept heap "0x[0-9a-f]+ in \[heap\] may be a pointer into it: 0x" 42
check "a text, in the heap" kept text "0x[0-9a-f]+ in \[heap\] may be a pointer into it: 0x" "this text is in new memory"
check "at an odd address" kept unaligned "0x[0-9a-f]+ in \[heap\] may be a pointer into it: 0x" 42
check "half in one page, half in the next" kept pages "0x[0-9a-f]+ in .* may be a pointer into it: 0x" 42
check "half in what is read first, half in what is read then" kept reads "0x[0-9a-f]+ in .* may be a pointer into it: 0x" 42
check "with a tag in its upper bits" kept tagged "0x[0-9a-f]+ in \[heap\] may be a pointer into it: 0x" 42
check "in shared memory" kept shared "0x[0-9a-f]+ in /dev/zero.* may be a pointer into it: 0x" 42
check "in shared memory that the process has dropped" kept dropped "0x[0-9a-f]+ in /dev/zero.* may be a pointer into it: 0x" 42
check "in memory without access" kept hidden "0x[0-9a-f]+ in anonymous memory may be a pointer into it: 0x" 42
check "in a vector register" kept register "a vector register of thread [0-9]+ may point into it" 42
check "as a signal's handler" kept handler "a signal's handler may be in it" 42
check "hidden by the C library, for the end" kept atexit "0x[0-9a-f]+ in anonymous memory may be a pointer into it: 0x" ""
check "in a timer" kept timer "what a timer carries may be in it" ""
check "in an epoll descriptor" kept epoll "what an epoll descriptor carries may be in it" ""
check "in code that the program has made, and not in empty memory" kept code "the code at 0x[0-9a-f]+, which is of no image, may refer to it" 42
check "in a pending signal" kept pending "what a pending signal carries may be in it" ""

bounded() {
	victim_start "$scratch/referrer.1" && apply referrer && revert referrer --reclaim 0 >"$scratch/revert" &&
		grep -q "stay mapped: pointers into it are not searched for (--reclaim 0)" "$scratch/revert" && ! is_gone referrer && is_answered ask 1 && goes && victim_stop
}
check "the search can be left out" bounded
exit "$((failures > 0))"
