#!/bin/bash
# Those of kernel livepatch's own selftests that have a form in a process and are not covered by the other tests; klp-selftests.md
# lists them all.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/victims.sh
. "$top/tests/transition/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 18

compile() {	# OUTPUT FLAG...
	local output=$1
	shift
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -g -Wl,--build-id -pthread -o "$scratch/$output" "$@"
}

make_patch() {	# NAME OLD NEW
	limit 60 "$stent" diff "$scratch/$2" "$scratch/$3" -o "$scratch/$1.stent" --name "$1"
}

build() {
	local name source=$top/tests/transition
	compile victim "$source/klp_victim.c" && compile probe "$source/klp_probe.c" || return 1
	for name in p:-DP=2 q:-DQ=2 r:-DR=2 s:-DS=2 hot:-DHOT=2 again:-DP=3 all:"-DP=4 -DQ=4 -DR=4"; do
		# shellcheck disable=SC2086 # more than one flag
		compile "victim.${name%%:*}" ${name#*:} "$source/klp_victim.c" && make_patch "${name%%:*}" victim "victim.${name%%:*}" || return 1
	done
	compile coroutine.so -shared -fPIC "$source/klp_coroutine.c" || return 1
	mkdir "$scratch/new" "$scratch/other" "$scratch/other/new" || return 1
	for name in library.so other/library.so; do
		compile "$name" -shared -fPIC -DWORK=1 "-DNAME=\"$name\"" -Wl,-soname,"${name/\//-}" "$source/klp_library.c" &&
			compile "${name%library.so}new/library.so" -shared -fPIC -DWORK=2 "-DNAME=\"$name\"" -Wl,-soname,"${name/\//-}" \
				"$source/klp_library.c" || return 1
	done
	make_patch library library.so new/library.so && make_patch other other/library.so other/new/library.so
}

build >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }

started_one() {
	victim_start "$scratch/victim" || fails "the victim did not start"
}

text_is_whole() {
	text_is_file "$victim" || fails "text is not what its file holds"
}

# The patches that are in force, in the order of their names.
active_are() {	# NAME...
	local active
	active=$(limit 10 "$stent" status -p "$victim" | sed -n 's/^\([a-z]*\): active.*/\1/p' | sort | xargs)
	[ "$active" = "$*" ] || fails "active: '$active', not '$*'"
}

# test-livepatch.sh, "basic function patching", with the log that it compares
basic() {
	started_one && says "1 1 1" call && grep -q '"patches":\[\]' < <(status_json) && apply_ends 0 p && says "2 1 1" call &&
		grep -q '"name":"p","state":"active"' < <(status_json) && revert_ends 0 p && says "1 1 1" call &&
		is_in_state p reverted && text_is_whole
}

# A function that is called through pointers made long before: in the kernel, every operations structure
pointers() {
	started_one && says "1 1 1 1 1" pointers && apply_ends 0 p && says "2 2 2 2 1" pointers && revert_ends 0 p &&
		says "1 1 1 1 1" pointers
}

# test-livepatch.sh, "multiple livepatches"
several() {
	started_one && apply_ends 0 p && says "2 1 1" call && apply_ends 0 q && says "2 2 1" call && active_are p q &&
		revert_ends 0 q && says "2 1 1" call && active_are p && revert_ends 0 p && says "1 1 1" call && text_is_whole
}

# test-livepatch.sh, "atomic replace livepatch": what the new patch has not is original again, as the kernel's nops do it
replaces_three() {
	started_one && apply_ends 0 p && apply_ends 0 q && apply_ends 0 r && says "2 2 2" call && active_are p q r &&
		apply_ends 0 again --replace && says "3 1 1" call && active_are again && is_out p && is_out q &&
		says "3 1 1" call && revert_ends 0 again && says "1 1 1" call && text_is_whole
}

# test-callbacks.sh and test-state.sh, cumulative patches up and down
cumulative() {
	started_one && apply_ends 0 p && apply_ends 0 all --replace && says "4 4 4" call && active_are all &&
		apply_ends 0 p --replace && says "2 1 1" call && active_are p && revert_ends 0 p && says "1 1 1" call && text_is_whole
}

# test-livepatch.sh, "module function patching"; test-callbacks.sh, "target module before livepatch"
library_before() {
	started_one && says ok "open $scratch/library.so" && says 1 work && apply_ends 0 library && says 2 work &&
		revert_ends 0 library && says 1 work && text_is_whole && says ok close
}

# "module_coming notifier", "target module not present": a patch is for what is there; nothing waits for a library to come
library_later() {
	started_one && snapshot "$victim" >"$scratch/before" && apply_ends 2 library && snapshot "$victim" >"$scratch/after" &&
		cmp "$scratch/before" "$scratch/after" && says ok "open $scratch/library.so" && says 1 work && apply_ends 0 library &&
		says 2 work && revert_ends 0 library && says 1 work && text_is_whole
}

# "module_going notifier", "module_coming and module_going notifiers"
library_goes() {
	started_one && says ok "open $scratch/library.so" && apply_ends 0 library && says 2 work && says ok close &&
		is_in_state library lost && says "1 1 1" call && says ok "open $scratch/library.so" && says 1 work &&
		apply_ends 0 library && says 2 work && revert_ends 0 library && says 1 work && text_is_whole
}

# It goes, and comes again, while the patch is half done: which threads are new says nothing of the one that is there now.
library_goes_half_way() {
	started_one && says ok "open $scratch/library.so" && says ok linger && apply_ends 0 library --no-wait &&
		is_in_state library installing && says 2 work && says 1 leave && says ok close && is_in_state library lost &&
		says ok "open $scratch/library.so" && says 1 work && is_in_state library lost && apply_ends 0 library && says 2 work &&
		active_are library && revert_ends 0 library && says 1 work && text_is_whole
}

# "multiple target modules", with the program itself: taken out in another order
libraries() {
	started_one && says ok "open $scratch/library.so" && apply_ends 0 library && says 2 work && apply_ends 0 p &&
		says "2 1 1" call && active_are library p && revert_ends 0 library && says 1 work && says "2 1 1" call &&
		apply_ends 0 library && revert_ends 0 p && says 2 work && says "1 1 1" call && revert_ends 0 library && text_is_whole
}

# "busy target module": libraries come and go while the transition stands, and it is turned round
busy() {
	started_one && says ok enter && apply_ends 0 p --no-wait && is_in_state p installing && says "2 1 1" call &&
		says ok "open $scratch/library.so" && says 1 work && is_in_state p installing && says ok close &&
		is_in_state p installing && says ok "open $scratch/other/library.so" && revert_ends 0 p && is_in_state p reverted &&
		says "1 1 1" call && says 1 leave && apply_ends 0 other && says 2 work && text_is_file "$victim" victim
}

# Not in the kernel's tests: coroutines come into the process while threads are watched. The thread that goes on with one that was left
# in old code must be old itself.
coroutine_later() {
	victim_start "$scratch/victim" "$scratch/coroutine.so" && says ok carry && begin_apply all --timeout 20 &&
		within 5 is_in_state all installing && within 5 are_armed 1 && sleep 0.2 && says ok drop && sleep 0.5 && says "1 1" resume &&
		job_ends 0 && says "4 4 4" call && revert_ends 0 all && says "1 1 1" call && text_is_file "$victim" victim
}

# test-syscall.sh, getpid() hammered by a process for each processor
hammered() {
	started_one && says ok "hammer $(($(nproc) * 4))" && says "1 1 1" hot && apply_ends 0 hot --timeout 60 && says "2 2 1" hot &&
		revert_ends 0 hot --timeout 60 && says "1 1 1" hot && apply_ends 0 hot --timeout 60 && says "2 2 1" hot
}

# Where in its file p begins: p_offset and p_vaddr differ nowhere in code that this linker has made.
offset_of_p() {
	readelf -sW "$scratch/victim" | awk '$8 == "p" { print "0x" $2 }'
}

can_probe() {
	"$scratch/probe" 0 "$scratch/victim" "$(offset_of_p)" </dev/null >"$scratch/output" 2>&1
	[ $? != 77 ]
}

run_probe() {
	exec "$scratch/probe" "$victim" "$scratch/victim" "$(offset_of_p)" <&"$probe_in" >"$scratch/probe.out" 2>&1
}

# test-kprobe.sh, "livepatch interaction with kprobed function"; test-ftrace.sh, "disable ftrace": somebody else is at the entry
probed() {
	local probe_in probe
	started_one || return 1
	mkfifo "$scratch/probe.in" && exec {probe_in}<>"$scratch/probe.in" && rm "$scratch/probe.in"
	start run_probe
	probe=$started
	within 5 grep -sq ready "$scratch/probe.out" && says "1 1 1" call && apply_ends 2 p && says "1 1 1" call && apply_ends 0 q && says "1 2 1" call || return 1
	echo >&"$probe_in"
	wait "$probe" || fails "the probe was not hit" || return 1
	apply_ends 0 p && says "2 2 1" call && revert_ends 0 p && revert_ends 0 q && says "1 1 1" call && text_is_whole
}

# In a mount namespace of its own, with the list of events where systems have it.
with_events() {	# COMMAND...
	# shellcheck disable=SC2016 # the inner shell's
	unshare --mount sh -c 'mount -t tracefs none /sys/kernel/tracing && exec "$@"' sh "$@"
}

define_event() {	# LINE
	with_events sh -c "echo '$1' >>/sys/kernel/tracing/uprobe_events"
}

# A probe that is defined, and not switched on: when it is, the patched process would not survive.
defined() {
	local event=stent_test_$$/p status
	started_one && define_event "p:$event $scratch/victim:$(offset_of_p)" || return 1
	with_events "$stent" apply "$scratch/p.stent" -p "$victim" >"$scratch/output" 2>&1
	status=$?
	with_events "$stent" apply "$scratch/q.stent" -p "$victim" || fails "q has no probe"
	define_event "-:$event"
	[ "$status" = 2 ] && grep -q "a uprobe, $event, is defined at the entry of p" "$scratch/output" || fails "$(cat "$scratch/output")" || return 1
	says "1 2 1" call && with_events "$stent" apply "$scratch/p.stent" -p "$victim" && says "2 2 1" call && revert_ends 0 p && revert_ends 0 q &&
		text_is_whole
}

# "ftrace cannot be disabled while livepatched": nobody can keep others from writing there, but what they wrote is not destroyed
changed() {
	local base
	started_one && apply_ends 0 p || return 1
	base=0x$(sed -n 's/-.*victim$//p' "/proc/$victim/maps" | head -n 1)
	local entry=$((base + $(offset_of_p))) byte
	byte=$(peek $entry 1)
	[ "$byte" = e9 ] || fails "no jump at the entry: $byte" || return 1
	poke $entry cc
	revert_ends 2 p && [ "$(peek $entry 1)" = cc ] || fails "the byte is gone" || return 1
	poke $entry "$byte"
	says "2 1 1" call && revert_ends 0 p && says "1 1 1" call && text_is_whole
}

# Not in the kernel's tests: a thread that is in no byte of the function but of its part elsewhere
coldly() {
	started_one && says ok chill && apply_ends 0 s --no-wait && is_in_state s installing &&
		grep -qE '"version":"old","why":"ins[".]' < <(status_json) && says 1 leave && apply_ends 0 s && is_in_state s active &&
		revert_ends 0 s && text_is_whole
}

# test-sysfs.sh: what the status says of a patch, in each state that it may be in
states() {
	started_one && says ok enter && apply_ends 0 p --no-wait &&
		grep -qE '"name":"p","state":"installing".*"threads":\[.*"version":"old","why":"inp"' < <(status_json) &&
		revert_ends 0 p && is_in_state p reverted && says 1 leave && apply_ends 0 p &&
		grep -q '"name":"p","state":"active","forced":false' < <(status_json) && says ok enter && revert_ends 0 p --no-wait &&
		grep -qE '"name":"p","state":"reverting".*"threads":\[.*"version":"new","why":"inp"' < <(status_json) && says 2 leave &&
		revert_ends 0 p && is_in_state p reverted && says "1 1 1" call && text_is_whole
}

scenario "a function is patched and original again" basic
scenario "a function that is called through pointers" pointers
scenario "several patches, taken out in order" several
scenario "one patch instead of three" replaces_three
scenario "cumulative patches, up and down" cumulative
scenario "a library that was there before" library_before
scenario "a library that comes later" library_later
scenario "a library that goes, and comes again" library_goes
scenario "a library that goes, and comes again, while the patch is half done" library_goes_half_way
scenario "a library and the program" libraries
scenario "libraries come and go while a thread is busy inside, and it is turned round" busy
scenario "a library with coroutines that comes while a thread is watched" coroutine_later
scenario "threads that call the function in a tight loop" hammered
if can_probe; then
	scenario "a probe at the entry" probed
else
	skip "a probe at the entry" "this kernel has no uprobes, or does not permit them"
fi
if with_events test -w /sys/kernel/tracing/uprobe_events 2>/dev/null; then
	scenario "a probe at the entry that is only defined" defined
else
	skip "a probe at the entry that is only defined" "this kernel has no list of uprobes, or does not permit a mount"
fi
scenario "an entry that somebody changed" changed
if nm "$scratch/victim" | grep -q ' s\.cold$'; then
	scenario "a thread in the cold part of a function" coldly
else
	skip "a thread in the cold part of a function" "this compiler makes none"
fi
scenario "what the status says" states

exit "$((failures > 0))"
