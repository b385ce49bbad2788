# several_victims.sh: sourced behind victims.sh: two builds of the three images of several_victim.c, and running ones.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from lib.sh

several_part() {	# VERSION FILE FLAG...
	local version=$1 file=$2
	shift 2
	"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -w -pthread -Wl,--build-id=sha1 -DVERSION="$version" \
		"$top/tests/transition/several_victim.c" -o "$file" "$@"
}

# The trees 1 and 2 in $scratch.
build_several() {
	local version root
	for version in 1 2; do
		root=$scratch/$version
		mkdir -p "$root/lib"
		several_part $version "$root/lib/libone.so" -DPART=1 -fPIC -shared -Wl,-soname,libone.so &&
			several_part $version "$root/lib/libtwo.so" -DPART=2 -fPIC -shared -Wl,-soname,libtwo.so &&
			several_part $version "$root/server" -DPART=0 "$root/lib/libone.so" || return 1
	done
}

start_server() {
	victim_start env LD_LIBRARY_PATH="$scratch/1/lib" "$scratch/1/server" "$@"
}

# All three are of one version, and no call was of two.
says() {	# ANSWER
	local answer
	answer=$(ask) && [ "$answer" = "$1 0" ] || { echo "the answer is '$answer'"; return 1; }
}
