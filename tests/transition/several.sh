#!/bin/bash
# A patch of three images that change together, a program and two libraries: one name, one transition, no thread ever in two
# versions. Images that the process does not map are passed by; one that goes while the patch is in takes nothing with it.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/victims.sh
. "$top/tests/victims.sh"
# shellcheck source=tests/transition/several_victims.sh
. "$top/tests/transition/several_victims.sh"
# shellcheck disable=SC2154 # from victims.sh
plan 45

build_several || exit 1
check "stent diff of the two trees" limit 60 "$stent" diff "$scratch/1" "$scratch/2" -o "$scratch/all.stent" --name all
check "it is one file for three images" [ "$(ar t "$scratch/all.stent" | wc -l)" = 3 ]
"$stent" show "$scratch/all.stent" >"$scratch/shown"
check "stent show has the program, and why" grep -q "^redirect.* main_value" "$scratch/shown"
check "and the libraries" grep -q "^redirect.* two_value" "$scratch/shown"
check "as JSON, too" [ "$("$stent" show --json "$scratch/all.stent" | grep -c '"image":')" = 3 ]

start_server
verdict $? "the program starts"
check "in the old version" says 10101
check "apply" apply all
check "all three are new, and no call was of two versions" says 20202
check "stent status has one patch" [ "$(limit 10 "$stent" status -p "$victim" | grep -c '^all: active')" = 1 ]
check "of three images" [ "$(limit 10 "$stent" status -p "$victim" | grep -c '^  image ')" = 3 ]
check "applied again there is nothing to do" ends_with 3 apply all
check "revert, with the memory kept" revert all --reclaim 0
check "all three are old, and no call was of two versions" says 10101
check "the text is that of the files" text_is_file "$victim"
apply all >"$scratch/output" 2>&1
verdict $? "apply again"
check "in the same memory" grep -q "is used again" "$scratch/output"
check "and new again" says 20202
check "no call was of two versions in fifty more" eval 'for ((i = 0; i < 25; i++)); do revert all >/dev/null && apply all >/dev/null || exit 1; done'
check "and it is new" says 20202
check "reverted" revert all

# A thread in an old function of one image is old for all.
ask park >/dev/null
check "a thread waits in libone: apply gives up" ends_with 4 apply all --timeout 0.5
check "all are old" says 10101
check "begun, and not waited for" apply all --timeout 5 --no-wait
check "it is not at its end" is_in_state all installing
check "the others are new in all images" says 20202
check "who was inside comes out old in all images" [ "$(ask leave)" = 10101 ]
check "apply ends it" apply all
check "and all is new" says 20202
ask park >/dev/null
check "a thread waits in new code: revert gives up" ends_with 4 revert all --timeout 0.5
check "all are new, and who was inside, too" [ "$(ask leave)" = 20202 ]

# One of the images goes.
ask close >/dev/null
check "a library is unmapped" says 20002
check "stent status says that it is lost" eval 'limit 10 "$stent" status -p "$victim" | grep -q "^  image .*libtwo.so.*, lost$"'
check "the rest can be reverted" revert all
check "and is old" says 10001
check "their text is that of the files" text_is_file "$victim"
victim_stop
verdict $? "the program ends by itself"

# One is absent from the start.
start_server without
apply all >"$scratch/output" 2>&1
verdict $? "a program without one of the libraries: apply"
check "which says so" grep -q "^  passed by  libtwo.so: not mapped" "$scratch/output"
check "the others are new" says 20002
ask open >/dev/null
check "mapped now, it is old: apply says so" ends_with 2 apply all
check "reverted" revert all
check "and applied again" apply all
check "all three are new" [ "$(ask | cut -d' ' -f1)" = 20202 ]
victim_stop
verdict $? "the program ends by itself"
