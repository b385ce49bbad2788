#!/bin/bash
# The packages of a real update, compared as packages: unbound and libunbound8 of Debian 12, of which four images changed. A running
# unbound gets of the one patch what it has mapped.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir "$scratch/old" "$scratch/new"
fetch_debs() {	# FOLDER REVISION
	local package
	for package in unbound libunbound8; do
		(cd "$scratch/$1" && timeout 300 apt-get -q -o APT::Sandbox::User= download "$package=1.17.1-2+deb12u$2") || return 1
	done
}
if ! old=$("$top/scripts/fetch" unbound=1.17.1-2+deb12u3 2>"$scratch/log") || ! fetch_debs old 3 >"$scratch/log" 2>&1 ||
	! fetch_debs new 4 >"$scratch/log" 2>&1; then
	skip_all "the packages can't be had: $(tail -n1 "$scratch/log")"
fi
plan 9

check "stent diff of the packages" eval 'limit 120 "$stent" diff "$scratch/old" "$scratch/new" -o "$scratch/unbound.stent" >"$scratch/diff"'
check "four images changed" [ "$(grep -c ': changed$' "$scratch/diff")" = 4 ]
check "nothing of the packages is left beside them" [ "$(find "$scratch/old" "$scratch/new" -type f | wc -l)" = 4 ]
check "the patch has the packages' versions" grep -q "1.17.1-2+deb12u3" <("$stent" show "$scratch/unbound.stent")

port=$(python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$scratch/unbound.conf" <<END
server:
 interface: 127.0.0.1
 port: $port
 username: ""
 chroot: ""
 directory: "$scratch"
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 local-zone: "example." static
 local-data: "stent.example. IN A 127.9.8.7"
remote-control:
 control-enable: no
END
answers() {
	python3 - "$port" <<'END'
import socket, struct, sys
name = b''.join(bytes([len(p)]) + p for p in b'stent.example'.split(b'.')) + b'\0'
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.sendto(struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + name + struct.pack('>2H', 1, 1), ('127.0.0.1', int(sys.argv[1])))
raise SystemExit(not s.recv(512).endswith(bytes([127, 9, 8, 7])))
END
}
start env LD_LIBRARY_PATH="$("$top/scripts/fetch" --libraries)" "$old/usr/sbin/unbound" -d -c "$scratch/unbound.conf" >"$scratch/server" 2>&1
server=$started
check "unbound answers" within 10 answers
check "apply" eval 'limit 60 "$stent" apply "$scratch/unbound.stent" -p "$server" >"$scratch/applied" 2>&1 || { cat "$scratch/applied"; false; }'
check "which passes three images by" [ "$(grep -c '^  passed by .*: not mapped' "$scratch/applied")" = 3 ]
check "it answers" answers
check "revert" limit 60 "$stent" revert "$(sed -n 's/^patch \(.*\) is active.*/\1/p' "$scratch/applied")" -p "$server"
