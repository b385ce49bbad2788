#!/bin/bash
# C++ exceptions thrown through the frame of a function that is being replaced: a C function in a library, because images with
# C++ code are not patched yet. Only through the old version; the process's unwinder doesn't know the new code (docs/targets.md).
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 6

build_thrower() {
	local version
	for version in 1 2; do
		mkdir "$scratch/$version"
		"${CC:-gcc}" -std=c17 -O2 -g -fexceptions -fPIC -shared -Wl,--build-id -DFAMILY=$version -Wl,-soname,libthrown.so \
			-o "$scratch/$version/libthrown.so" "$top/tests/transition/thrown.c" || return 1
	done
	"${CXX:-g++}" -std=c++17 -O2 -g -pthread -rdynamic -o "$scratch/contract.one" "$top/tests/transition/thrower.cc" \
		-L"$scratch/1" -lthrown -Wl,-rpath,"$scratch/1" || return 1
	limit 60 "$stent" diff "$scratch/1/libthrown.so" "$scratch/2/libthrown.so" -o "$scratch/two.stent" --name two
}

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

# Taken out again, exceptions pass through the original code.
throws_after() {
	contract_start && apply_ends 0 two && revert_ends 0 two && enter 0 1 a1a1 && says ok "send 0 t" &&
		within 5 says a1a1ddxb1 "log 0" && text_is_file "$victim" libthrown.so && sound
}

scenario "a function of a library: the very next call is new" returns
scenario "an exception thrown through it" throws
scenario "one thrown through four frames of it" throws_through_many
scenario "exceptions caught before they leave it" throws_within
scenario "pthread_cancel through frames of C and C++" cancelled
scenario "an exception after the patch was taken out" throws_after

exit "$((failures > 0))"
