/* x86_64.c: the table through which the rest of stent sees this instruction set. */
#include <elf.h>

#include "arch/x86_64/x86_64.h"

const struct arch arch_x86_64 = {
	.name = "x86-64",
	.machine = EM_X86_64,
	.trap = X86_64_TRAP,
	.decode = x86_64_decode,
	.print = x86_64_print,
	.reach = X86_64_REACH,
	.relocation = x86_64_relocation,
};
