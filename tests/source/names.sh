#!/bin/bash
# `stent show --asm` finds the old code in a process whose file is gone, and names in debug files by build-id.
. "$(dirname "$0")/../lib.sh"
plan 7

build() {	# VERSION
	${CC:-gcc} -O2 -g -Wl,--build-id -o "$scratch/v$1" "$scratch/lengthd.c" &&
		strip -o "$scratch/s$1" "$scratch/v$1"
}

holds() {	# PATTERN COMMAND...: it succeeds, and its output has this
	local pattern=$1 output
	shift
	output=$("$@" 2>&1) || { echo "failed: $output"; return 1; }
	grep -q -e "$pattern" <<<"$output" || { echo "no '$pattern' in: $output"; return 1; }
}

lacks() {	# PATTERN COMMAND...: it succeeds, and its output has this nowhere
	local pattern=$1 output
	shift
	output=$("$@" 2>&1) || { echo "failed: $output"; return 1; }
	! grep -e "$pattern" <<<"$output"
}

builds() {
	cp tests/source/lengthd.c "$scratch/" && build 1 &&
		patch -s "$scratch/lengthd.c" tests/source/fix.diff && build 2
}
check "two versions are built" builds

patch=$scratch/fix.stent
check "a patch of the stripped files" "$stent" diff "$scratch/s1" "$scratch/s2" -o "$patch"
check "has no names" lacks parse_length "$stent" show "$patch"

# A folder /usr/lib/debug of this test's own, in a mount namespace of its own.
with_debug_files() {	# VERSION...
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation private bash -c '
		scratch=$1 stent=$2
		shift 2
		mkdir -p /usr/lib/debug && mount -t tmpfs none /usr/lib/debug || exit 1
		for version; do
			id=$(readelf -n "$scratch/s$version" | sed -n "s/.*Build ID: //p")
			mkdir -p "/usr/lib/debug/.build-id/${id:0:2}" &&
			objcopy --only-keep-debug "$scratch/v$version" "/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug" || exit 1
		done
		"$stent" diff "$scratch/s1" "$scratch/s2" -o "$scratch/named.stent" && "$stent" show "$scratch/named.stent"' \
		- "$scratch" "$stent" "$@"
}
# Names of one build alone would cut its code and data otherwise than those of the other one.
with_half_of_them() {
	with_debug_files 2 >"$scratch/half" && sed -i 1,2d "$scratch/half" && "$stent" show "$patch" >"$scratch/none" && diff -u "$scratch/none" "$scratch/half"
}
if [ "$(id -u)" = 0 ] && unshare --mount --propagation private true 2>/dev/null; then
	check "debug files by build-id have names" holds '^redirect .* parse_length: .*calls now canonical' with_debug_files 1 2
	check "those of one build alone are not used" with_half_of_them
else
	skip "debug files by build-id have names" "needs root, and a mount namespace, for a /usr/lib/debug of its own"
	skip "those of one build alone are not used" "likewise"
fi

mkfifo "$scratch/in" || exit 1
cp "$scratch/s1" "$scratch/gone" || exit 1
start sh -c 'exec "$1" <"$2" >/dev/null' - "$scratch/gone" "$scratch/in"
exec 7>"$scratch/in"
runs() {
	[ "$(readlink "/proc/$1/exe")" = "$scratch/gone" ]
}
within 5 runs "$started"
rm "$scratch/gone"
check "the old code comes from a process whose file is gone" holds ' call .*strtol .* call .*strtol' \
	"$stent" show --asm -p "$started" "$patch"
check "another build is not taken for the old one" exits 1 'its build-id differs' "$stent" show --asm --old "$scratch/s2" "$patch"
