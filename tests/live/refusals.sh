#!/bin/bash
# Whatever can't be done is said clearly, ends with the right status, and leaves the process byte for byte as it was.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 54

build_pair victim >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }
mkdir "$scratch/other"
build_pair other/victim -O1 >"$scratch/output" 2>&1 || { cat "$scratch/output"; exit 1; }
cc=${CC:-gcc}

# The command ends with the status, one line of what it says holds the text, and it changes nothing in the process.
refused() {	# STATUS TEXT COMMAND...
	local status=$1 text=$2
	shift 2
	snapshot "$victim" >"$scratch/before"
	ends_with "$status" "$@" >"$scratch/output" 2>&1 || { cat "$scratch/output"; return 1; }
	grep -q -- "^stent: .*$text" "$scratch/output" || { cat "$scratch/output"; return 1; }
	snapshot "$victim" >"$scratch/after"
	cmp "$scratch/before" "$scratch/after"
}

# For a process that has no memory to compare.
says() {	# STATUS TEXT COMMAND...
	local status=$1 text=$2
	shift 2
	ends_with "$status" "$@" >"$scratch/output" 2>&1 && grep -q -- "^stent: .*$text" "$scratch/output" ||
		{ cat "$scratch/output"; return 1; }
}

victim_start "$scratch/victim.1" spin epoll
verdict $? "a victim starts"
check "another build" refused 2 "maps no image with build-id" apply other/victim
check "which names the build-id that is there" grep -q "maps victim.1 with build-id" "$scratch/output"
check "a patch that is not there" refused 2 "holds no patch named victim" revert victim
check "a file that is not there" refused 1 "absent.stent" apply absent
check "not a patch" refused 1 "" "$stent" apply "$scratch/victim.1" -p "$victim"
size=$(stat -c %s "$scratch/victim.stent")
for part in 0 1 63 64 200 $((size / 2)) $((size - 1)); do
	head -c "$part" "$scratch/victim.stent" >"$scratch/cut.stent"
	check "a patch cut after $part bytes" refused 1 "cut.stent" apply cut
done
# Every byte counts: some of them, from all over the file.
damaged() {
	local at
	for ((at = 17; at < size; at += size / 23)); do
		cp "$scratch/victim.stent" "$scratch/damaged.stent"
		printf '\x5a' | dd of="$scratch/damaged.stent" bs=1 seek="$at" conv=notrunc status=none
		cmp -s "$scratch/victim.stent" "$scratch/damaged.stent" || refused 1 "" apply damaged || { echo "byte $at"; return 1; }
	done
}
check "a patch with a wrong byte" damaged
check "wrong options: no process" says 1 "one process or --all" "$stent" apply "$scratch/victim.stent"
check "wrong options: two processes" says 1 "one process can be named" "$stent" apply "$scratch/victim.stent" -p 1 -p 2
check "wrong options: not a number" says 1 "not a process id" "$stent" apply "$scratch/victim.stent" -p x
check "wrong options: not a time" says 1 "number of seconds" "$stent" apply "$scratch/victim.stent" -p 1 -t nan
thread=$(ls "/proc/$victim/task" | tail -n 1)
check "a thread instead of a process" refused 1 "is a thread of process $victim" "$stent" apply "$scratch/victim.stent" -p "$thread"
check "stent itself" says 2 "is stent itself" sh -c 'exec "$0" apply "$1" -p $$' "$stent" "$scratch/victim.stent"
check "a kernel thread" says 2 "is a kernel thread" "$stent" apply "$scratch/victim.stent" -p 2

# Somebody else's breakpoint.
entry=$(nm "$scratch/victim.1" | awk '$3 == "version" { print $1 }')
base=$(awk -F- -v name=victim.1 '$0 ~ name { print $1; exit }' "/proc/$victim/maps")
poke() {	# BYTE
	printf "$1" | dd of="/proc/$victim/mem" bs=1 seek=$((16#$base + 16#$entry + 1)) conv=notrunc status=none
}
original=$(dd if="/proc/$victim/mem" bs=1 skip=$((16#$base + 16#$entry + 1)) count=1 status=none | od -An -tx1 | tr -d ' ')
poke '\xcc'
check "foreign bytes at a function's entry" refused 2 "foreign bytes at the entry of version" apply victim
poke "\\x$original"

# No more memory.
prlimit --pid "$victim" --as=$((($(awk '{ print $1 }' "/proc/$victim/statm") + 4) * 4096)):unlimited 2>"$scratch/output" &&
	check "no memory to be had" refused 2 "can't map" apply victim || skip "no memory to be had" "no prlimit"
prlimit --pid "$victim" --as=unlimited:unlimited

# A debugger.
mkfifo "$scratch/tracer"
"$build/tests/live/tracer" "$victim" <"$scratch/tracer" >"$scratch/traced" &
tracer=$!
started_all+=("$tracer")
exec {tracer_in}>"$scratch/tracer"
within 5 grep -q ready "$scratch/traced"
check "traced" refused 2 "is traced by tracer (pid $tracer)" apply victim
check "status needs no stop" limit 10 "$stent" status -p "$victim"
exec {tracer_in}>&-
wait "$tracer"

# Another stent: it has the file of the memory locked as long as it works.
exec {lock}<"/proc/$victim/personality"
flock -n "$lock"
check "another stent is at work" refused 2 "another stent is at work" apply victim
exec {lock}>&-

check "stent may have few files open" refused 2 "may not have 64 files open" bash -c 'ulimit -n 40 && exec "$@"' - \
	"$stent" apply "$scratch/victim.stent" -p "$victim"

# Without rights.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 711 "$scratch"
	cp "$stent" "$scratch/stent"
	chmod 755 "$scratch/stent"
	chmod 644 "$scratch/victim.stent"
	check "not permitted" refused 1 "no permission to change it" setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$scratch/stent" apply "$scratch/victim.stent" -p "$victim"
	check "not permitted to look" refused 1 "no permission to read it" setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$scratch/stent" status -p "$victim"
	# As many signals wait for the user as may: then the kernel has no timer, and a thread in exec() could not be let go.
	check "no timer is left" refused 2 "no timer is left" setpriv --bounding-set=-sys_resource \
		bash -c 'ulimit -i 0 && exec "$@"' - "$stent" apply "$scratch/victim.stent" -p "$victim"
	if bash -c 'ulimit -i 0 && ulimit -i 10' 2>"$scratch/output"; then
		check "root gets one all the same" limit 30 bash -c 'ulimit -i 0 && exec "$@"' - "$stent" apply "$scratch/victim.stent" -p "$victim"
		check "and takes the patch out" limit 30 bash -c 'ulimit -i 0 && exec "$@"' - "$stent" revert victim -p "$victim"
	else
		skip "root gets one all the same" "root may not raise its limits here"
		skip "and takes the patch out" "root may not raise its limits here"
	fi
else
	for what in "not permitted" "not permitted to look" "no timer is left" "root gets one all the same" "and takes the patch out"; do
		skip "$what" "needs root and setpriv"
	done
fi
check "the victim has not noticed" runs_version 1

check "apply" apply victim
check "the same patch twice" refused 3 "is applied already" apply victim
limit 60 "$stent" diff "$scratch/victim.1" "$scratch/victim.2" -o "$scratch/second.stent" --name second >/dev/null
check "another patch on top of it" apply second
check "the one below can't be taken out" refused 2 "patch second lies on top of victim" revert victim
check "revert the upper one" revert second
check "revert" revert victim
check "twice" refused 2 "holds no patch named victim" revert victim
victim_stop
verdict $? "the victim ends by itself"
check "a process that is gone" says 1 "no such process" apply victim

victim_start "$scratch/victim.2"
verdict $? "a process of the new build starts"
check "which needs no patch" refused 3 "runs the new build" apply victim
victim_stop

# Names that would do something to a terminal.
printable() {	# COMMAND...
	"$@" >"$scratch/output" 2>&1
	grep -q 'evil' "$scratch/output" && ! grep -qa $'[\033\233\177]' "$scratch/output" || { cat -v "$scratch/output"; return 1; }
}
evil=$'evil\033[31m\302\233\233\177'
cp "$scratch/victim.1" "$scratch/$evil"
victim_start "$scratch/$evil" parked
verdict $? "a program with a strange name starts"
check "its name is printed harmlessly: gives up" printable apply victim --timeout 0.2
check "refused" printable "$stent" revert "no such $evil" -p "$victim"
ask unpark >/dev/null
check "done" printable apply victim -v
check "status" printable "$stent" status --json -p "$victim"
check "it was done" runs_version 2
victim_stop

victim_start "$scratch/victim.1" crowded
verdict $? "a process starts that leaves no room"
check "no place within reach" refused 2 "no free place" apply victim
victim_stop

sh -c 'sleep 0.2 & echo $!; exec sleep 20' >"$scratch/zombie" &
started_all+=($!)
within 5 test -s "$scratch/zombie"
zombie=$(cat "$scratch/zombie")
within 5 ended "$zombie"
check "a zombie" says 1 "zombie" "$stent" apply "$scratch/victim.stent" -p "$zombie"

cat >"$scratch/small.c" <<'END'
void _start(void) { for (;;) __asm__ volatile("mov $29, %%eax\n\tint $0x80" ::: "eax"); }
END
"$cc" -m32 -O2 -nostdlib -static -fno-pie -no-pie -o "$scratch/small" "$scratch/small.c" 2>"$scratch/output" &&
	{ "$scratch/small" & } 2>/dev/null && small=$! && started_all+=("$small") && sleep 0.2 && ! ended "$small"
if [ $? = 0 ]; then
	check "a 32-bit program" says 2 "32-bit" "$stent" apply "$scratch/victim.stent" -p "$small"
else
	skip "a 32-bit program" "none can be built or run here"
fi
exit "$((failures > 0))"
