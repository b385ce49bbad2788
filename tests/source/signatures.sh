#!/bin/bash
# Signed patches: stent and minisign take each other's signatures, and a machine's policy can't be got round.
. "$(dirname "$0")/../lib.sh"
command -v minisign >/dev/null || skip_all "there is no minisign"
plan 29

cd "$scratch" || exit 1
mkdir -m 755 keys
cp "$top/tests/source/lengthd.c" "$top/tests/source/fix.diff" . &&
	gcc -O2 -Wl,--build-id -o lengthd lengthd.c && patch -s lengthd.c fix.diff &&
	gcc -O2 -Wl,--build-id -o lengthd.new lengthd.c &&
	"$stent" diff lengthd lengthd.new -o fix.stent --name fix >/dev/null || exit 1

check "minisign makes a key" minisign -G -W -p keys/ours.pub -s ours.key
check "stent signs with it" exits 0 'signed; the signature is in fix.stent.minisig' "$stent" sign -s ours.key fix.stent
check "minisign takes the signature" minisign -V -p keys/ours.pub -m fix.stent
check "and its trusted comment" exits 0 'file:fix.stent' minisign -V -Q -p keys/ours.pub -m fix.stent

mkfifo in
exec 6<>in
start sh -c 'exec "$1" <in >/dev/null' - "$scratch/lengthd"
service=$started
runs() {
	[ "$(readlink "/proc/$service/exe")" = "$scratch/lengthd" ]
}
within 5 runs
apply() {
	"$stent" apply fix.stent -p "$service" "$@"
}

check "a signed patch goes in" exits 0 'fix.stent: signed by ours.pub: timestamp:.*file:fix.stent' apply --require-signature --keys keys
check "and out" "$stent" revert fix -p "$service"
check "stent takes minisign's signature" minisign -S -s ours.key -m fix.stent -x made.minisig -t "from the build machine"
check "which stands elsewhere" exits 0 'signed by ours.pub: from the build machine' apply --keys keys --signature made.minisig
check "and out again" "$stent" revert fix -p "$service"

check "the old form of signatures is refused" minisign -S -l -s ours.key -m fix.stent -x old.minisig
check "with that reason" exits 2 'old form' apply --keys keys --signature old.minisig
check "no signature" exits 2 'has no signature that holds: missing: cannot open' apply --keys keys --signature missing
check "no keys" exits 2 'no such file or folder' apply --keys none
minisign -G -W -p theirs.pub -s theirs.key >/dev/null
"$stent" sign -s theirs.key -o theirs.minisig fix.stent >/dev/null
check "a key that is not ours" exits 2 'is by key [0-9A-F]\{16\}, which is not in keys' apply --keys keys --signature theirs.minisig
cp fix.stent whole.stent
printf '\1' | dd of=fix.stent bs=1 seek=400 conv=notrunc status=none
check "a patch that was changed is not even looked at" exits 2 'it is not of this file' apply --keys keys
check "(without that it is found damaged)" exits 1 'fix.stent: ' apply
printf 'no patch' >fix.stent
check "neither is what is no patch" exits 2 'it is not of this file' apply --keys keys
cp whole.stent fix.stent
chmod 777 keys
check "keys in a folder that others may write to" exits 2 'others than its owner may write' apply --keys keys
chmod 755 keys
check "only patches are signed" exits 1 'not a stent patch' "$stent" sign -s ours.key lengthd
check "a comment is one line" exits 1 'not one line' "$stent" sign -s ours.key -t $'a\nb' fix.stent
check "revert asks for no signature" exits 1 "by 'stent apply' only" "$stent" revert fix -p "$service" --require-signature

# As minisign does it, opening the key takes a gigabyte of memory, and some seconds.
encrypted_key() {
	printf 'secret\nsecret\n' | limit 60 minisign -G -f -p keys/second.pub -s second.key
}
sign_with() {	# PASSWORD
	limit 60 "$stent" sign -s second.key fix.stent <<<"$1"
}
check "minisign encrypts a key" encrypted_key
check "which opens with the password" sign_with secret
check "(the signature holds)" minisign -V -p keys/second.pub -m fix.stent

# /etc of this test's own, with the policy in it.
with_policy() {	# POLICY COMMAND...
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation private bash -c '
		mount -t tmpfs -o mode=755 none /etc && mkdir -m 755 /etc/stent /etc/stent/keys && cp keys/ours.pub /etc/stent/keys/ &&
			printf "%b" "$1" >/etc/stent/policy || exit 99
		[ -z "${MODE-}" ] || chmod "$MODE" /etc/stent/policy
		shift
		exec "$@"' - "$@"
}
"$stent" sign -s ours.key fix.stent >/dev/null
rule='# of this machine\nrequire-signature yes\n'
if [ "$(id -u)" = 0 ] && unshare --mount --propagation private true 2>/dev/null; then
	check "the policy asks for a signature" exits 2 'has no signature that holds' with_policy "$rule" "$stent" apply whole.stent -p "$service"
	check "with its own keys" exits 2 'says which keys count' with_policy "$rule" "$stent" apply fix.stent -p "$service" --keys keys
	check "and of 'stent upgrade', too" exits 2 'upgrade yes' with_policy "$rule" "$stent" upgrade --only nothing-at-all
	check "what it says wrongly forbids all" exits 2 'policy:3: is none of' with_policy "${rule}require-signatures no\n" "$stent" apply fix.stent -p "$service"
	MODE=666 check "so does one that others may write" exits 2 'others than its owner may write' with_policy "" "$stent" apply fix.stent -p "$service"
else
	for what in "asks for a signature" "keys" "upgrade" "wrong" "others"; do
		skip "the policy: $what" "needs root, and a mount namespace, for an /etc of its own"
	done
fi
