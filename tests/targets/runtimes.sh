#!/bin/bash
# Processes of other languages and of emulators: those that compile while they run, with C functions of theirs patched, and those that execute
# something else than the code that is mapped. `make runtimes`; what can't be had here is skipped. docs/targets.md has the table.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/targets/taken.sh
. "$top/tests/targets/taken.sh"
# shellcheck disable=SC2154 # from victims.sh
hosts=$top/tests/targets/hosts

# Images of a hundred megabytes take their time where others want the processors, too.
limit() {	# SECONDS COMMAND...
	local seconds=$1
	shift
	timeout -k 5 $((seconds * 10)) "$@"
}

build_called() {	# NAME FLAG...: both versions of the library, and the patch
	local name=$1 version
	shift
	for version in 1 2; do
		mkdir -p "$scratch/$name/$version"
		"${CC:-gcc}" -std=c17 -O2 -shared -fPIC -Wl,--build-id "$@" -DVERSION=$version -o "$scratch/$name/$version/lib$name.so" \
			"$top/tests/targets/called.c" || return 1
	done
	limit 60 "$stent" diff "$scratch/$name"/{1,2}/"lib$name.so" -o "$scratch/$name.stent" --name "$name"
}

# A thread that is in the way, and the reason.
true_reason='^stent: thread [0-9]* (.*): \(in [a-z]\|stack not reliable: \|it runs on a stack that is not known to be its own\|does not stop\)'

# A thread is inside of an old function, below frames of which nothing is known: it is waited for, and then named, with what is in the way.
waits_for_it() {	# PATCH
	runs_version 1 || return 1
	ask park >/dev/null || return 1
	exits 4 "$true_reason" apply "$1" --timeout 1 && runs_version 1
}

# Once it has left, the patch goes in. (Not while its thread ends, and takes its library along.)
goes_on() {	# PATCH
	ask unpark >/dev/null && within 60 apply "$1" && runs_version 2 && revert "$1" && runs_version 1
}

# A thread that calls an old function all the time, from code that was made at run time: taken, or not for a true reason; whole in any case.
is_whole_when_busy() {	# PATCH
	local status version=1 to
	ask busy >/dev/null || return 1
	for to in apply revert apply revert apply revert; do
		"$to" "$1" --timeout 1 >"$scratch/busy" 2>&1
		status=$?
		[ "$status" != 0 ] || { [ "$to" = apply ] && version=2 || version=1; }
		[ "$status" != 4 ] || grep -q "$true_reason" "$scratch/busy" || { cat "$scratch/busy"; return 1; }
		[[ $status == [034] ]] || { cat "$scratch/busy"; echo "exit status $status of $to"; return 1; }
		runs_version "$version" || return 1
	done
}

runtime() {	# WHAT PATCH COMMAND...
	local what=$1 patch=$2
	shift 2
	victim_start "$@" 2>"$scratch/start" || { not_ok "$what: starts ($(cat "$scratch/start"))"; return; }
	wrapper=$victim
	limit 300 "$stent" stack "$victim" >"$scratch/stacks" 2>&1	# so that the unwind data of a large image is in the cache
	check "$what" works_in_turn "$patch"
	check "$what, called back from inside of old code: waited for" waits_for_it "$patch"
	check "$what, once that has returned" goes_on "$patch"
	check "$what, calling all the time: whole" is_whole_when_busy "$patch"
	finish_victim
}

skip_runtime() {	# WHAT WHY
	local part
	for part in "" ", called back" ", once that has returned" ", calling all the time"; do
		skip "$1$part" "$2"
	done
}

# Folders of packages, in ${folders[@]}; or the reason why not, in $why.
fetch() {	# PACKAGE...
	mapfile -t folders < <(limit 900 "$top/scripts/fetch" "$@" 2>"$scratch/fetch" || echo missing)
	why=$(tail -n 1 "$scratch/fetch")
	[ "${folders[-1]}" != missing ]
}

plan 23

# Python, by ctypes (libffi makes the code of callbacks at run time).
check "the library is built" build_called called
runtime "python3" called python3 "$hosts/host.py" "$scratch/called/1/libcalled.so"

check "the library for node is built" build_called called_node -DFOR_NODE
if command -v node >/dev/null; then
	node=(node)
elif fetch nodejs; then
	node=(env "LD_LIBRARY_PATH=$("$top/scripts/fetch" --libraries)" "${folders[0]}/usr/bin/node")
fi
if [ -n "${node-}" ]; then
	cp "$scratch/called_node/1/libcalled_node.so" "$scratch/called_node/1/called.node"
	runtime "node, with workers" called_node "${node[@]}" "$hosts/host.js" "$scratch/called_node/1/called.node"
else
	skip_runtime "node" "$why"
fi

check "the library for java is built" build_called called_java -DFOR_JAVA
if command -v java >/dev/null; then
	java=java
elif fetch openjdk-17-jre-headless; then
	java=$(echo "${folders[0]}"/usr/lib/jvm/*/bin/java)
fi
if [ -n "${java-}" ]; then
	check "a Java program is built" limit 300 "$java" -m jdk.compiler/com.sun.tools.javac.Main -d "$scratch" "$hosts/Host.java"
	runtime "java" called_java "$java" -cp "$scratch" Host "$scratch/called_java/1/libcalled_java.so"
else
	skip "a Java program is built" "$why"
	skip_runtime "java" "$why"
fi

# Go: its programs are refused by diff. A C library in one has to wait until no goroutine is on a thread: their stacks are in the heap, and move.
if fetch golang-1.19-go golang-1.19-src; then
	go_root=$scratch/go
	mkdir -p "$go_root"
	cp -rs "${folders[1]}"/usr/share/go-1.19/* "${folders[0]}"/usr/share/go-1.19/* "${folders[0]}"/usr/lib/go-1.19/* "$go_root" 2>/dev/null
fi

build_go() {	# PROGRAM LDFLAGS
	env GOROOT="$go_root" GOCACHE="$build/go-cache" GO111MODULE=off CGO_ENABLED=1 CGO_LDFLAGS="$2" \
		nice "$go_root/bin/go" build -o "$1" "$hosts/host.go"
}
if [ -n "${go_root-}" ]; then
	check "a Go program is built" build_go "$scratch/host" "-L$scratch/called/1 -lcalled"
	check "a Go program: refused by diff" exits 2 "is a Go program" "$stent" diff "$scratch/host" "$scratch/host" -o "$scratch/go.stent"
	victim_start env "LD_LIBRARY_PATH=$scratch/called/1" "$scratch/host"
	wrapper=$victim
	check "a C library in a Go program: not taken" exits 4 "$true_reason" apply called --timeout 2
	check "and it goes on" runs_version 1
	finish_victim
else
	for what in "a Go program is built" "a Go program: refused by diff" "a C library in a Go program: not taken" "and it goes on"; do
		skip "$what" "$why"
	done
fi

check "a victim is built" build_pair plain
if fetch qemu-user; then
	libraries=$("$top/scripts/fetch" --libraries)
	refused "under qemu-user" plain "runs under qemu, which executes a translation of its code" \
		env "LD_LIBRARY_PATH=$libraries" "${folders[0]}/usr/bin/qemu-x86_64" -E LD_LIBRARY_PATH= "$scratch/plain.1" spin nanosleep
else
	skip "under qemu-user: refused" "$why"
fi
under_rr=(env "LD_LIBRARY_PATH=$("$top/scripts/fetch" --libraries)" "_RR_TRACE_DIR=$scratch/rr")
if fetch rr && "${under_rr[@]}" "${folders[0]}/usr/bin/rr" record true >"$scratch/rr.log" 2>&1; then
	refused "under rr" plain "is traced by rr" "${under_rr[@]}" "${folders[0]}/usr/bin/rr" record "$scratch/plain.1" nanosleep
else
	skip "under rr: refused" "${why:-$(grep -m1 -o 'Unable.*' "$scratch/rr.log")}"
fi
exit "$((failures > 0))"
