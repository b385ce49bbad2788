#!/bin/bash
# Does tests/real/checker.py find a patch in which one thing is wrong?
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
fetch_packages librabbitmq4=0.11.0-1+deb12u2 librabbitmq4=0.11.0-1+deb12u3 || skip_all "$reason"
# shellcheck disable=SC2154 # set by fetch_packages
old=${folders[0]}/usr/lib/x86_64-linux-gnu/librabbitmq.so.4 new=${folders[1]}/usr/lib/x86_64-linux-gnu/librabbitmq.so.4
limit 60 "$stent" diff "$old" "$new" -o "$scratch/fix.stent" >/dev/null || exit 1
limit 100 python3 tests/real/moved.py "$scratch/fix.stent" "$old" "$new"
