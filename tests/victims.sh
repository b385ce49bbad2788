# victims.sh: for live tests, sourced behind lib.sh: two builds of victim.c, the patch between them, and running victims.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from lib.sh

build_version() {	# VERSION NAME FLAG...
	local version=$1 name=$2
	shift 2
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -pthread -Wl,--build-id "$@" -DVERSION="$version" -o "$scratch/$name.$version" \
		"$top/tests/live/${victim_source-victim.c}"
}

# Build both versions as NAME.1 and NAME.2 with more flags, and the patch NAME.stent; of another victim if $victim_source says so.
build_pair() {	# NAME FLAG...
	local name=$1
	build_version 1 "$@" && build_version 2 "$@" || return 1
	limit 60 "$stent" diff "$scratch/$name.1" "$scratch/$name.2" -o "$scratch/$name.stent" --name "${name##*/}"
}

# The same, and a third version NAME.3 with the patch third.stent from the first to it.
build_three() {	# NAME FLAG...
	local name=$1
	build_pair "$@" || return 1
	shift
	build_version 3 "$name" "$@" && limit 60 "$stent" diff "$scratch/$name.1" "$scratch/$name.3" -o "$scratch/third.stent" --name third
}

# Start a victim that answers through descriptors; its pid is in $victim.
victim_start() {	# PROGRAM THREAD...
	local from to ready
	from=$scratch/from.victim to=$scratch/to.victim
	rm -f "$from" "$to"
	mkfifo "$from" "$to" || return 1
	"$@" <"$to" >"$from" &
	victim=$!
	started_all+=("$victim")
	exec {victim_in}>"$to" {victim_out}<"$from"
	rm "$from" "$to"	# both ends are open now
	read -t 10 -r ready <&"$victim_out" && [ "$ready" = ready ]
}

# Ends the victim; fails when it did not end by itself.
victim_stop() {
	exec {victim_in}>&- {victim_out}<&-
	within 5 ended "$victim" && wait "$victim"
}

ask() {	# LINE
	local answer
	echo "${1-ask}" >&"$victim_in"
	read -t 10 -r answer <&"$victim_out" || return 1
	echo "$answer"
}

# The victim has that answer to it.
is_answered() {	# LINE ANSWER
	local answer
	answer=$(ask "$1") || { echo "no answer to '$1'"; return 1; }
	[ "$answer" = "$2" ] || { echo "the answer to '$1' is '$answer'"; return 1; }
}

# The victim runs this version, and nothing has gone wrong in it.
runs_version() {	# VERSION
	local answer
	answer=$(ask) || { echo "no answer"; return 1; }
	[ "$answer" = "$1 $(($1 * 21)) 0" ] || { echo "the answer is '$answer'"; return 1; }
}

ends_with() {	# STATUS COMMAND...
	local status=$1
	shift
	"$@"
	local is=$?
	[ "$is" = "$status" ] || { echo "exit status $is instead of $status"; return 1; }
}

# The victim's mappings but for heap and stack, which grow.
mappings() {
	grep -v '\[heap\]\|\[stack\]' "/proc/$victim/maps"
}

# Which descriptors the victim has open.
descriptors() {
	ls -l "/proc/$victim/fd" | sed 's/^.*[0-9][0-9]:[0-9][0-9] //'
}

# KiB that only the victim has, of stacks and heap and of code that was written to. (What was written to once stays its own.)
own_memory() {
	sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$victim/status"
}

# The script has one_cycle, in which a patch goes in and out, and which leaves in $scratch/output why it failed.
many_cycles() {	# COUNT
	local cycle
	for ((cycle = 0; cycle < $1; cycle++)); do
		one_cycle || { echo "cycle $cycle"; cat "$scratch/output"; return 1; }
	done
}

# (Lists of mappings are read by cat, because bash goes back in a file to the end of each line that it has read, and the list may be another
# one by then.) Everything that a refusal must leave alone: the list of mappings but for heap and stacks, and the bytes of code.
snapshot() {	# PID
	local maps range flags offset device inode path start size
	maps=$(cat "/proc/$1/maps") || return 1
	while read -r range flags offset device inode path; do
		case $path in '[heap]' | '[stack]') continue ;; esac
		echo "$range $flags $offset $device $inode $path"
		[[ $flags == r-xp || $flags == r--p ]] && [[ $path != '[v'* ]] || continue
		start=$((16#${range%-*})) size=$((16#${range#*-} - 16#${range%-*}))
		dd if="/proc/$1/mem" bs=4096 skip=$((start / 4096)) count=$((size / 4096)) status=none | md5sum
	done <<<"$maps"
}

# The executable mappings of its files are what the files hold; of all, or of one whose name ends like that.
text_is_file() {	# PID [NAME]
	local maps range flags offset device inode path start size
	maps=$(cat "/proc/$1/maps") || return 1
	while read -r range flags offset device inode path; do
		[[ $flags == r-x? && $inode != 0 && $path == *"${2-}" ]] || continue
		start=$((16#${range%-*})) size=$((16#${range#*-} - 16#${range%-*}))
		cmp <(dd if="/proc/$1/mem" bs=4096 skip=$((start / 4096)) count=$((size / 4096)) status=none) \
			<(tail -c +$((16#$offset + 1)) "$path" | cat - /dev/zero | head -c $size) || return 1
	done <<<"$maps"
}

apply() {	# NAME OPTION...
	local name=$1
	shift
	limit 30 "$stent" apply "$scratch/$name.stent" -p "$victim" "$@"
}

revert() {	# NAME OPTION...
	limit 30 "$stent" revert "$@" -p "$victim"
}

is_in_state() {	# NAME STATE
	process_is "$victim" "$1" "$2"
}

# A process other than the victim. One that is reverted is listed only if something may refer to its memory.
process_is() {	# PID NAME STATE
	local status
	status=$(limit 10 "$stent" status -p "$1") || return 1
	if [ "$3" = reverted ]; then
		! grep "^$2: " <<<"$status" | grep -qv "^$2: reverted"
	else
		grep -q "^$2: $3" <<<"$status"
	fi
}

# The memory of a patch is not mapped any more.
is_gone() {	# NAME
	local status
	status=$(limit 10 "$stent" status -p "$victim") && ! grep "^$1: " <<<"$status"
}

# Where the ledger of a patch that the victim holds begins.
ledger_at() {	# NAME
	local start
	start=$(limit 10 "$stent" status -p "$victim" | sed -n "/^$1:/,/^  memory/s/^  memory .* at //p")
	[ -n "$start" ] && echo $((start + 4096))
}

# Bytes of the victim's memory, as hexadecimal digits, and as they are to be.
peek() {	# ADDRESS COUNT
	dd if="/proc/$victim/mem" bs=1 skip="$1" count="$2" status=none | od -An -v -tx1 | tr -d ' \n'
}

poke() {	# ADDRESS HEXADECIMAL-DIGITS
	local digits=$2 bytes=
	for (( ; ${#digits}; )); do
		bytes+=\\x${digits:0:2} digits=${digits:2}
	done
	printf "$bytes" | dd of="/proc/$victim/mem" bs=1 seek="$1" conv=notrunc status=none
}

# A stent holds SIGINT back: it is at work on a process. (So does the shell that is about to execute it, for a moment.)
holds_signals() {	# PID
	local blocked
	[ "$(cat "/proc/$1/comm")" = stent ] || return 1
	blocked=$(sed -n 's/^SigBlk:[[:space:]]*//p' "/proc/$1/status") && ((16#$blocked & 2))
}

# The command ends with one of these digits for its exit status, and the victim runs that version then.
brings() {	# VERSION STATUSES COMMAND...
	local version=$1 statuses=$2 status
	shift 2
	limit 30 "$@"
	status=$?
	[[ $status == ["$statuses"] ]] && runs_version "$version"
}

build_killer() {
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -shared -fPIC -o "$scratch/killer.so" "$top/tests/live/preload/killer.c"
}

# Kill stent at operation 1, 2, ... until it gets through. The script has one_version and runs_version, and in $least how many there
# must be; $deaths is how many there were.
kill_everywhere() {	# START-COMMAND VERSION-AFTER STENT-ARGUMENT...
	local before=$1 after=$2 status
	shift 2
	for ((deaths = 0; deaths < 500; deaths++)); do
		$before >"$scratch/output" 2>&1 || { cat "$scratch/output"; echo "before death $deaths"; return 1; }
		DEADLY=$((deaths + 1)) LD_PRELOAD=$scratch/killer.so limit 30 "$stent" "$@" -p "$victim" >"$scratch/output" 2>&1
		status=$?
		[ "$status" != 0 ] || break
		[ "$status" = 137 ] || { cat "$scratch/output"; echo "exit status $status at $deaths"; return 1; }
		one_version || { echo "after death $deaths"; return 1; }
		limit 30 "$stent" "$@" -p "$victim" >"$scratch/output" 2>&1
		status=$?
		# What was killed may have been the last step: then there is nothing to do (3), or for a revert, nothing there (2).
		[[ $status == [023] ]] || { cat "$scratch/output"; echo "exit status $status after death $deaths"; return 1; }
		runs_version "$after" || { echo "after the one after death $deaths"; return 1; }
	done
	runs_version "$after" && [ "$deaths" -ge "$least" ] && [ "$deaths" -lt 500 ]
}
