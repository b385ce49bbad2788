#!/bin/bash
# What can be changed about types and classes of C++, and what is refused.
# shellcheck source=tests/cxx/exceptions_of.sh
. "$(dirname "$0")/exceptions_of.sh"
# shellcheck disable=SC2154 # from there

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

# Objects of a class that only the new build has live beside those of the old ones, and go on when the patch is out again.
new_class() {	# FLAG...
	"${CXX:-g++}" -std=c++17 -O2 -DV=1 -DANOTHER -Wl,--build-id "$@" -o "$scratch/class.2" "$top/tests/cxx/exceptions.cc" &&
		"${CXX:-g++}" -std=c++17 -O2 -DV=1 -Wl,--build-id "$@" -o "$scratch/class.1" "$top/tests/cxx/exceptions.cc" &&
		ends_with 0 "$stent" diff "$scratch/class.1" "$scratch/class.2" -o "$scratch/class.stent" --name class || return 1
	# An old object comes first, and stays a square.
	victim_start "$scratch/class.1" && [[ $(ask "shapes 4") = *" same square"*" 107 "* ]] && ends_with 0 apply class &&
		[[ $(ask "shapes 4") = *" different square"*" 107 "* ]] && ends_with 0 revert class && [[ $(ask "shapes 4") = *" same square"*" 107 "* ]] &&
		victim_stop || return 1
	# A new one comes first, and stays a circle.
	victim_start "$scratch/class.1" && ends_with 0 apply class && [[ $(ask "shapes 4") = *" same square"*" 4 "* ]] && ends_with 0 revert class &&
		[[ $(ask "shapes 4") = *" different square"*" 4 "* ]] && text_is_file "$victim" class.1 && victim_stop
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

plan 9

build pie "${CXX:-g++}" -O2 >"$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
check "two builds of the same source: nothing to do" nothing_to_do
check "only the types that are caught differ" tables_only
check "a type of a library that is caught for the first time" new_type
check "refused: a static program without symbols" refused_static
check "refused: a class got another virtual function" refused 'refers to .*a constant table with pointers that is new, changed or moved' -DMORE_VIRTUAL
check "refused: a class overrides another virtual function" refused 'virtual functions of class 15special_failure changed' -DOVERRIDDEN
check "refused: a member was put into a class" refused 'layout|table with pointers' -DGROWN
check "a new class" new_class
check "a new class, in a stripped program" new_class -s

exit "$((failures > 0))"
