#!/bin/bash
# Stacks of every hard kind: what `stent stack` says of each, and that none of them is ever taken for free of a
# function that has a frame there. hard.c has the kinds, ask.c asks the question that live patching asks.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
ask=$build/tests/stack/ask

# Starts the program; $pid and $tid are the thread's, held_... and absent_... the two functions' ranges.
start_kind() {	# PROGRAM KIND
	start "$1" "$2" >"$scratch/ready"
	within 10 grep -q '^ready .*' "$scratch/ready" || return 1
	read -r _ tid pid held_start held_end absent_start absent_end <"$scratch/ready"
	[ "$pid" = "$started" ] || started_all+=("$pid")	# a child by vfork
	# The first thread is still on its way to pause(), perhaps through code that proves nothing (the resolver of PLT entries).
	within 5 grep -q '^State:[[:space:]]*[SZ]' "/proc/$started/status"
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
	limit 20 "$ask" "$pid" "$1" "$2" >"$scratch/answers" || { echo "ask: exit status $?"; return 1; }
}

answer_of() {	# TID
	awk -v tid="$1" '$1 == tid { print $2 }' "$scratch/answers"
}

# The thread is not free of the function that it has a frame of. Where the frame is on a stack that the thread is not on, it is
# enough that the process is not.
never_free() {	# KIND
	local times who=$tid
	[[ $1 != @(suspended|context_own|own) ]] || who=contexts
	for times in {1..5}; do
		answers "$held_start" "$held_end" || return 1
		[[ $(answer_of "$tid") == @(INSIDE|UNRELIABLE) || $(answer_of "$who") == @(INSIDE|UNRELIABLE) ]] && continue
		echo "after $times:"
		cat "$scratch/answers"
		return 1
	done
}

# A thread is in no function that was never called, and free of it where its stack is proven; then so is the process.
absent_is() {	# EXPECTED
	answers "$absent_start" "$absent_end" || return 1
	case $1,$(answer_of "$tid"),$(answer_of contexts) in
	proven,FREE,FREE) return ;;
	proven,*) ;;
	*,FREE,* | *,UNRELIABLE,*) return ;;	# by the scan alone
	esac
	cat "$scratch/answers"
	return 1
}

still_there() {
	show_stack "$pid" && [[ $(of_thread "$tid") == "thread $tid "* ]] || { cat "$scratch/stack"; return 1; }
}

# A thread that waits for its child by vfork can't be stopped.
test_vfork_parent() {
	local parent
	start_kind "$build/tests/stack/hard" vfork
	parent=$started
	check "vfork: the parent's stacks are printed" show_stack "$parent"
	check "vfork: the parent's thread is not proven" grep -q '^thread [0-9]* (vfork): not proven: it does not stop$' "$scratch/stack"
	check "vfork: and nothing is taken for free" ends_with 4 "$ask" "$parent" "$held_start" "$held_end"
	end_kind
}

# Static, with musl for its libc, whose code has no unwind data in Debian.
build_musl() {
	local files libraries
	fetch_packages musl-dev || return 1
	# shellcheck disable=SC2154 # set by fetch_packages
	files=${folders[0]}/usr
	libraries=$files/lib/x86_64-linux-musl
	gcc -std=c17 -D_GNU_SOURCE -O2 -nostdinc -isystem "$files/include/x86_64-linux-musl" \
		-isystem "$(gcc -print-file-name=include)" -nostdlib -static -Wl,--build-id -o "$scratch/hard-musl" \
		"$libraries/crt1.o" "$libraries/crti.o" tests/stack/hard.c -L"$libraries" -lc -lgcc "$libraries/crtn.o" && return
	reason="hard.c can't be built with musl"
	return 1
}

test_kind() {	# PROGRAM KIND EXPECTED FUNCTION...
	local name="$2 ($1)" program=$build/tests/stack/$1 kind=$2 expected=$3 name i
	shift 3
	if [ "$name" = "$kind (hard-musl)" ]; then
		program=$scratch/hard-musl
		if [ ! -x "$program" ]; then
			for i in {1..5}; do skip "$name, result $i" "$reason"; done
			return
		fi
	fi
	if ! start_kind "$program" "$kind"; then
		not_ok "$name: starts"
		return
	fi
	check "$name: ${expected/#proven/is proven}" says "$expected"
	check "$name: has its frames" has_frames "$@"
	check "$name: is never free of the function that it is in" never_free "$kind"
	check "$name: $([ "$expected" = proven ] && echo is free of || echo is not inside of) a function that was never called" \
		absent_is "$expected"
	check "$name: runs on" still_there
	end_kind
}

kinds=(
	"hard|plain|proven|read block held run"
	"hard|handler|proven|read block handle raise raise_it held run"
	"hard|redzone|proven|red_zone spin_announced held run"
	"hard|interrupted|proven|read block handle red_zone held run"
	"hard|altstack|signal stack|read block handle"
	"hard|altstack_own|a signal is handled on another stack|read block handle"
	"hard|asm|no unwind data|read block"
	"hard|alloca|proven|read block use_alloca held run"
	"hard|realign|proven|read block realign held run"
	"hard|drap|proven|read block realign_drap call_drap held run"
	"hard|noreturn|proven|read block never_returns dies call_dies held run"
	"hard|deep|proven|read block deep go_deep held run"
	"hard|wide|proven|read block wide go_wide held run"
	"hard|jit|JIT|read block"
	"hard|context|coroutine|read block held"
	"hard|context_outer|coroutine|read block"
	"hard|context_own|no unwind data|read block"
	"hard|suspended|proven|read block run"
	"hard|borrowed|another one's stack|read block lend run"
	"hard|fork|proven|read block call_fork held run"
	"hard|vfork|proven|read block call_vfork held run"
	"hard|leaderless|proven|read block held run"
	"hard|vdso|proven|read_clock held run"
	"hard|spin|proven|spin held run"
	"hard|smashed|not the code of any image|read block smash smash_with_garbage"
	"hard|smashed_code|follows no call|read block smash smash_with_code"
	"hard|lying|contradict|read block lying"
	"handmade|suspended|proven|read block run_suspended"
	"handmade|own|it claims to be the entry of a thread|read block begin_other"
	"hard-static|plain|proven|read block held run"
	"hard-static|handler|proven|read block handle raise raise_it held run"
	"hard-static|drap|proven|read block realign_drap call_drap held run"
	"hard-static|context_outer|coroutine|read block"
	"hard-static|fork|proven|read block call_fork held run"
	"hard-musl|plain|no unwind data|"
	"hard-musl|spin|no unwind data|spin held run"
	"hard-musl|altstack|signal stack|"
)
plan $((${#kinds[@]} * 5 + 3))
build_musl
for entry in "${kinds[@]}"; do
	IFS='|' read -r program kind expected functions <<<"$entry"
	# shellcheck disable=SC2086 # a list of words
	test_kind "$program" "$kind" "$expected" $functions
done
test_vfork_parent
exit "$((failures > 0))"
