#!/bin/bash
# What stent diff costs for pairs of tests/real/pairs, from small to large.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../demo/servers.sh"
pairs=()
for name in libpng redis-server libcrypto postgres mariadbd; do
	read -r _ package old new image _ < <(grep "^$name	" tests/real/pairs)
	if ! fetch_packages "$package=$old" "$package=$new"; then
		# shellcheck disable=SC2154 # set by fetch_packages
		echo "$name: $reason" >&2
		continue
	fi
	# shellcheck disable=SC2154 # set by fetch_packages
	pairs+=("$name" "${folders[0]}/${image#+}" "${folders[1]}/${image#+}")
done
"$build/bench/bench_diff" "${pairs[@]}"
