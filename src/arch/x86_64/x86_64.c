/* x86_64.c: the table through which the rest of stent sees this instruction set. */
#include <elf.h>
#include <asm/hwcap2.h>

#include "arch/x86_64/x86_64.h"

const struct arch arch_x86_64 = {
	.name = "x86-64",
	.machine = EM_X86_64,
	.trap = X86_64_TRAP,
	.decode = x86_64_decode,
	.plain = x86_64_plain,
	.form = x86_64_form,
	.print = x86_64_print,
	.plan_entry = x86_64_plan_entry,
	.copy_entry = x86_64_copy_entry,
	.reach = X86_64_REACH,
	.jump_size = X86_64_JUMP_SIZE,
	.write_jump = x86_64_write_jump,
	.far_jump_size = X86_64_FAR_JUMP_SIZE,
	.write_far_jump = x86_64_write_far_jump,
	.dispatcher_size = X86_64_DISPATCHER_SIZE,
	.lookup_size = X86_64_LOOKUP_SIZE,
	.write_dispatcher = x86_64_write_dispatcher,
	.write_lookup = x86_64_write_lookup,
	.finder_size = X86_64_FINDER_SIZE,
	.write_finder = x86_64_write_finder,
	.lookup_hwcap2 = HWCAP2_FSGSBASE,	/* rdfsbase (Linux 5.9) */
	.library_kind = 0x0303,		/* FLAG_X8664_LIB64 | FLAG_ELF_LIBC6 */
	.effect = x86_64_effect,
	.is_signal_return = x86_64_is_signal_return,
	.thread_end = x86_64_thread_end,
	.ends_with_call = x86_64_ends_with_call,
	.follow_address = x86_64_follow_address,
	/* rdi, rsi, rdx, rcx, r8, r9 */
	.argument_count = 6,
	.argument = { 7, 6, 2, 1, 8, 9 },
	.fill_count = 3,
	/* All but rbx, rsp, rbp and r12 to r15. */
	.call_clobbers = ~(UINT64_C(1) << 3 | UINT64_C(1) << 4 | UINT64_C(1) << 5 | UINT64_C(0xf) << 12),
	/* rax, rdx */
	.results = UINT64_C(1) << 0 | UINT64_C(1) << 2,
	.relocation = x86_64_relocation,
	.link_relocation = x86_64_link_relocation,
};
