#!/bin/bash
# A function in which a coroutine is suspended is on no thread's stack, and must not be replaced all the same.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$(dirname "$0")/../victims.sh"
# shellcheck disable=SC2154 # from lib.sh and victims.sh

build() {	# NAME FLAG...
	local version
	for version in 1 2; do
		"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -Wl,--build-id -DVERSION=$version "${@:2}" -o "$scratch/$1.$version" \
			tests/live/coroutine.c || return 1
	done
	limit 60 "$stent" diff "$scratch/$1.1" "$scratch/$1.2" -o "$scratch/$1.stent" --name "$1"
}

plan 77

refused() {	# NAME OPTION... REASON
	local reason=${*: -1}
	limit 20 "$stent" apply --timeout 0.5 "${@:2:$#-2}" "$scratch/$1.stent" -p "$victim" >"$scratch/out" 2>&1
	if [ $? != 4 ] || ! grep -q "$reason" "$scratch/out"; then
		cat "$scratch/out"
		return 1
	fi
}

applied() {	# NAME
	limit 20 "$stent" apply --timeout 2 "${@:2}" "$scratch/$1.stent" -p "$victim" >"$scratch/out" 2>&1
	local status=$?
	cat "$scratch/out"
	return $status
}

# Beside the pause: a part of it, about so many MiB, and what they were searched for.
says_search() {	# MIB WHY
	awk -v mib="$1" -v why="$2" '
		match($0, /paused +[0-9.]+ ms/) { split(substr($0, RSTART), word); paused = word[2] }
		match($0, /searched +[0-9.]+ ms of that, [0-9.]+ MiB, for suspended coroutines: /) {
			found++
			split(substr($0, RSTART), word)
			good = word[2] > 0 && word[2] <= paused && word[6] >= mib && word[6] < mib + 8 && index(substr($0, RSTART + RLENGTH), why) == 1
		}
		END { exit !(found == 1 && good) }' "$scratch/out"
}

everywhere() {
	limit 20 "$stent" "$@" --timeout 2 --all >"$scratch/out" 2>&1
	local status=$?
	cat "$scratch/out"
	return $status
}

check "two builds" build coroutine
for kind in made own copied closed given; do
	victim_start "$scratch/coroutine.1" $kind
	verdict $? "a program with a coroutine ($kind)"
	is_answered inside 0
	verdict $? "it is suspended in the function"
	check "which is not replaced then" refused coroutine 'a suspended context may be in work'
	is_answered outside 10
	verdict $? "it has left the function"
	check "which is replaced then" applied coroutine
	is_answered inside 10 && is_answered outside 20
	verdict $? "the coroutine runs the new one"
	victim_stop
	verdict $? "and ends as it should ($kind)"
done

victim_start "$scratch/coroutine.1" never 40
check "more memory than may be searched" refused coroutine --search 8 'may be in more memory than is searched'
check "as much as may be searched" applied coroutine
check "what that takes of the pause is said" says_search 40 'coroutine.1 switches stacks at 0x'
is_answered ask 20
verdict $? "which shows"
check "it is taken back, wherever it is" everywhere revert coroutine
check "and put in, wherever it belongs" everywhere apply "$scratch/coroutine.stent"
check "what that takes is said, too" says_search 40 'coroutine.1 switches stacks at 0x'
victim_stop

# AddressSanitizer maps terabytes: what the page table says of all that would take half a minute to read, while the process stands still.
check "two builds with AddressSanitizer" build sanitized -fsanitize=address
ASAN_OPTIONS=detect_leaks=0 victim_start "$scratch/sanitized.1" never
check "terabytes that hold nothing" refused sanitized 'may be in more memory than is searched'
victim_stop

# (That it can't be resumed is as well: it would run into the next function.)
victim_start "$scratch/coroutine.1" last
is_answered inside 0
verdict $? "a coroutine is suspended behind the last instruction of a function"
check "which is not replaced then" refused coroutine 'a suspended context may be in last'
victim_stop

# The program has words that lead to each page where the patch would lie otherwise.
victim_start "$scratch/coroutine.1" never
check "a patch among words that lead to memory which has gone" applied coroutine
is_answered ask 20
verdict $? "which shows"
check "is taken back" limit 20 "$stent" revert --timeout 2 coroutine -p "$victim"
is_answered ask 10
verdict $? "which shows, too"
victim_stop

# What makecontext() has put on no stack is no context, whatever else is in memory.
check "two builds without code of their own that switches" build made -DMADE_ONLY
for kind in made copied closed; do
	victim_start "$scratch/made.1" $kind
	is_answered inside 0
	check "a context that makecontext() has made is found ($kind)" refused made 'a suspended context may be in work.*made.1 calls makecontext()'
	is_answered outside 10
	check "and found to have left ($kind)" applied made
	victim_stop
done

# What is known of libc's holds for no other, and for none that somebody has changed.
check "two builds with a makecontext() of their own" build maker -DMADE_ONLY -DOWN_MAKER
victim_start "$scratch/maker.1" made
is_answered inside 0
check "what that has made is found" refused maker 'a suspended context may be in work.*maker.1 has a makecontext() of its own'
victim_stop
changed() {
	local library base place
	library=$(awk '/\/libc\.so\.6$/ { print $NF; exit }' "/proc/$victim/maps")
	base=$(awk '/\/libc\.so\.6$/ { sub("-.*", ""); print; exit }' "/proc/$victim/maps")
	place=$(nm -D --defined-only "$library" | awk '$3 ~ /^makecontext@/ { print $1; exit }')
	printf '\xcc' | dd of="/proc/$victim/mem" bs=1 seek=$((16#$base + 16#$place)) conv=notrunc status=none
}
victim_start "$scratch/made.1" late
check "libc's is changed" changed
check "which is no reason to refuse" applied made -v
check "but one to search" says_search 0 'made.1 calls makecontext()'
victim_stop

has_wire() {
	# shellcheck disable=SC2010,SC2012 # what they lead to
	ls -l "/proc/$started/fd" 2>/dev/null | grep -q perf_event
}

not_searched() {
	! grep searched "$scratch/out"
}

still_waits() {
	sleep 1
	! ended "$started" || { cat "$scratch/out"; return 1; }
}

arrives() {
	wait "$started" || { cat "$scratch/out"; return 1; }
}

installing() {
	"$stent" status -p "$victim" 2>&1 | grep -q '^made: installing'
}

# That it has made none is seen while it runs, so threads move one by one. Then a context is made all the same, by a thread in the old function, and left in it.
victim_start "$scratch/made.1" late 40
is_answered stay 0
verdict $? "a thread is in the function"
start "$stent" apply --timeout 20 "$scratch/made.stent" -p "$victim" >"$scratch/out" 2>&1
if within 5 has_wire; then
	check "which is replaced for others" within 5 installing
	is_answered ask 20
	verdict $? "which shows"
	is_answered carry 20
	verdict $? "it makes the first context, which is suspended in the function"
	is_answered go 10
	verdict $? "the thread leaves it, and stays old as its context does"
	check "the context does not" still_waits
	check "so the transition is not at its end" installing
	is_answered outside 10
	verdict $? "the context has left it"
	arrives
	verdict $? "which is the end"
	check "memory has been searched for it" says_search 40 'made.1 calls makecontext()'
	is_answered inside 10 && is_answered outside 20
	verdict $? "it runs the new function"
	victim_stop

	victim_start "$scratch/made.1" never 40
	check "where it has made none, none is feared, in however much memory" applied made --search 8
	check "which is not searched while it stands still" not_searched
	is_answered ask 20
	verdict $? "which shows"
	victim_stop
else
	for what in "replaced for others" "which shows" "a first context" "the thread leaves" "the context doesn't" "not at its end" "which leaves" \
		"the end" "a search" "it runs the new function" "in however much memory" "no search"; do
		skip "$what" "no breakpoints of processors are to be had"
	done
	echo go >&"$victim_in"
	arrives
	victim_stop
	victim_start "$scratch/made.1" never
	check "where it has made none, none is feared" applied made
	victim_stop
fi
