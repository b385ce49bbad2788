#!/bin/bash
# The layers hold, and the check of them notices when they don't.
. "$(dirname "$0")/../lib.sh"
plan 6

catches() {	# MODULE/FILE INCLUDE EXPECTED: with this line added, the check names file and include
	local output
	rm -rf "$scratch/src"
	cp -r src "$scratch/"
	echo "#include $2" >>"$scratch/src/$1"
	output=$(tests/layers "$scratch") && { echo "passes"; return 1; }
	grep -qF "$3" <<<"$output" || { echo "says: $output"; return 1; }
}

check "nothing points up" tests/layers
check "an include of a module above is caught" \
	catches base/error.h '"patch/patch.h"' 'src/base/error.h: includes patch/patch.h: patch is above base'
check "one that is not from src/ on is caught" \
	catches patch/patch.c '"../base/bytes.h"' 'src/patch/patch.c: includes ../base/bytes.h'
check "an instruction set's header is caught outside of src/arch" \
	catches patch/patch.c '"arch/x86_64/x86_64.h"' 'src/patch/patch.c: includes arch/x86_64/x86_64.h'
check "the decoder is caught outside of src/arch" \
	catches patch/patch.c '<Zydis/Zydis.h>' 'src/patch/patch.c: includes Zydis/Zydis.h'

cycle() {
	mkdir -p "$scratch/src/unwind" "$scratch/src/process"
	echo '#include "process/a.h"' >"$scratch/src/unwind/a.h"
	echo '#include "unwind/a.h"' >"$scratch/src/process/a.h"
	tests/layers "$scratch" | grep -q 'in a cycle: .*unwind'
}
check "a cycle of siblings is caught" cycle
