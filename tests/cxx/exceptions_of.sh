# exceptions_of.sh: for tests of C++, sourced by them: exceptions thrown, caught, passed on and cleaned up after by new code, with old code above and below; types, classes and static variables
# that both versions share. Compared with what a process of the new build answers to the same questions.
# shellcheck shell=bash
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck disable=SC2154 # from victims.sh

questions=("throw 1" "throw 2" "throw 3" "throw 4" "throw 5" "throw 9" "catch 1" "catch 2" "catch 3" "catch 4" "catch 5" "catch 6" "catch 7"
	"through 2" "through 3" "through 4" "rethrow 3" "rethrow 7" "keep 2" "kept 2" "keep 4" "kept 1" "shapes 3" "shapes 9" "casts 3" "casts 0"
	"promise 0")

# Both versions as NAME.1 and NAME.2, and the patch between them.
build() {	# NAME COMPILER FLAG...
	local name=$1 compiler=$2 version
	shift 2
	for version in 1 2; do
		"$compiler" -std=c++17 -DV=$version -Wl,--build-id "$@" -o "$scratch/$name.$version" "$top/tests/cxx/exceptions.cc" || return 1
	done
	limit 60 "$stent" diff "$scratch/$name.1" "$scratch/$name.2" -o "$scratch/$name.stent" --name "$name"
}

answers() {	# FILE
	local question
	for question in "${questions[@]}"; do
		echo "$question: $(ask "$question")" || return 1
	done >"$1"
}

# The answers of a process that runs this version, and that has been asked before.
expect() {	# NAME VERSION
	victim_start "$scratch/$1.$2" && answers "$scratch/first.$2" && answers "$scratch/expected.$2" && victim_stop
}

counts() {	# EXPECTED
	local answer
	answer=$(ask "statics 1")
	[ "$answer" = "$1l" ] || { echo "the variables: '$answer', not '$1l'"; return 1; }
}

goes_in_and_out() {	# NAME [IMAGES-TO-COMPARE]
	expect "$1" 1 && expect "$1" 2 && ! cmp -s "$scratch/expected.1" "$scratch/expected.2" || return 1
	victim_start "$scratch/$1.1" && answers "$scratch/first" && cmp "$scratch/first" "$scratch/first.1" && counts 'Gg1 41 6 7' || return 1
	# An exception that was thrown before is thrown again later.
	ends_with 0 apply "$1" && [ "$(ask "kept 1")" = "l hidden 100" ] && ask "keep 4" && answers "$scratch/new" &&
		diff "$scratch/expected.2" "$scratch/new" && counts 'g2 43 7 8' || return 1
	ends_with 0 revert "$1" && [ "$(ask "kept 1")" = "l hidden 200" ] && ask "keep 4" && answers "$scratch/back" &&
		diff "$scratch/expected.1" "$scratch/back" && counts 'g1 44 8 9' && text_is_file "$victim" || return 1
	ends_with 0 apply "$1" && answers "$scratch/new" && diff "$scratch/expected.2" "$scratch/new" && counts 'g2 46 9 10' &&
		[ "$(ask "promise 3")" = "m2 terminated" ] && within 5 ended "$victim"
}

works() {	# NAME COMPILER FLAG...
	local status
	{ build "$@" && goes_in_and_out "$1"; } >"$scratch/said" 2>&1
	status=$?
	verdict "$status" "$*"
	[ "$status" = 0 ] || diag "$(tail -n 20 "$scratch/said")"
	[ -z "${victim-}" ] || { kill -KILL "$victim"; wait "$victim"; exec {victim_in}>&- {victim_out}<&-; } 2>/dev/null
	started_all=() victim=''
}
