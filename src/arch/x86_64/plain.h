/*
 * plain.h: the instructions that most code consists of, taken apart without a general decoder.
 *
 * Zydis takes about 100 ns for an instruction with its operands; that is most of the time in which an image is analysed.
 * Nine of ten instructions of compiled code have one of the few dozen opcodes that are known here, at a tenth of the
 * time. All others, and all with unusual prefixes, are left to Zydis. The two must agree on every byte: tests/unit/test_plain.c
 * compares them over whole libraries.
 */
#ifndef STENT_ARCH_X86_64_PLAIN_H
#define STENT_ARCH_X86_64_PLAIN_H

#include "arch/x86_64/x86_64.h"

/* What an instruction does, as far as the two views of it (struct insn, struct insn_effect) must know. */
enum plain_action {
	PLAIN_NONE,		/* not known here */
	PLAIN_WRITE_RM,		/* writes the r/m operand, with the flags */
	PLAIN_WRITE_REG,	/* writes the reg operand, with the flags */
	PLAIN_COMPARE,		/* writes the flags only */
	PLAIN_MOVE_RM,		/* as the first two, without the flags */
	PLAIN_MOVE_REG,
	PLAIN_READ,		/* writes nothing */
	PLAIN_VECTOR_REG,	/* writes the vector register `reg` */
	PLAIN_VECTOR_RM,	/* writes the vector register, or memory, `rm` */
	PLAIN_VECTOR_TO_RM,	/* writes the general register, or memory, `rm` from a vector register */
	PLAIN_MULTIPLY,		/* writes rax, rdx and the flags */
	PLAIN_PUSH,
	PLAIN_POP,
	PLAIN_LEAVE,
	PLAIN_CALL,
	PLAIN_JUMP,
	PLAIN_JUMP_CONDITIONAL,
	PLAIN_CALL_INDIRECT,
	PLAIN_JUMP_INDIRECT,
	PLAIN_RETURN,
	PLAIN_STOP,
	PLAIN_NOP,
	PLAIN_EXTEND_RAX,	/* cdqe: writes rax */
	PLAIN_EXTEND_RDX,	/* cdq, cqo: writes rdx */
};

#define PLAIN_NO_REGISTER 0xff

struct plain {
	uint8_t length;
	uint8_t action;		/* enum plain_action */
	uint8_t opcode;		/* its last byte */
	bool two_bytes;		/* behind 0x0f */
	bool wide;		/* REX.W */
	bool byte;		/* operands of 8 bits; without REX, 4 to 7 are ah to bh */
	bool rex;
	bool has_modrm, memory, pc_relative;
	uint8_t access;		/* bytes of the memory operand */
	uint8_t reg, rm;	/* hardware numbers; rm: of a register operand */
	uint8_t base, index, scale;	/* of memory; hardware numbers or PLAIN_NO_REGISTER */
	uint8_t displacement_offset, displacement_size;	/* bytes */
	uint8_t immediate_offset, immediate_size;
	int32_t displacement;
	int64_t immediate;	/* sign-extended */
};

/* False when the instruction, or what there is of it, is for Zydis. */
bool x86_64_plain(const uint8_t *code, size_t size, struct plain *out);

/* The two views of it. */
void x86_64_plain_insn(const struct plain *plain, uint64_t address, struct insn *out);
void x86_64_plain_effect(const struct plain *plain, uint64_t address, struct insn_effect *out);

#endif
