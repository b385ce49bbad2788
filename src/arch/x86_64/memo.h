/*
 * memo.h: what the decoder said of instructions that were met before.
 *
 * Compilers write the same few thousand instructions over and over, and most of the time of whatever reads a whole
 * image goes into decoding them. An instruction means the same wherever its bytes are the same, except for what it
 * refers to relative to itself: that field's bytes do not count here, and its value is added anew each time.
 */
#ifndef STENT_ARCH_X86_64_MEMO_H
#define STENT_ARCH_X86_64_MEMO_H

#include "arch/x86_64/x86_64.h"

#define MEMO_SLOT_BITS 14
#define MEMO_SHAPE_BITS 16
#define MEMO_SLOTS (1u << MEMO_SLOT_BITS)

/* An instruction's bytes without the relative field and what follows, and its shape, which says which bytes those are. */
struct memo_key {
	uint64_t low, high;
	uint16_t shape;		/* 0: none */
};

/* The keys alone; what goes with a slot is kept by the caller, at the same index. One per thread. */
struct memo {
	uint8_t leading[256];	/* by first byte: 1 when that byte alone tells the shape */
	uint16_t shape[1u << MEMO_SHAPE_BITS];	/* by leading bytes: of the last instruction met, or 0 */
	struct memo_key slot[MEMO_SLOTS];
};

#define MEMO_NONE UINT32_MAX

/* Slot of the instruction that the bytes begin with, or MEMO_NONE when it is not there. */
uint32_t memo_find(const struct memo *memo, const uint8_t *code, size_t size) must_check;

/* The instruction was decoded: the slot that it has from now on, in the place of another; MEMO_NONE when it can't be kept.
 * `operand`: its operands, or NULL when they were not decoded because none of them is in memory. */
uint32_t memo_add(struct memo *memo, const uint8_t *code, size_t size, const ZydisDecodedInstruction *insn,
		  const ZydisDecodedOperand *operand) must_check;

/* What its relative field refers to, when it stands at the address. */
uint64_t memo_target(const struct memo *memo, uint32_t slot, const uint8_t *code, uint64_t address);

#endif
