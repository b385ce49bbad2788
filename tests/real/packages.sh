#!/bin/bash
# The packages of a real update, compared as packages: apt and libapt-pkg6.0 of Debian 12, of which six images changed. A method of apt's that
# fetches files by HTTP, as apt-get would have started it, gets of the one patch what it has mapped.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=demo/servers.sh
. "$top/demo/servers.sh"

mkdir "$scratch/old" "$scratch/new"
fetch_debs() {	# FOLDER VERSION
	local package
	for package in apt libapt-pkg6.0; do
		(cd "$scratch/$1" && timeout 300 apt-get -q -o APT::Sandbox::User= download "$package=$2") || return 1
	done
}
fetch_packages apt=2.6.1 libapt-pkg6.0=2.6.1 || skip_all "$reason"
fetch_debs old 2.6.1 >"$scratch/log" 2>&1 && fetch_debs new 2.6.2 >"$scratch/log" 2>&1 ||
	skip_all "the packages can't be had: $(tail -n1 "$scratch/log")"
plan 12

check "stent diff of the packages" eval 'limit 120 "$stent" diff "$scratch/old" "$scratch/new" -o "$scratch/apt.stent" >"$scratch/diff"'
check "six images changed" [ "$(grep -c ': changed$' "$scratch/diff")" = 6 ]
check "nothing of the packages is left beside them" [ "$(find "$scratch/old" "$scratch/new" -type f | wc -l)" = 4 ]
check "the patch has the packages' versions" grep -q "2.6.1 to 2.6.2" <("$stent" show "$scratch/apt.stent")

find_port
echo "what is fetched" >"$scratch/file"
start python3 -m http.server --bind 127.0.0.1 --directory "$scratch" "$port" >"$scratch/server" 2>&1
mkfifo "$scratch/to" "$scratch/from"
# shellcheck disable=SC2154 # from servers.sh
env LD_LIBRARY_PATH="${folders[1]}/usr/lib/x86_64-linux-gnu:$libraries" "${folders[0]}/usr/lib/apt/methods/http" <"$scratch/to" >"$scratch/from" 2>"$scratch/method" &
method=$!
started_all+=("$method")
exec {to}>"$scratch/to" {from}<"$scratch/from"
# As apt-method(1) has it.
printf '601 Configuration\nConfig-Item: APT::Sandbox::User=root\nConfig-Item: Acquire::http::Proxy=DIRECT\n\n' >&"$to"
fetches() {
	local line
	rm -f "$scratch/fetched"
	printf '600 URI Acquire\nURI: http://127.0.0.1:%s/file\nFilename: %s\n\n' "$port" "$scratch/fetched" >&"$to"
	while read -t 10 -r line <&"$from"; do
		[[ $line != 400* ]] || { echo "$line"; return 1; }
		[[ $line != 201* ]] || { cmp "$scratch/file" "$scratch/fetched"; return; }
	done
	return 1
}
check "the server listens" within 10 listens "$port"
check "the method fetches a file" fetches
check "apply" eval 'limit 60 "$stent" apply "$scratch/apt.stent" -p "$method" >"$scratch/applied" 2>&1 || { cat "$scratch/applied"; false; }'
check "of two images" grep -q "^  image  *http, libapt-pkg.so.6.0$" "$scratch/applied"
check "which passes four images by" [ "$(grep -c '^  passed by .*: not mapped' "$scratch/applied")" = 4 ]
check "it fetches another one" fetches
check "revert" limit 60 "$stent" revert "$(sed -n 's/^patch \(.*\) is active.*/\1/p' "$scratch/applied")" -p "$method"
check "and one more" fetches
exit "$((failures > 0))"
