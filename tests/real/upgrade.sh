#!/bin/bash
# apt-get install of newer packages while their daemons run, and then stent upgrade, which knows nothing of them: redis-server (with its
# tools), a helper of apt's, whose library has a text that says the package's version, and nginx with a master and two workers, of which objects have grown. The machine that they are installed on is this one, under an overlay that
# only this script sees and that goes with it; stent stays outside.
# shellcheck source=tests/alone.sh
. "$(dirname "$0")/../alone.sh"
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
# shellcheck source=demo/redis.sh
. "$top/demo/redis.sh"
nginx_old_version=1.22.1-9+deb12u9
nginx_new_version=1.22.1-9+deb12u11
root=/mnt/root

# (Not below $scratch, which is removed at the end: this goes with the mount namespace.)
make_machine() {
	local node
	mount -t tmpfs none /mnt && mkdir /mnt/up /mnt/work $root &&
		mount -t overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work overlay $root &&
		mount -t proc none $root/proc && mount -t tmpfs none $root/dev && mount -t tmpfs none $root/run || return 1
	for node in "null 3" "zero 5" "random 8" "urandom 9"; do
		mknod -m 666 "$root/dev/${node% *}" c 1 "${node#* }" || return 1
	done
	mkdir -p $root/etc/nginx
	printf '#!/bin/sh\nexit 101\n' >$root/usr/sbin/policy-rc.d && chmod 755 $root/usr/sbin/policy-rc.d	# start no services
}

install() {	# PACKAGE=VERSION...
	limit 200 chroot $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=60 \
		-o Dpkg::Options::=--force-unsafe-io install --no-install-recommends "$@" >"$scratch/apt" 2>&1
}

make_machine >"$scratch/output" 2>&1 || skip_all "no overlay can be made: $(tail -n 1 "$scratch/output")"
fetch_redis || skip_all "$reason"	# what the client sends
old=(redis-server="$redis_old_version" redis-tools="$redis_old_version" nginx="$nginx_old_version" nginx-common="$nginx_old_version"
	apt=2.6.1 libapt-pkg6.0=2.6.1)
new=(redis-server="$redis_new_version" redis-tools="$redis_new_version" nginx="$nginx_new_version" nginx-common="$nginx_new_version"
	apt=2.6.2 libapt-pkg6.0=2.6.2)
# (The library is in the machine below already: a file of the overlay's own is deleted as on any disk.)
install --reinstall --allow-downgrades "${old[@]}" || skip_all "the old packages can't be installed: $(grep -m1 '^E:' "$scratch/apt")"
chroot $root apt-get -s -o APT::Sandbox::User=root install --no-install-recommends "${new[@]}" >"$scratch/apt" 2>&1 ||
	skip_all "the new packages can't be had: $(grep -m1 '^E:' "$scratch/apt")"
plan 34

inside() {
	quiet "$scratch/$1.log" chroot $root "$@"
}

redis_cli() {
	limit 20 chroot $root redis-cli -p "$redis_port" "$@"
}

answers_restore() {	# ANSWER
	local answer
	answer=$(restore_zipmap)
	[ "$answer" = "$1" ] || { echo "the answer is '$answer'"; return 1; }
}

# As tests/real/nginx.sh has it.
# A method of apt's hands out files, as its protocol has it (apt-method(1)).
copies() {
	local line
	printf '600 URI Acquire\nURI: copy:/etc/debian_version\nFilename: /tmp/copied\n\n' >&"$copy_in"
	while read -t 5 -r line <&"$copy_out"; do
		[[ $line != 201* ]] || return 0
	done
	return 1
}

answers_capture() {	# STATUS
	local answer
	for _ in {1..20}; do
		answer=$(printf 'GET /capture/a HTTP/1.1\r\nHost: localhost\r\nLong: bbbbbbbb\r\nConnection: close\r\n\r\n' | ask "$nginx_port")
		[[ $answer == "HTTP/1.1 $1"* ]] || { echo "the answer is: $answer"; return 1; }
	done
}

stent_ends() {	# STATUS ARGUMENT...
	ends_with "$@" >"$scratch/output" 2>&1 || { cat "$scratch/output"; return 1; }
}

says() {	# PATTERN
	grep -q -- "$1" "$scratch/output" || { cat "$scratch/output"; return 1; }
}

row() {	# PID PATTERN
	grep "^ *$1 " "$scratch/output" | grep -q -- "$2" || { cat "$scratch/output"; return 1; }
}

find_port
redis_port=$port
until find_port && nginx_port=$port && [ "$nginx_port" != "$redis_port" ]; do :; done
cat >$root/etc/nginx/nginx.conf <<END
user root;
worker_processes 2;
daemon off;
pid /run/nginx.pid;
events { worker_connections 256; }
http {
	access_log off;
	map \$http_long \$answer { default ""; "~^(.*)\$" ""; }
	server {
		listen 127.0.0.1:$nginx_port;
		location ~ ^/capture/(.)\$ { return 200 "[\$1][\$answer]"; }
	}
}
END
start inside redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no --dir /tmp
redis=$started
start inside nginx
nginx=$started
check "redis-server starts" within 10 listens "$redis_port" || { cat "$scratch/redis-server.log"; exit 1; }
check "nginx starts" within 10 listens "$nginx_port" || { cat "$scratch/nginx.log"; exit 1; }
has_workers() {
	read -ra workers <"/proc/$nginx/task/$nginx/children"
	[ ${#workers[@]} = 2 ]
}
within 5 has_workers
check "with two workers" has_workers
mkfifo "$scratch/to.copy" "$scratch/from.copy"
chroot $root /usr/lib/apt/methods/copy <"$scratch/to.copy" >"$scratch/from.copy" 2>/dev/null &
copy=$!
started_all+=("$copy")
exec {copy_in}>"$scratch/to.copy" {copy_out}<"$scratch/from.copy"
check "apt's helper copies a file" copies
check "redis accepts a zipmap that isn't well-formed" answers_restore OK
check "nginx answers as the old one" answers_capture 200
exec {client}<>"/dev/tcp/127.0.0.1/$redis_port"
pings() {
	local answer
	printf 'PING\r\n' >&"$client"
	read -t 5 -r answer <&"$client" && [ "$answer" = $'+PONG\r' ]
}
check "a client is connected" pings
check "nothing to do before the update: exit status 3" stent_ends 3 "$stent" upgrade
check "apt-get install of the new packages" install "${new[@]}" || cat "$scratch/apt"
check "they run the old programs" answers_restore OK
check "upgrade --dry-run" stent_ends 2 "$stent" upgrade --dry-run
check "redis-server can be patched" row "$redis" "can be patched$"
check "has changed nothing" answers_restore OK
check "upgrade: exit status 2" stent_ends 2 "$stent" upgrade
diag "$(cat "$scratch/output")"
check "process $redis was patched" row "$redis" "patched, paused"
for pid in "$nginx" "${workers[@]}"; do
	check "process $pid needs a restart" row "$pid" "restart needed"
done
check "because its objects have grown" says "ngx_http_v2_init tells ngx_pcalloc 0x1e0 bytes where it told it 0x1c8"
check "process $copy was patched" row "$copy" "libapt-pkg.so.6.0.0 .*patched, paused"
check "apt's helper copies another one" copies
check "redis refuses the zipmap" answers_restore "ERR Bad data format"
check "nginx answers as before" answers_capture 200
check "the client is still connected" pings
check "the second time nginx is all that is left" stent_ends 2 "$stent" upgrade
check "the others have nothing to do" says "^0 patched"
check "status lists them" stent_ends 0 "$stent" status
check "two patches" says "^2 patches in 2 of"
check "the versions of its library are known" stent_ends 0 "$stent" status -p "$copy"
check "as the packages have them" says "2.6.1 -> 2.6.2"
kill -0 "$redis" "$nginx" "$copy" "${workers[@]}"
verdict=$?
check "all are the processes that they were" [ $verdict = 0 ]
check "apt-get install of the old packages" install --allow-downgrades "${old[@]}" || cat "$scratch/apt"
check "upgrade then: exit status 2" stent_ends 2 "$stent" upgrade
check "says that the patches are to be reverted" says "the old build is on disk again: revert patch"
exit "$((failures > 0))"
