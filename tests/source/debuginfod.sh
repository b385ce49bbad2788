#!/bin/bash
# Names of stripped builds come from a debuginfod server, if and only if the user names one; and what it answers is believed as far as it fits.
. "$(dirname "$0")/../lib.sh"
[ -e "$(gcc -print-file-name=libdebuginfod.so.1)" ] || skip_all "there is no libdebuginfod.so.1, which libdw asks servers with"
command -v python3 >/dev/null || skip_all "there is no python3 for a server"
plan 16

build() {	# VERSION
	${CC:-gcc} -O2 -g -Wl,--build-id -o "$scratch/v$1" "$scratch/lengthd.c" &&
		strip -o "$scratch/s$1" "$scratch/v$1"
}

builds() {
	cp tests/source/lengthd.c "$scratch/" && build 1 &&
		patch -s "$scratch/lengthd.c" tests/source/fix.diff && build 2
}

build_id() {
	readelf -n "$1" | sed -n "s/.*Build ID: //p"
}

# Each with a new cache, so that the server is asked.
compare() {	# NAME URLS
	rm -rf "$scratch/cache"
	env -u http_proxy -u HTTP_PROXY -u all_proxy -u ALL_PROXY DEBUGINFOD_URLS="$2" DEBUGINFOD_CACHE_PATH="$scratch/cache" DEBUGINFOD_TIMEOUT=20 \
		timeout 60 "$stent" diff "$scratch/s1" "$scratch/s2" -o "$scratch/$1.stent" >"$scratch/output" 2>&1 ||
		{ cat "$scratch/output"; return 1; }
	"$stent" show "$scratch/$1.stent" >"$scratch/$1.txt"
}

has_names() {	# NAME
	grep -q '^redirect .* parse_length: .*calls now canonical' "$scratch/$1.txt" || { cat "$scratch/$1.txt"; return 1; }
}

has_no_names() {	# NAME
	! grep parse_length "$scratch/$1.txt" && grep -q '^redirect ' "$scratch/$1.txt"
}

asked() {	# VERSION
	grep -q "/buildid/$(build_id "$scratch/s$1")/debuginfo" "$scratch/asked" || { cat "$scratch/asked"; return 1; }
}

check "two versions are built" builds
mkdir "$scratch/files"
: >"$scratch/asked"
start sh -c 'exec "$@" >"$0"' "$scratch/port" tests/source/debuginfod.py "$scratch/files" "$scratch/asked"
check "a server" within 60 test -s "$scratch/port" || exit 1
read -r port <"$scratch/port"
url=http://127.0.0.1:$port

check "no server is named: a patch" compare plain ""
check "it has no names" has_no_names plain
check "and nobody was asked" test ! -s "$scratch/asked"

check "the server knows nothing: a patch" compare unknown "$url"
check "it has no names, either" has_no_names unknown

for version in 1 2; do
	objcopy --only-keep-debug "$scratch/v$version" "$scratch/files/$(build_id "$scratch/v$version")"
done
check "the server has both builds: a patch" compare named "$url"
check "it was asked for the old one" asked 1
check "and for the new one" asked 2
check "the patch has names" has_names named

# Of each the other one's: its names would be at the wrong addresses.
old=$scratch/files/$(build_id "$scratch/s1") new=$scratch/files/$(build_id "$scratch/s2")
mv "$old" "$scratch/kept" && mv "$new" "$old" && mv "$scratch/kept" "$new"
check "a server that answers with another build: a patch" compare swapped "$url"
check "it has no names" has_no_names swapped
head -c 3000 /dev/urandom >"$old"
cp "$old" "$new"
check "a server that answers with rubbish: a patch" compare rubbish "$url"
check "it has no names" has_no_names rubbish

kill "$started" && wait "$started" 2>/dev/null
check "a server that is gone" compare gone "$url"
exit "$((failures > 0))"
