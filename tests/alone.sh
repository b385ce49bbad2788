# alone.sh: for tests of what stent does to all processes of the machine, sourced before lib.sh: the script runs again in a PID
# namespace of its own (and a mount namespace, with a /proc of that), so that stent sees no process but the script's. Nothing of the machine is
# touched, and all that the script started ends with it.
# shellcheck shell=bash
if [ "${STENT_ALONE-}" != "$(readlink /proc/self/ns/pid)" ]; then
	[ -z "${STENT_ALONE-}" ] || { echo "1..0 # SKIP /proc is not that of the namespace"; exit 0; }
	unshare --pid --fork --mount-proc --kill-child true 2>/dev/null ||
		{ echo "1..0 # SKIP a PID namespace can't be made here"; exit 0; }
	# shellcheck disable=SC2016 # the inner shell's
	exec unshare --pid --fork --mount-proc --kill-child bash -c 'STENT_ALONE=$(readlink /proc/self/ns/pid) "$0"; exit $?' "$0"
fi
