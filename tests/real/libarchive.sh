#!/bin/bash
# A shared library, libarchive13 of Debian 12, takes the update deb12u4 -> deb12u5 inside of a bsdtar that
# is in the middle of a stream.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
fetch_packages libarchive13=3.6.2-1+deb12u4 libarchive13=3.6.2-1+deb12u5 libarchive-tools=3.6.2-1+deb12u4 ||
	skip_all "$reason"
# shellcheck disable=SC2154 # set by fetch_packages
old_folder=${folders[0]}/usr/lib/x86_64-linux-gnu new_folder=${folders[1]}/usr/lib/x86_64-linux-gnu
bsdtar=${folders[2]}/usr/bin/bsdtar
plan 13

# start reader OUTPUT PIPE ARGUMENT...: a bsdtar with the old library that reads the pipe.
reader() {
	local output=$1 pipe=$2
	shift 2
	# shellcheck disable=SC2154 # set by fetch_packages
	exec env "LD_LIBRARY_PATH=$old_folder:$libraries" "$bsdtar" "$@" <"$pipe" >"$output" 2>"$output.err"
}

# Blocked in a read of its pipe, standard input (system call 0).
waits_for_input() {	# PID
	local call argument
	read -r call argument _ <"/proc/$1/syscall" && [ "$call $argument" = "0 0x0" ]
}

# The update refuses a file whose size leaves no room for what encryption adds (CVE-2026-16517), when a
# zip archive is written. A ustar header, and the size in base 256: 2^63 - 9.
huge_file() {
	local header checksum
	header="huge$(printf '\\x00%.0s' {1..96})0000644\\x000000000\\x000000000\\x00"	# mode, owner, group
	header+="\\x80\\x00\\x00\\x00\\x7f$(printf '\\xff%.0s' {1..6})\\xf700000000000\\x00"	# size, time
	checksum=$(printf '%b' "${header}        0" | od -An -v -tu1 | awk '{ for (i = 1; i <= NF; i++) s += $i }
		END { printf "%06o", s }')
	printf '%b' "$header$checksum\\x00 0" | head -c 512 | cat - /dev/zero | head -c 1536
}

# Converts a stream to an encrypted zip archive: a folder first (which is not encrypted), then the file.
start_zip() {	# sets $zip
	mkfifo "$scratch/zip"
	start reader "$scratch/zip.out" "$scratch/zip" -c --format zip -f /dev/null \
		--options zip:encryption=aes256,zip:compression=store @-
	zip=$started
	exec 7>"$scratch/zip"
	"$bsdtar" -c --format ustar -f - --no-recursion -C "$scratch" tree | head -c 512 >&7
}

says_too_large() {
	grep -q 'too large for encrypted ZIP' "$scratch/zip.out.err" || { cat "$scratch/zip.out.err"; return 1; }
}

name="libarchive-u5"
export LD_LIBRARY_PATH=$old_folder:$libraries
mkdir -p "$scratch/tree"
for i in {1..300}; do
	seq "$i" $((i + 200)) >"$scratch/tree/$i"
done
"$bsdtar" -c --format ustar -f "$scratch/tree.tar" -C "$scratch" tree
"$bsdtar" -xOf "$scratch/tree.tar" >"$scratch/expected"
unset LD_LIBRARY_PATH
third=$(($(stat -c %s "$scratch/tree.tar") / 3))

check "diff" limit 60 "$stent" diff "$old_folder/libarchive.so.13" "$new_folder/libarchive.so.13" \
	-o "$scratch/fix.stent" --name "$name" || exit 1
check "show" limit 20 "$stent" show "$scratch/fix.stent"
mkfifo "$scratch/pipe"
start reader "$scratch/out" "$scratch/pipe" -xOf -
tar=$started
exec 6>"$scratch/pipe"
head -c $third "$scratch/tree.tar" >&6
check "bsdtar waits for more" within 10 waits_for_input "$tar"
check "apply" limit 60 "$stent" apply "$scratch/fix.stent" -p "$tar"
check "status says so" patch_is "$tar" "$name" active
check "it still waits" waits_for_input "$tar"
tail -c +$((third + 1)) "$scratch/tree.tar" | head -c $third >&6
check "it reads on and waits again" within 10 waits_for_input "$tar"
check "revert" limit 60 "$stent" revert "$name" -p "$tar"
check "the text of the library is its file's again" text_equals_file "$tar" /libarchive.so.13.6.2
tail -c +$((2 * third + 1)) "$scratch/tree.tar" >&6
exec 6>&-
wait "$tar"
status=$?
check "it ends well" [ $status = 0 ]
check "its output is right" cmp "$scratch/out" "$scratch/expected"

start_zip
within 10 waits_for_input "$zip"
check "apply to one that writes" limit 60 "$stent" apply "$scratch/fix.stent" -p "$zip"
huge_file >&7
exec 7>&-
wait "$zip"
check "the new check is in force" says_too_large
