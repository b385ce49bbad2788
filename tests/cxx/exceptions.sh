#!/bin/bash
# C++: exceptions thrown, caught, passed on and cleaned up after by new code, with old code above and below; types, classes and static variables
# that both versions share. Compared with what a process of the new build answers to the same questions.
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

# The new build, of the same version with a macro more, is refused with this reason.
refused() {	# REASON FLAG...
	local reason=$1
	shift
	"${CXX:-g++}" -std=c++17 -O2 -DV=1 -Wl,--build-id "$@" -o "$scratch/refused.2" "$top/tests/cxx/exceptions.cc" || return 1
	ends_with 2 "$stent" diff "$scratch/pie.1" "$scratch/refused.2" -o "$scratch/refused.stent" >"$scratch/refusal" 2>&1
	cat "$scratch/refusal"
	grep -qE "$reason" "$scratch/refusal" && [ ! -e "$scratch/refused.stent" ]
}

# Not an instruction differs, only what is caught.
tables_only() {
	"${CXX:-g++}" -std=c++17 -O2 -DV=1 -DPICKY -Wl,--build-id -o "$scratch/tables.2" "$top/tests/cxx/exceptions.cc" || return 1
	cmp <(objdump -d --no-show-raw-insn "$scratch/pie.1" | grep -A40 "tables_only.*>:" | cut -f2- | sed 's/[0-9a-f]\{4,\}/X/g' | head -20) \
		<(objdump -d --no-show-raw-insn "$scratch/tables.2" | grep -A40 "tables_only.*>:" | cut -f2- | sed 's/[0-9a-f]\{4,\}/X/g' | head -20) || return 1
	ends_with 0 "$stent" diff "$scratch/pie.1" "$scratch/tables.2" -o "$scratch/tables.stent" --name tables || return 1
	"$stent" show "$scratch/tables.stent" | grep -q 'redirect.*tables_only.*: exceptions are handled in another way' || return 1
	victim_start "$scratch/pie.1" && [ "$(ask "tables 1")" = "caught~l" ] && ends_with 0 apply tables && [ "$(ask "tables 1")" = "l failure 11~" ] &&
		[ "$(ask "tables 2")" = "caught~l" ] && ends_with 0 revert tables && [ "$(ask "tables 1")" = "caught~l" ] && victim_stop
}

# The new code catches a type of the library that the old build only knows by way of the library.
new_type() {
	"${CXX:-g++}" -std=c++17 -O2 -DV=1 -DIMPORT -Wl,--build-id -o "$scratch/import.2" "$top/tests/cxx/exceptions.cc" &&
		ends_with 0 "$stent" diff "$scratch/pie.1" "$scratch/import.2" -o "$scratch/import.stent" --name import || return 1
	victim_start "$scratch/pie.1" && [ "$(ask "catch 8")" = "c1h1yxr1 = 13l" ] && ends_with 0 apply import &&
		[ "$(ask "catch 8")" = "c1h1yxv1 = 0l" ] && [ "$(ask "catch 3")" = "c1h1yxr1 = 5l" ] && ends_with 0 revert import &&
		[ "$(ask "catch 8")" = "c1h1yxr1 = 13l" ] && victim_stop
}

# Stripped, nobody can say where its unwinder is.
refused_static() {
	build static-stripped "${CXX:-g++}" -O2 -static -s && victim_start "$scratch/static-stripped.1" && ask "throw 3" || return 1
	ends_with 2 apply static-stripped >"$scratch/refusal" 2>&1
	cat "$scratch/refusal"
	grep -q "by way of static-stripped.1, which can't be told" "$scratch/refusal" && text_is_file "$victim" && [ "$(ask "throw 3")" = "t1iol three" ] &&
		victim_stop
}

nothing_to_do() {
	local flags
	for flags in -Wl,--build-id=0x11 -Wl,--build-id=0x22; do
		"${CXX:-g++}" -std=c++17 -O2 $flags -o "$scratch/same$flags" "$top/tests/cxx/exceptions.cc" || return 1
	done
	ends_with 3 "$stent" diff "$scratch/same-Wl,--build-id=0x11" "$scratch/same-Wl,--build-id=0x22" -o "$scratch/same.stent"
}

plan 18

works pie "${CXX:-g++}" -O2
works stripped "${CXX:-g++}" -O2 -s
works sections "${CXX:-g++}" -O3 -ffunction-sections -s
works lto "${CXX:-g++}" -O2 -flto -s
works plain "${CXX:-g++}" -O0
works fixed "${CXX:-g++}" -O2 -fno-pie -no-pie
works static "${CXX:-g++}" -O2 -static
works own "${CXX:-g++}" -O2 -static-libgcc -static-libstdc++ -s
works clang clang++ -O2
works clang-stripped clang++ -O2 -s
check "two builds of the same source: nothing to do" nothing_to_do
check "only the types that are caught differ" tables_only
check "a type of a library that is caught for the first time" new_type
check "refused: a static program without symbols" refused_static
check "refused: a class got another virtual function" refused 'refers to .*a constant table with pointers that is new, changed or moved' -DMORE_VIRTUAL
check "refused: a class overrides another virtual function" refused 'virtual functions of class 15special_failure changed' -DOVERRIDDEN
check "refused: a member was put into a class" refused 'layout|table with pointers' -DGROWN
check "refused: a new class" refused 'refers to .*a constant table with pointers that is new, changed or moved' -DANOTHER

exit "$((failures > 0))"
