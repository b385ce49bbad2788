#!/bin/bash
# Limits of memory as cgroups of version 2 set them, which this machine may not have: in a virtual machine with Debian's kernel. Its first
# program is tests/vm/cgroup2.guest, which speaks TAP on the console; it has no disk, only what is packed here.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from lib.sh
root=$scratch/root

# The kernel of Debian's package, which is kept in $build/cache.
fetch_kernel() {
	local cache=$build/cache/kernel package
	kernel=$(find "$cache" -name 'vmlinuz-*' 2>/dev/null | sort | tail -n 1)
	[ -z "$kernel" ] || return 0
	mkdir -p "$cache" "$scratch/kernel"
	package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	(cd "$scratch/kernel" && apt-get download -qq "$package" >/dev/null 2>&1 && dpkg-deb -x ./*.deb .) || return 1
	cp "$scratch"/kernel/boot/vmlinuz-* "$cache" && kernel=$(find "$cache" -name 'vmlinuz-*' | tail -n 1)
}

# With the libraries that it needs, at their places.
pack() {	# FILE PLACE
	local file
	install -D "$1" "$root$2" || return 1
	for file in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
		[ -e "$root$file" ] || install -D "$file" "$root$file"
	done
}

make_root() {
	mkdir -p "$root"/{bin,dev,proc,sys,tmp} && pack /bin/busybox /bin/busybox && pack "$stent" /bin/stent &&
		pack "$scratch/victim.1" /victim.1 && pack "$scratch/victim.stent" /victim.stent &&
		install -m 755 "$top/tests/vm/cgroup2.guest" "$root/init" &&
		(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 >"$scratch/root.gz")
}

# It needs no help of the processor.
run_machine() {
	limit 240 qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1024 -nographic -no-reboot -net none -kernel "$kernel" \
		-initrd "$scratch/root.gz" -append "console=ttyS0 quiet panic=-1" </dev/null 2>&1 | tr -d '\r'
}

fetch_kernel || skip_all "no kernel can be had here"
{ build_pair victim && make_root && run_machine; } >"$scratch/console" 2>&1
grep -q '^# all done' "$scratch/console" || { sed 's/^/# /' "$scratch/console" | tail -n 30; echo "not ok 1 - the machine runs to its end"; echo 1..1; exit 1; }
sed -n '/^1\.\./p; /^ok /p; /^not ok /p; /^# /p' "$scratch/console"
! grep -q '^not ok ' "$scratch/console"
