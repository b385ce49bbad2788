# changes.sh: what is hard about finding out what changed: each small source here is built in two versions, in many ways. The patch between them goes
# into a running process, which then answers as one of the new build does, and out again; or it is refused for the reason that the source
# names. Two builds of the same version differ in nothing. $flavours: the ways of building.
# shellcheck shell=bash
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh, and from who sources this

compile() {	# SOURCE VERSION BUILD-ID OUTPUT
	# shellcheck disable=SC2086 # flags
	$flavour -std=gnu17 -w -DV="$2" -Wl,--build-id=0x"$3$3$3$3" "$1" -o "$4"
}

answers() {	# FILE
	local n
	for n in 0 1 2 3 4 5 6 7 8 9 10; do
		ask "$n" || return 1
	done >"$1"
}

nothing_differs() {	# SOURCE
	compile "$1" 1 33 "$scratch/again" && ends_with 3 "$stent" diff "$scratch/case.1" "$scratch/again" -o "$scratch/again.stent"
}

# What a process of each build answers.
expect() {
	local version
	for version in 1 2; do
		victim_start "$scratch/case.$version" && answers "$scratch/expected.$version" && victim_stop || return 1
	done
	! cmp -s "$scratch/expected.1" "$scratch/expected.2" || { echo "both builds answer the same"; return 1; }
}

goes_in_and_out() {
	ends_with 0 "$stent" diff "$scratch/case.1" "$scratch/case.2" -o "$scratch/case.stent" --name case && expect &&
		victim_start "$scratch/case.1" && answers "$scratch/was" && cmp "$scratch/was" "$scratch/expected.1" &&
		ends_with 0 apply case && answers "$scratch/is" && diff "$scratch/expected.2" "$scratch/is" &&
		ends_with 0 revert case && answers "$scratch/is" && diff "$scratch/expected.1" "$scratch/is" && text_is_file "$victim" case.1 &&
		ends_with 0 apply case && answers "$scratch/is" && diff "$scratch/expected.2" "$scratch/is" && victim_stop
}

is_refused() {	# REASON
	rm -f "$scratch/case.stent"
	ends_with 2 "$stent" diff "$scratch/case.1" "$scratch/case.2" -o "$scratch/case.stent" --name case >"$scratch/refusal" 2>&1
	cat "$scratch/refusal"
	grep -qE "$1" "$scratch/refusal" && [ ! -e "$scratch/case.stent" ]
}

# What is known not to be seen: no test that it works, but one that the source says the truth.
is_unseen() {
	ends_with 0 "$stent" diff "$scratch/case.1" "$scratch/case.2" -o "$scratch/case.stent" --name case
}

takes() {	# SOURCE
	local reason
	reason=$(sed -n "s|^.*refused with $flavour: ||p" "$1")
	[ -n "$reason" ] || [[ $flavour == *-g* ]] || reason=$(sed -n 's|^.*refused without symbols: ||p' "$1")
	[ -n "$reason" ] || reason=$(sed -n 's|^/\* refused: ||p' "$1")
	compile "$1" 1 11 "$scratch/case.1" && compile "$1" 2 22 "$scratch/case.2" && nothing_differs "$1" || return 1
	if grep -q "^ \* unseen with $flavour: " "$1"; then
		is_unseen
	elif [ -n "$reason" ]; then
		is_refused "$reason"
	else
		goes_in_and_out
	fi
}

sources=(tests/changes/*.c)
plan $((${#sources[@]} * ${#flavours[@]}))
for source in "${sources[@]}"; do
	for flavour in "${flavours[@]}"; do
		takes "$source" >"$scratch/said" 2>&1
		status=$?
		verdict "$status" "$(basename "$source" .c): $flavour"
		[ "$status" = 0 ] || diag "$(tail -n 12 "$scratch/said" | cut -c1-300)"
		[ -z "${victim-}" ] || { kill -KILL "$victim"; wait "$victim"; exec {victim_in}>&- {victim_out}<&-; } 2>/dev/null
		started_all=() victim=''
	done
done

exit "$((failures > 0))"
