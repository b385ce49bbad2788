#!/bin/bash
# Stacks of every hard kind: what `stent stack` says of each, and that none of them is ever taken for free of a
# function that has a frame there. hard.c has the kinds, ask.c asks the question that live patching asks.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

hard=$build/tests/stack/hard
ask=$build/tests/stack/ask

# Starts the program; $pid and $tid are the thread's, $held and $absent the two functions' ranges.
start_kind() {	# PROGRAM KIND
	start "$1" "$2" >"$scratch/ready"
	within 10 grep -q '^ready .*' "$scratch/ready" || return 1
	read -r _ tid pid held_start held_end absent_start absent_end <"$scratch/ready"
	[ "$pid" = "$started" ] || started_all+=("$pid")	# a child by vfork
}

end_kind() {
	kill -KILL "$started" "$pid" 2>/dev/null
	wait "$started" 2>/dev/null
}

# The thread's part of what `stent stack` printed.
of_thread() {	# TID
	awk -v tid="$1" '/^thread / { ours = $2 == tid } /^[0-9]+ threads?: / { ours = 0 } ours' "$scratch/stack"
}

show_stack() {	# PID
	limit 20 "$stent" stack "$1" >"$scratch/stack" || { echo "exit status $?"; return 1; }
}

# `expected` is "proven", or an expression that the reason matches.
says() {	# EXPECTED
	local line
	show_stack "$pid" || return 1
	line=$(of_thread "$tid" | head -n 1)
	case $1 in
	proven) [[ $line == "thread $tid ("*"): proven" ]] && return ;;
	*) [[ $line == "thread $tid ("*"): not proven: "* ]] && grep -qiE "$1" <<<"${line#*: not proven: }" && return ;;
	esac
	echo "expected: $1"
	cut -c 1-200 "$scratch/stack" | head -n 40
	return 1
}

# The thread's frames are these from the innermost on, others in between; each that is named is there.
has_frames() {	# FUNCTION...
	of_thread "$tid" | awk -v names="$*" '
		BEGIN { count = split(names, wanted, " "); next_one = 1 }
		/^ *#/ { name = $3; sub(/\+0x.*/, "", name); if (name == wanted[next_one]) next_one++ }
		END { if (next_one <= count) print "no frame of " wanted[next_one]; exit next_one <= count }' && return
	of_thread "$tid" | cut -c 1-200 | head -n 40
	return 1
}

answers() {	# START END
	limit 20 "$ask" "$started_pid" "$1" "$2" >"$scratch/answers" || { echo "ask: exit status $?"; return 1; }
}

answer_of() {	# TID
	awk -v tid="$1" '$1 == tid { print $2 }' "$scratch/answers"
}

# The thread is not free of the function that it has a frame of. A context that nobody runs belongs to no thread, so
# there one answer that is not free is enough: it keeps the process from being patched.
never_free() {	# KIND
	local times
	for times in {1..5}; do
		answers "$held_start" "$held_end" || return 1
		if [ "$1" = suspended ]; then
			grep -qE '^[0-9]+ (INSIDE|UNRELIABLE)' "$scratch/answers" && continue
		else
			[[ $(answer_of "$tid") == @(INSIDE|UNRELIABLE) ]] && continue
		fi
		echo "after $times:"
		cat "$scratch/answers"
		return 1
	done
}

# A thread is in no function that was never called, and is free of it where its stack is proven.
absent_is() {	# EXPECTED
	answers "$absent_start" "$absent_end" || return 1
	case $1,$(answer_of "$tid") in
	proven,FREE) return ;;
	proven,*) ;;
	*,FREE | *,UNRELIABLE) return ;;
	esac
	cat "$scratch/answers"
	return 1
}

still_there() {
	show_stack "$pid" && [[ $(of_thread "$tid") == "thread $tid "* ]] || { cat "$scratch/stack"; return 1; }
}

test_kind() {	# PROGRAM KIND EXPECTED FUNCTION...
	local program=$1 kind=$2 expected=$3 name
	shift 3
	name=$kind
	[ "$program" = "$hard" ] || name="$kind (${program##*/})"
	if ! start_kind "$program" "$kind"; then
		not_ok "$name: starts"
		return
	fi
	started_pid=$pid
	check "$name: ${expected/#proven/is proven}" says "$expected"
	check "$name: has its frames" has_frames "$@"
	check "$name: is never free of the function that it is in" never_free "$kind"
	check "$name: $([ "$expected" = proven ] && echo is free of || echo is not inside of) a function that was never called" \
		absent_is "$expected"
	check "$name: runs on" still_there
	end_kind
}

kinds=(
	"plain|proven|read block held run"
	"handler|proven|read block handle raise raise_it held run"
	"redzone|proven|red_zone spin_announced held run"
	"interrupted|proven|read block handle red_zone held run"
	"altstack|signal stack|read block handle"
	"altstack_own|a signal is handled on another stack|read block handle"
	"asm|no unwind data|read block"
	"alloca|proven|read block use_alloca held run"
	"realign|proven|read block realign held run"
	"drap|proven|read block realign_drap call_drap held run"
	"noreturn|proven|read block never_returns dies call_dies held run"
	"deep|proven|read block deep go_deep held run"
	"wide|proven|read block wide go_wide held run"
	"jit|JIT|read block"
	"context|coroutine|read block held"
	"context_outer|coroutine|read block"
	"context_own|no unwind data|read block"
	"suspended|proven|read block run"
	"vfork|not known to be its own|read block call_vfork held run"
	"leaderless|proven|read block held run"
	"vdso|proven|read_clock held run"
	"spin|proven|spin held run"
	"smashed|not the code of any image|read block smash smash_with_garbage"
	"smashed_code|follows no call|read block smash smash_with_code"
	"lying|contradict|read block lying"
)
plan $((${#kinds[@]} * 5))
for entry in "${kinds[@]}"; do
	IFS='|' read -r kind expected functions <<<"$entry"
	# shellcheck disable=SC2086 # a list of words
	test_kind "$hard" "$kind" "$expected" $functions
done
exit "$((failures > 0))"
