# crowds.sh: for tests of all processes at once, sourced behind lib.sh and tests/victims.sh: builds of crowd.c, and what stent says of
# them.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from lib.sh and victims.sh

# Each version that is named, as NAME.VERSION, with more flags.
build_crowd() {	# NAME VERSIONS FLAG...
	local name=$1 versions=$2 version
	shift 2
	for version in $versions; do
		"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O2 -Wl,--build-id -DVERSION="$version" "$@" -o "$scratch/$name.$version" \
			"$top/tests/live/crowd.c" || return 1
	done
}

# The output of the last stent_ends has it.
says() {	# PATTERN
	grep -q -- "$1" "$scratch/output" || { cat "$scratch/output"; return 1; }
}

stent_ends() {	# STATUS ARGUMENT...
	local status=$1
	shift
	ends_with "$status" limit 100 "$stent" "$@" >"$scratch/output" 2>&1 || { cat "$scratch/output"; return 1; }
}

# How many of the victim's children run each version.
crowd_runs() {	# COUNT OF EACH VERSION
	local answer
	answer=$(ask) || { echo "no answer"; return 1; }
	[ "$answer" = "$*" ] || { echo "$answer instead of $*"; return 1; }
}

# As package managers replace a file: the new one gets the name of the old one, in one step.
replace() {	# NEW FILE
	cp "$1" "$2.new" && mv "$2.new" "$2"
}

# By the table of the last stent_ends.
row() {	# COUNT PATTERN: so many lines
	local count
	count=$(grep -c -- "$2" "$scratch/output")
	[ "$count" = "$1" ] || { echo "$count lines instead of $1"; cat "$scratch/output"; return 1; }
}
