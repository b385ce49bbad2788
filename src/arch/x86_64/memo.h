/*
 * memo.h: what the decoder said of instructions that were met before.
 *
 * Compilers write the same few thousand instructions over and over, and most of the time of whatever reads a whole
 * image goes into decoding them. An instruction means the same wherever its bytes are the same, except for what it
 * refers to relative to itself: that field's bytes do not count here, and its value is added anew each time.
 *
 * All that is ever asked of an instruction is found out at once, because who asks for its effect on the frame mostly
 * asks for its references later.
 */
#ifndef STENT_ARCH_X86_64_MEMO_H
#define STENT_ARCH_X86_64_MEMO_H

#include "arch/x86_64/x86_64.h"

/* decode.c: struct insn of what Zydis decoded at the address, all operands included. */
void x86_64_describe(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, uint64_t address, struct insn *out);

/* effect.c: likewise its struct insn_effect. */
void x86_64_describe_effect(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, uint64_t address,
			    struct insn_effect *out);

#endif
