#!/bin/bash
# stent upgrade: whose file system counts. Libraries with a version in their name, mount namespaces, chroots; and many processes.
# shellcheck source=tests/alone.sh
. "$(dirname "$0")/../alone.sh"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/crowds.sh
. "$top/tests/crowds.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 96

build_crowd crowd "1 2 3" || exit 1
mkdir "$scratch/bin" "$scratch/lib"

# A library: the crowd's code, and a program that has it called.
for version in 1 2 3; do
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -Wl,--build-id -DVERSION=$version -Dmain=crowd_main -shared -fPIC -Wl,-soname,libcrowd.so.1 \
		-o "$scratch/libcrowd.$version" "$top/tests/live/crowd.c" || exit 1
done
echo 'int crowd_main(int, char **); int main(int argc, char **argv) { return crowd_main(argc, argv); }' >"$scratch/main.c"
"${CC:-gcc}" -o "$scratch/bin/user" "$scratch/main.c" "$scratch/libcrowd.1" -Wl,-rpath,"$scratch/lib" || exit 1

library_start() {
	rm -f "$scratch/lib/"*
	cp "$scratch/libcrowd.1" "$scratch/lib/libcrowd.so.1.0.1"
	ln -s libcrowd.so.1.0.1 "$scratch/lib/libcrowd.so.1"
	victim_start "$scratch/bin/user" 3
}

library_start
verdict $? "a program with a library"
check "the library is what it was: exit status 3" stent_ends 3 upgrade
replace "$scratch/libcrowd.2" "$scratch/lib/libcrowd.so.1.0.1"
check "a new library of the same file name" stent_ends 0 upgrade
check "is named" says "libcrowd.so.1.0.1 .*patched, paused"
check "its code runs" crowd_runs 0 3 0
victim_stop
library_start
cp "$scratch/libcrowd.2" "$scratch/lib/libcrowd.so.1.0.2"
check "a new library beside the old one, which nothing leads to: exit status 3" stent_ends 3 upgrade
ln -sf libcrowd.so.1.0.2 "$scratch/lib/libcrowd.so.1"
check "its soname leads there now" stent_ends 0 upgrade
check "its code runs" crowd_runs 0 3 0
victim_stop
library_start
cp "$scratch/libcrowd.3" "$scratch/lib/libcrowd.so.1.0.3"
ln -sf libcrowd.so.1.0.3 "$scratch/lib/libcrowd.so.1"
rm "$scratch/lib/libcrowd.so.1.0.1"
check "as packages do it: the old file is gone" stent_ends 0 upgrade
check "the new code runs" crowd_runs 0 0 3
check "the second time there is nothing to do" stent_ends 3 upgrade
victim_stop

# Another mount namespace has other files at the same names.
mkdir "$scratch/place"
cp "$scratch/crowd.1" "$scratch/place/crowd"
mkfifo "$scratch/go"
inside() {
	mount -t tmpfs none "$scratch/place" && cp "$scratch/crowd.1" "$scratch/place/crowd" || exit 1
	"$scratch/place/crowd" 2 <&3 &
	read -r _ <"$scratch/go"
	cp "$scratch/crowd.2" "$scratch/place/new" && mv "$scratch/place/new" "$scratch/place/crowd"
	echo replaced
	wait
}
export -f inside
export scratch
# (Its first line is what the crowd says, as always.)
# shellcheck disable=SC2016 # the inner shell's
if victim_start unshare --mount --propagation private bash -c 'exec 3<&0; inside'; then
	ok "a crowd in another mount namespace"
	check "nothing is replaced there: exit status 3" stent_ends 3 upgrade
	replace "$scratch/crowd.3" "$scratch/place/crowd"
	check "nor is it when it is outside: exit status 3" stent_ends 3 upgrade
	echo go >"$scratch/go"
	read -t 10 -r answer <&"$victim_out" && [ "$answer" = replaced ]
	verdict $? "replaced in there, by another build than outside"
	check "upgrade" stent_ends 0 upgrade
	check "all get the build that is there" crowd_runs 0 2 0
else
	for _ in {1..6}; do
		skip "another mount namespace" "it can't be made here"
	done
fi
exec {victim_in}>&- {victim_out}<&-

# Another root directory: with what the program needs.
root=$scratch/root
mkdir -p "$root/bin"
for file in $(ldd "$scratch/crowd.1" | grep -o '/[^ ]*'); do
	mkdir -p "$root${file%/*}" && cp -L "$file" "$root$file"
done
cp "$scratch/crowd.1" "$root/bin/crowd"
victim_start chroot "$root" /bin/crowd 2
verdict $? "a crowd in another root directory"
check "nothing is replaced there: exit status 3" stent_ends 3 upgrade
mkdir -p "/bin" && [ ! -e /bin/crowd ]
verdict $? "no such program outside"
replace "$scratch/crowd.2" "$root/bin/crowd"
check "upgrade" stent_ends 0 upgrade
check "the crowd runs the new build" crowd_runs 0 2 0
victim_stop
# A link that leads out of it leads nowhere, and not to the file of that name outside.
cp "$scratch/crowd.1" "$root/bin/crowd"
victim_start chroot "$root" /bin/crowd 2
verdict $? "again, from the old build"
ln -sf "$scratch/crowd.2" "$root/bin/new" && mv "$root/bin/new" "$root/bin/crowd"
check "a link out of it, by an absolute name: exit status 2" stent_ends 2 upgrade
check "leads to no file" says "the file is gone, and there is no other of that name"
up=../../../../../../../..
ln -sf "$up$scratch/crowd.2" "$root/bin/new" && mv "$root/bin/new" "$root/bin/crowd"
check "and by a relative one" stent_ends 2 upgrade
check "leads to none, either" says "the file is gone, and there is no other of that name"
ln -sf "/proc/1/root$scratch/crowd.2" "$root/bin/new" && mv "$root/bin/new" "$root/bin/crowd"
mkdir -p "$root/proc" && mount -t proc none "$root/proc" 2>/dev/null
check "and by /proc: exit status 2" stent_ends 2 upgrade
umount "$root/proc" 2>/dev/null
ln -sf /bin/other "$root/bin/new" && mv "$root/bin/new" "$root/bin/crowd" && cp "$scratch/crowd.3" "$root/bin/other"
check "one that stays inside is followed" stent_ends 0 upgrade
check "the crowd runs that build" crowd_runs 0 0 2
victim_stop

# A program and a library that are replaced at once: by updates of two packages, or by one of both, or of nobody knows what.
database=$root/var/lib/dpkg
mkdir -p "$database/info" "$root/lib"
"${CC:-gcc}" -shared -fPIC -o "$scratch/libcrowd.none" -x c - </dev/null -Wl,-soname,libcrowd.so.1
for version in 1 2 3; do
	build_crowd both $version -Wl,--no-as-needed "$scratch/libcrowd.none" -Wl,-rpath,/lib || exit 1
done
both_start() {
	replace "$scratch/both.1" "$root/bin/both"
	replace "$scratch/libcrowd.1" "$root/lib/libcrowd.so.1"
	victim_start chroot "$root" /bin/both 2 || return 1
	replace "$scratch/both.2" "$root/bin/both"
	replace "$scratch/libcrowd.2" "$root/lib/libcrowd.so.1"
}
both_start
verdict $? "a program and a library, both replaced"
rm "$root/lib/libcrowd.so.1"
check "where the library has another name by now: exit status 2" stent_ends 2 upgrade
check "the program may need that one" says "both was replaced together with libcrowd.so.1, which can't be patched"
check "it is not patched" crowd_runs 2 0 0
replace "$scratch/libcrowd.2" "$root/lib/libcrowd.so.1"
printf '/.\n/bin\n/bin/both\n' >"$database/info/both-bin.list"
printf '/.\n/lib\n/lib/libcrowd.so.1\n' >"$database/info/libcrowd1:amd64.list"
package() {	# NAME SOURCE
	printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\n%sVersion: 1\n\n' "$1" "${2:+Source: $2 (1.0-1)$'\n'}"
}
{ package other; package both-bin both; package libcrowd1 both; } >"$database/status"
check "one without the other, of one source: exit status 2" stent_ends 2 upgrade --exclude 'libcrowd*'
check "says so" says "both was replaced together with libcrowd.so.1, which is to be left alone"
patches_are() {	# COUNT
	limit 10 "$stent" status -p "$victim" >"$scratch/output" && [ "$(grep -c '^[^ ].*: active' "$scratch/output")" = "$1" ] ||
		{ cat "$scratch/output"; return 1; }
}
check "both, of one source" stent_ends 0 upgrade
check "both are patched" row 6 "patched, paused"
check "by one patch" patches_are 1
check "the new program runs" crowd_runs 0 2 0
check "the second time there is nothing to do" stent_ends 3 upgrade
replace "$scratch/both.3" "$root/bin/both"
check "a further update of one of them" stent_ends 0 upgrade
check "both are patched again" row 6 "patched, paused"
check "by one patch, which has replaced the other one" patches_are 1
check "the newest program runs" crowd_runs 0 0 2
check "the second time there is nothing to do, either" stent_ends 3 upgrade
victim_stop
both_start
verdict $? "again, from the old builds"
{ package other; package both-bin; package libcrowd1 crowd; } >"$database/status"
check "both, of two sources" stent_ends 0 upgrade
check "by two patches" patches_are 2
check "the new program runs" crowd_runs 0 2 0
check "the second time there is nothing to do" stent_ends 3 upgrade
victim_stop
rm -r "$database"
both_start
verdict $? "again, from the old builds"
check "both, of unknown sources" stent_ends 0 upgrade
check "by one patch" patches_are 1
victim_stop

# A text that says the package's version: which one the old build is of the log of the root directory says.
for version in 1 2; do
	echo "char says[] = \"1.2.$version\";" >"$scratch/says.$version.c"
	build_crowd saying $version "$scratch/says.$version.c" || exit 1
done
log=$root/var/log/dpkg.log
mkdir -p "$database/info" "${log%/*}"
printf '/.\n/bin\n/bin/saying\n' >"$database/info/saying.list"
saying_start() {
	rm -f "$log"* "$scratch/linked"
	replace "$scratch/saying.1" "$root/bin/saying" && ln "$root/bin/saying" "$scratch/linked" && victim_start chroot "$root" /bin/saying 2 &&
		replace "$scratch/saying.2" "$root/bin/saying"
}
saying_now() {	# STATE VERSION
	printf 'Package: saying\nStatus: install ok %s\nArchitecture: amd64\nVersion: %s\n\n' "$1" "$2" >"$database/status"
}
# (As dpkg does, so that the last line is as old as the file; an hour of the log is one of New York.)
log_upgrade() {	# SECONDS-AGO OLD NEW
	TZ=America/New_York date -d "$1 seconds ago" "+%F %T upgrade saying:amd64 $2 $3" >>"$log"
	TZ=America/New_York date "+%F %T status installed saying:amd64 $3" >>"$log"
}
saying_start
verdict $? "a program with a text that says its version, replaced"
saying_now installed 1:1.2.2-1
log_upgrade 600 1:1.2.1-1 1:1.2.2-1
check "another name still leads to the old build, so it is not known when it was replaced: exit status 2" stent_ends 2 upgrade
rm "$scratch/linked"
rm "$log"
check "without a log: exit status 2" stent_ends 2 upgrade
check "it may be any text" says "says"
log_upgrade 600 1:1.2.0-1 1:1.2.2-1
check "another version was there before: exit status 2" stent_ends 2 upgrade
rm "$log"
log_upgrade 7200 1:1.2.1-1 1:1.2.2-1
check "it was replaced long ago: exit status 2" stent_ends 2 upgrade
rm "$log"
log_upgrade 600 1:1.2.1-1 1:1.2.2-1
saying_now half-installed 1:1.2.2-1
check "which version is there now is not known: exit status 2" stent_ends 2 upgrade
saying_now installed 1:1.2.2-1
mv "$log" "$scratch/log" && ln -s "$scratch/log" "$log"
check "a log outside of the root directory: exit status 2" stent_ends 2 upgrade
rm "$log" && mkfifo "$log"
check "a log that is a pipe: exit status 2" stent_ends 2 upgrade
rm "$log" && truncate -s 3G "$log"
check "a huge log: exit status 2" stent_ends 2 upgrade
check "nothing has happened" crowd_runs 2 0 0
rm "$log" && mv "$scratch/log" "$log.1"
check "that version, in the log before the last one" stent_ends 0 upgrade --json
check "both versions are told" says '"old_version": "1:1.2.1-1"'
check "the new build runs" crowd_runs 0 2 0
check "the second time there is nothing to do" stent_ends 3 upgrade
victim_stop
# Two root directories with the same files, of which one's log says what the other's does not.
cp -a "$root" "$scratch/other"
rm "$scratch/other/var/log/"*
saying_start && rm "$scratch/linked"
log_upgrade 600 1:1.2.1-1 1:1.2.2-1
saying=$victim saying_in=$victim_in saying_out=$victim_out
replace "$scratch/saying.1" "$scratch/other/bin/saying" && victim_start chroot "$scratch/other" /bin/saying 2 &&
	replace "$scratch/saying.2" "$scratch/other/bin/saying"
stent_ends 2 upgrade && crowd_runs 2 0 0
verdict $? "what one file system says does not count in another one"
victim_stop
victim=$saying victim_in=$saying_in victim_out=$saying_out
check "but in its own" crowd_runs 0 2 0
victim_stop
rm -r "$database"

# Libraries that the dynamic linker finds by its cache: the new file has another name, in the same folder or in another one.
ldconfig=$(PATH=$PATH:/sbin:/usr/sbin command -v ldconfig)
cached_start() {	# RPATH FOLDER
	rm -rf "$root/opt" && mkdir -p "$root/opt/a" "$root/opt/b" "$root/opt/private" "$root/etc" &&
		printf '/opt/a\n/opt/b\n' >"$root/etc/ld.so.conf" &&
		cp "$scratch/libcrowd.1" "$root$2/libcrowd-1.0.so" && ln -s libcrowd-1.0.so "$root$2/libcrowd.so.1" &&
		"${CC:-gcc}" -shared -o "$root/opt/a/libother.so.1" -x c - </dev/null -Wl,-soname,libother.so.1 &&
		"$ldconfig" -r "$root" &&
		"${CC:-gcc}" -o "$root/bin/user" "$scratch/main.c" "$scratch/libcrowd.1" ${1:+-Wl,-rpath,"$1"} &&
		victim_start chroot "$root" /bin/user 2
}
cached_update() {	# OLD-FOLDER NEW-FOLDER
	rm "$root$1/"libcrowd* && cp "$scratch/libcrowd.2" "$root$2/libcrowd-2.0.so" && "$ldconfig" -r "$root"
}
if [ -n "$ldconfig" ]; then
	cached_start "" /opt/a
	verdict $? "a library with its version in its name"
	cached_update /opt/a /opt/a
	check "a new version in the same folder" stent_ends 0 upgrade
	check "its code runs" crowd_runs 0 2 0
	victim_stop
	cached_start "" /opt/a && cp "$scratch/libcrowd.2" "$root/opt/a/libcrowd-2.0.so" && ln -sf libcrowd-2.0.so "$root/opt/a/libcrowd.so.1"
	verdict $? "a new version beside the old one"
	check "which its soname leads to" stent_ends 0 upgrade
	check "its code runs, too" crowd_runs 0 2 0
	victim_stop
	cached_start "" /opt/a
	cached_update /opt/a /opt/b
	check "a new version in another folder of the cache" stent_ends 0 upgrade
	check "is named" says "libcrowd-1.0.so .*patched, paused"
	check "its code runs as well" crowd_runs 0 2 0
	check "the second time there is nothing to do" stent_ends 3 upgrade
	victim_stop
	cached_start "" /opt/a
	cached_update /opt/a /opt/b
	ln -sf "$scratch/libcrowd.2" "$root/opt/b/libcrowd.so.1"
	check "a link out of the root directory, in the cache: exit status 2" stent_ends 2 upgrade
	check "leads to no file" says "the file is gone, and there is no other of that name"
	mkfifo "$root/opt/b/pipe" && ln -sf pipe "$root/opt/b/libcrowd.so.1"
	check "a pipe in the cache: exit status 2" stent_ends 2 upgrade
	check "is not opened" says "libcrowd.so.1 is not a regular file"
	for size in 0 20 47 48 60 100 300; do
		head -c "$size" "$root/etc/ld.so.cache" >"$scratch/cache"
		cp "$scratch/cache" "$root/etc/ld.so.cache"
		stent_ends 2 upgrade || break
	done
	verdict $? "no part of a cache is believed"
	victim_stop
	cached_start /opt/private /opt/private
	cached_update /opt/private /opt/b
	check "a library that was not found by the cache: exit status 2" stent_ends 2 upgrade
	check "is not what the cache has" says "the file is gone, and there is no other of that name"
	victim_stop
	rm -r "${root:?}/etc"
else
	for _ in {1..17}; do
		skip "libraries in a cache of the dynamic linker" "there is no ldconfig"
	done
fi

# A daemon that goes into an empty folder once it runs: its program lies outside.
mkdir "$scratch/empty"
cp "$scratch/crowd.1" "$scratch/bin/crowd"
victim_start "$scratch/bin/crowd" 2 "$scratch/empty"
verdict $? "a crowd that has put itself into an empty root directory"
replace "$scratch/crowd.2" "$scratch/bin/crowd"
check "upgrade" stent_ends 0 upgrade
check "the crowd runs the new build" crowd_runs 0 2 0
victim_stop

cp "$scratch/crowd.1" "$scratch/bin/crowd"
victim_start "$scratch/bin/crowd" 200
verdict $? "two hundred processes"
replace "$scratch/crowd.2" "$scratch/bin/crowd"
before=${EPOCHREALTIME/./}
check "upgrade" stent_ends 0 upgrade
diag "201 processes took $(((${EPOCHREALTIME/./} - before) / 1000)) ms (make bench-upgrade measures it with 1,000)"
check "all run the new build" crowd_runs 0 200 0
check "the second time there is nothing to do" stent_ends 3 upgrade
if command -v script >/dev/null; then
	replace "$scratch/crowd.3" "$scratch/bin/crowd"
	limit 60 script -qec "'$stent' upgrade >/dev/null" /dev/null </dev/null >"$scratch/output"
	check "a progress bar on a terminal" says '\[#* *\] [0-9]*/201 processes patched'
else
	skip "a progress bar on a terminal" "there is no script(1)"
fi
victim_stop
exit "$((failures > 0))"
