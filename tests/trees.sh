# trees.sh: trees of processes, seen from outside. To be sourced, on top of demo/servers.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from servers.sh

# A process and all that came from it.
descendants() {	# PID
	local child
	echo "$1"
	for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		descendants "$child"
	done
}

# Every process of the tree that is still there, and whose name has that in it, has the patch in that state; and these are some.
tree_is() {	# PID NAME STATE COMM [COUNT]
	local pid count=0
	for pid in $(descendants "$1"); do
		if patch_is "$pid" "$2" "$3" >"$scratch/status.of"; then
			count=$((count + 1))
		elif ! ended "$pid" && grep -q "$4" "/proc/$pid/comm" 2>/dev/null; then
			echo "process $pid:"
			cat "$scratch/status.of"
			return 1
		fi
	done
	[ $count -ge "${5-3}" ] || { echo "only $count processes have it"; return 1; }
}

# What stent printed has a line for each process.
names_each() {	# FILE PID...
	local file=$1 pid
	shift
	for pid; do
		grep -q "process $pid " "$file" || { echo "process $pid is not named:"; cat "$file"; return 1; }
	done
}
