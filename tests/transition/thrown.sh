#!/bin/bash
# C++ exceptions and pthread_cancel through the frames of a function of a library in C, before, while and behind it is replaced: through
# the old version, the new one, and both in one stack.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 16

build_thrower() {
	local pair name
	for pair in one: two:-DFAMILY=2 three:-DFAMILY=3 a:"-DFAMILY=2 -DB=1" b:-DB=2; do
		name=${pair%%:*}
		mkdir "$scratch/$name"
		# shellcheck disable=SC2086 # flags
		"${CC:-gcc}" -std=c17 -O2 -g -fexceptions -fPIC -shared -Wl,--build-id ${pair#*:} -Wl,-soname,libthrown.so \
			-o "$scratch/$name/libthrown.so" "$top/tests/transition/thrown.c" || return 1
		[ "$name" = one ] || limit 60 "$stent" diff "$scratch/one/libthrown.so" "$scratch/$name/libthrown.so" \
			-o "$scratch/$name.stent" --name "$name" || return 1
	done
	"${CXX:-g++}" -std=c++17 -O2 -g -pthread -rdynamic -o "$scratch/contract.one" "$top/tests/transition/thrower.cc" \
		-L"$scratch/one" -lthrown -Wl,-rpath,"$scratch/one"
}

"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -shared -fPIC -o "$scratch/failing.so" "$top/tests/live/preload/failing.c" || exit 1
build_thrower >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

begin_transition() {	# DEPTH LOG
	contract_start && enter 0 "$1" "$2" && begin_apply two --timeout 20 && waits_for two installing 0 old fa
}

completes() {	# LOG
	within 5 says "$1" "log 0" && job_ends 0 && in_state two active && runs_family 2 && sound
}

returns() {
	begin_transition 0 a1 && says ok "send 0 g" && completes a1dh1b2
}

# The breakpoint doesn't see it leave, so some calls may still be old.
throws() {
	begin_transition 0 a1 && says ok "send 0 t" && completes 'a1dx(b1)?b2'
}

throws_through_many() {
	begin_transition 3 a1a1a1a1 && says ok "send 0 t" && completes 'a1a1a1a1ddddx(b1)?b2'
}

throws_within() {
	begin_transition 0 a1 && says ok "send 0 nnn" && within 5 says a1nnn "log 0" && job_runs && says ok "send 0 g" &&
		completes a1nnndh1b2
}

# Unwinding that is forced, by the same tables.
cancelled() {
	begin_transition 2 a1a1a1 && says ok "cancel 0" && completes a1a1a1ddd
}

# Worker 0 is in two frames of the new version.
enter_new() {
	contract_start && apply_ends 0 two && enter 0 1 a2a2
}

throws_new() {
	enter_new && says ok "send 0 t" && within 5 says a2a2ddxb2 "log 0" && sound
}

throws_within_new() {
	enter_new && says ok "send 0 nn" && within 5 says a2a2nn "log 0" && says ok "send 0 g" &&
		within 5 says a2a2nndh2dh2b2 "log 0" && sound
}

cancelled_new() {
	enter_new && says ok "cancel 0" && within 5 says a2a2dd "log 0" && sound
}

# Out of new code that is being left.
throws_out_of_new() {
	enter_new && begin revert two --timeout 20 && waits_for two reverting 0 new fa && says ok "send 0 t" &&
		within 5 says 'a2a2ddx(b2)?b1' "log 0" && job_ends 0 && in_state two reverted && runs_family 1 && sound &&
		text_is_file "$victim" libthrown.so && text_is_file "$victim" libc.so.6
}

# Another worker; those before it go on calling fb, and write that in between.
throws_again() {	# VERSION
	local before others='(b.)*'
	before=$(ask "log 0") && says ok "run 0 1" && within 5 says "$before${others}a$1${others}a$1$others" "log 0" &&
		says ok "send 0 t" && within 5 says "$before${others}a$1${others}a$1${others}d${others}d${others}x.*" "log 0"
}

# Patches of different functions: the tables of each are found while it is in force, whichever came first or goes first.
throws_through_either() {
	contract_start && apply_ends 0 a && apply_ends 0 b && throws_again 2 && revert_ends 0 b && throws_again 2 &&
		apply_ends 0 b && revert_ends 0 a && throws_again 1 && apply_ends 0 a && throws_again 2 && revert_ends 0 b &&
		throws_again 2 && revert_ends 0 a && throws_again 1 && text_is_file "$victim" libthrown.so &&
		text_is_file "$victim" libc.so.6 && sound
}

throws_through_both() {
	enter_new && begin_apply three --timeout 20 && waits_for three installing 0 old fa && says ok "send 0 t" &&
		within 5 says 'a2a2ddx(b2)?b3' "log 0" && job_ends 0 && throws_again 3 && revert_ends 0 three &&
		throws_again 2 && revert_ends 0 two && text_is_file "$victim" libc.so.6 && sound
}

throws_replaced() {
	contract_start && apply_ends 0 two && apply_ends 0 three --replace && throws_again 3 && revert_ends 0 three &&
		throws_again 1 && text_is_file "$victim" libthrown.so && text_is_file "$victim" libc.so.6 && sound
}

# By force, with threads in new code. (Its tables stay for good: nobody knows when they have left it.)
throws_after_force() {
	enter_new && revert_ends 0 two --timeout 1 --force && says ok "send 0 t" && within 5 says 'a2a2ddx(b2)?b1' "log 0" &&
		apply_ends 0 two && throws_again 2 && revert_ends 0 two && throws_again 1 && sound
}

# An unwinder that asks nobody: another one than libgcc's, which exports the same functions.
blind_unwinder() {
	local unwinder=$scratch/libblind.so
	"${CC:-gcc}" -shared -fPIC -Wl,--build-id -o "$unwinder" -x c - <<<'void _Unwind_RaiseException(void) { __builtin_trap(); }' || return 1
	LD_PRELOAD=$unwinder contract_start && ends_with 2 apply two >"$scratch/refusal" 2>&1
	cat "$scratch/refusal"
	grep -q 'by way of libblind.so, which' "$scratch/refusal" && runs_family 1 && text_is_file "$victim" libc.so.6
}

# A write that fails while it is taken out, whichever: exceptions pass through what is in force then.
reverts_failing() {
	local status write family
	for ((write = 1; write < 100; write++)); do
		contract_start && apply_ends 0 two || return 1
		FAILING=$write LD_PRELOAD=$scratch/failing.so revert two >"$scratch/output" 2>&1
		status=$?
		grep -q "^write $write fails" "$scratch/output" || break
		family=2
		[ "$status" != 0 ] || family=1	# it was none that counts
		throws_again "$family" && contract_stop || fails "$(cat "$scratch/output")" || return 1
	done
	[ "$status" = 0 ] && [ "$write" -gt 8 ] && throws_again 1
}

# Taken out again, exceptions pass through the original code.
throws_after() {
	contract_start && apply_ends 0 two && revert_ends 0 two && enter 0 1 a1a1 && says ok "send 0 t" &&
		within 5 says a1a1ddxb1 "log 0" && text_is_file "$victim" libthrown.so && text_is_file "$victim" libc.so.6 && sound
}

scenario "a function of a library: the very next call is new" returns
scenario "an exception thrown through it" throws
scenario "one thrown through four frames of it" throws_through_many
scenario "exceptions caught before they leave it" throws_within
scenario "pthread_cancel through frames of C and C++" cancelled
scenario "an exception after the patch was taken out" throws_after
scenario "an exception after a write has failed while it was taken out" reverts_failing
scenario "an exception thrown through two frames of new code" throws_new
scenario "exceptions caught before they leave it" throws_within_new
scenario "pthread_cancel through new code" cancelled_new
scenario "an exception out of new code that is being left" throws_out_of_new
scenario "exceptions while patches come and go" throws_through_either
scenario "an exception through code that was new before a second patch" throws_through_both
scenario "exceptions when a patch has replaced another one" throws_replaced
scenario "refused: an unwinder that does not ask" blind_unwinder
scenario "an exception through new code that was taken out by force" throws_after_force

exit "$((failures > 0))"
