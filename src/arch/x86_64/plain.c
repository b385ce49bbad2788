#include "arch/x86_64/plain.h"

#include "base/bytes.h"

/* Immediate operands (Intel SDM volume 2, appendix A.2.2). */
enum { IMM_NONE, IMM_BYTE, IMM_LONG, IMM_WORD_SIZE /* 8 bytes with REX.W, else 4 */ };

struct form {
	uint8_t action;
	uint8_t modrm;		/* has one */
	uint8_t immediate;	/* IMM_* */
	uint8_t byte;
};

#define MODRM(action_, byte_) { .action = PLAIN_##action_, .modrm = 1, .byte = byte_ }
#define MODRM_IMM(action_, immediate_, byte_) { .action = PLAIN_##action_, .modrm = 1, .immediate = IMM_##immediate_, .byte = byte_ }
#define BARE(action_) { .action = PLAIN_##action_ }
#define BARE_IMM(action_, immediate_) { .action = PLAIN_##action_, .immediate = IMM_##immediate_ }

/* The forms of add, or, adc, sbb, and, sub, xor: four with a ModRM byte, and that for rax. Those of cmp write only flags. */
#define ARITHMETIC(opcode) \
	[opcode] = MODRM(WRITE_RM, 1), [opcode + 1] = MODRM(WRITE_RM, 0), [opcode + 2] = MODRM(WRITE_REG, 1), \
	[opcode + 3] = MODRM(WRITE_REG, 0), [opcode + 5] = BARE_IMM(WRITE_RM, LONG)

/* Intel SDM volume 2, table A-2. Groups stand as their most frequent member; see choose_in_group(). */
static const struct form one_byte[256] = {
	ARITHMETIC(0x00), ARITHMETIC(0x08), ARITHMETIC(0x10), ARITHMETIC(0x18), ARITHMETIC(0x20), ARITHMETIC(0x28), ARITHMETIC(0x30),
	[0x38] = MODRM(COMPARE, 1), [0x39] = MODRM(COMPARE, 0), [0x3a] = MODRM(COMPARE, 1), [0x3b] = MODRM(COMPARE, 0),
	[0x3c] = { .action = PLAIN_COMPARE, .immediate = IMM_BYTE, .byte = 1 }, [0x3d] = BARE_IMM(COMPARE, LONG),
	[0x50 ... 0x57] = BARE(PUSH), [0x58 ... 0x5f] = BARE(POP),
	[0x63] = MODRM(MOVE_REG, 0),
	[0x68] = BARE_IMM(PUSH, LONG), [0x6a] = BARE_IMM(PUSH, BYTE),
	[0x69] = MODRM_IMM(WRITE_REG, LONG, 0), [0x6b] = MODRM_IMM(WRITE_REG, BYTE, 0),
	[0x70 ... 0x7f] = BARE_IMM(JUMP_CONDITIONAL, BYTE),
	[0x80] = MODRM_IMM(WRITE_RM, BYTE, 1), [0x81] = MODRM_IMM(WRITE_RM, LONG, 0), [0x83] = MODRM_IMM(WRITE_RM, BYTE, 0),
	[0x84] = MODRM(COMPARE, 1), [0x85] = MODRM(COMPARE, 0),
	[0x88] = MODRM(MOVE_RM, 1), [0x89] = MODRM(MOVE_RM, 0), [0x8a] = MODRM(MOVE_REG, 1), [0x8b] = MODRM(MOVE_REG, 0),
	[0x8d] = MODRM(MOVE_REG, 0),
	[0x90] = BARE(NOP),
	[0x98] = BARE(EXTEND_RAX), [0x99] = BARE(EXTEND_RDX),
	[0xa8] = { .action = PLAIN_COMPARE, .immediate = IMM_BYTE, .byte = 1 }, [0xa9] = BARE_IMM(COMPARE, LONG),
	[0xb8 ... 0xbf] = BARE_IMM(MOVE_RM, WORD_SIZE),
	[0xc0] = MODRM_IMM(WRITE_RM, BYTE, 1), [0xc1] = MODRM_IMM(WRITE_RM, BYTE, 0),
	[0xc3] = BARE(RETURN),
	[0xc6] = MODRM_IMM(MOVE_RM, BYTE, 1), [0xc7] = MODRM_IMM(MOVE_RM, LONG, 0),
	[0xc9] = BARE(LEAVE),
	[0xd0] = MODRM(WRITE_RM, 1), [0xd1] = MODRM(WRITE_RM, 0), [0xd3] = MODRM(WRITE_RM, 0),
	[0xe8] = BARE_IMM(CALL, LONG), [0xe9] = BARE_IMM(JUMP, LONG), [0xeb] = BARE_IMM(JUMP, BYTE),
	[0xf6] = MODRM(COMPARE, 1), [0xf7] = MODRM(WRITE_RM, 0),
	[0xff] = MODRM(WRITE_RM, 0),
};

/* Table A-3, without prefix but REX. */
static const struct form two_bytes[256] = {
	[0x10] = MODRM(VECTOR_REG, 0), [0x11] = MODRM(VECTOR_RM, 0),
	[0x28] = MODRM(VECTOR_REG, 0), [0x29] = MODRM(VECTOR_RM, 0),
	[0x1f] = MODRM(NOP, 0),
	[0x40 ... 0x4f] = MODRM(MOVE_REG, 0),
	[0x57] = MODRM(VECTOR_REG, 0),
	[0x80 ... 0x8f] = BARE_IMM(JUMP_CONDITIONAL, LONG),
	[0x90 ... 0x9f] = MODRM(MOVE_RM, 1),
	[0xaf] = MODRM(WRITE_REG, 0),
	[0xb6] = MODRM(MOVE_REG, 1), [0xb7] = MODRM(MOVE_REG, 0), [0xbe] = MODRM(MOVE_REG, 1), [0xbf] = MODRM(MOVE_REG, 0),
};

/* The number in ModRM.reg makes the instruction. False for those that are left to Zydis. */
static bool choose_in_group(struct plain *plain, struct form *form, uint8_t number)
{
	if (plain->two_bytes)
		return true;
	switch (plain->opcode) {
	case 0x80: case 0x81: case 0x83:
		if (number == 7)
			form->action = PLAIN_COMPARE;
		return true;
	case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd3:
		return number != 6;	/* an alias of shl that is not documented */
	case 0xc6: case 0xc7:
		return number == 0;
	case 0xf6: case 0xf7:
		switch (number) {
		case 0:
			form->action = PLAIN_COMPARE;
			form->immediate = plain->opcode == 0xf6 ? IMM_BYTE : IMM_LONG;
			return true;
		case 2:
			form->action = PLAIN_MOVE_RM;
			return true;
		case 3:
			form->action = PLAIN_WRITE_RM;
			return true;
		case 4: case 5: case 6: case 7:
			form->action = PLAIN_MULTIPLY;
			return plain->opcode == 0xf7;
		}
		return false;
	case 0xff:
		switch (number) {
		case 0: case 1:
			return true;
		case 2:
			form->action = PLAIN_CALL_INDIRECT;
			return true;
		case 4:
			form->action = PLAIN_JUMP_INDIRECT;
			return true;
		case 6:
			form->action = PLAIN_PUSH;
			return true;
		}
		return false;
	default:
		return true;
	}
}

/* Bytes of the memory operand. */
static uint8_t access_size(const struct plain *plain)
{
	uint8_t word = plain->wide ? 8 : 4;

	switch (plain->action) {
	case PLAIN_VECTOR_REG:
	case PLAIN_VECTOR_RM:
		return 16;
	case PLAIN_CALL_INDIRECT:
	case PLAIN_JUMP_INDIRECT:
	case PLAIN_PUSH:
		return 8;
	}
	if (plain->two_bytes && (plain->opcode == 0xb7 || plain->opcode == 0xbf))
		return 2;
	if (!plain->two_bytes && plain->opcode == 0x63)
		return 4;
	return plain->byte ? 1 : word;
}

/* ModRM, SIB and displacement (2.1.5 and 2.2.1 of the same). Returns the byte behind, or NULL. */
static const uint8_t *read_modrm(const uint8_t *at, const uint8_t *start, const uint8_t *end, uint8_t rex, struct plain *plain)
{
	uint8_t modrm, mod, low;

	if (at == end)
		return NULL;
	modrm = *at++;
	mod = modrm >> 6;
	low = modrm & 7;
	plain->has_modrm = true;
	plain->reg = (uint8_t)(((modrm >> 3) & 7) | (rex & 4) << 1);
	plain->rm = (uint8_t)(low | (rex & 1) << 3);
	if (mod == 3)
		return at;
	plain->memory = true;
	plain->base = plain->rm;
	plain->displacement_size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	if (low == 4) {
		uint8_t sib;

		if (at == end)
			return NULL;
		sib = *at++;
		plain->base = (uint8_t)((sib & 7) | (rex & 1) << 3);
		plain->index = (uint8_t)(((sib >> 3) & 7) | (rex & 2) << 2);
		plain->scale = (uint8_t)(1 << (sib >> 6));
		if (plain->index == 4) {
			plain->index = PLAIN_NO_REGISTER;
			plain->scale = 0;
		}
		if (mod == 0 && (sib & 7) == 5) {
			plain->base = PLAIN_NO_REGISTER;
			plain->displacement_size = 4;
		}
	} else if (mod == 0 && low == 5) {
		plain->base = PLAIN_NO_REGISTER;
		plain->pc_relative = true;
		plain->displacement_size = 4;
	}
	if (end - at < plain->displacement_size)
		return NULL;
	plain->displacement_offset = (uint8_t)(at - start);
	if (plain->displacement_size == 1)
		plain->displacement = (int8_t)*at;
	else if (plain->displacement_size == 4)
		plain->displacement = (int32_t)load32(at);
	return at + plain->displacement_size;
}

static const uint8_t *read_immediate(const uint8_t *at, const uint8_t *start, const uint8_t *end, const struct form *form,
				     struct plain *plain)
{
	uint8_t size = form->immediate == IMM_NONE ? 0 : form->immediate == IMM_BYTE ? 1 :
		       form->immediate == IMM_LONG || !plain->wide ? 4 : 8;

	if (end - at < size)
		return NULL;
	plain->immediate_offset = (uint8_t)(at - start);
	plain->immediate_size = size;
	if (size == 1)
		plain->immediate = (int8_t)*at;
	else if (size == 4)
		plain->immediate = (int32_t)load32(at);
	else if (size == 8)
		plain->immediate = (int64_t)load64(at);
	return at + size;
}

/* What REX does to a branch, a nop or a push of a number is left to Zydis. */
static bool rex_is_odd(const struct form *form)
{
	switch (form->action) {
	case PLAIN_PUSH:
		return form->immediate != IMM_NONE;
	case PLAIN_NOP:
	case PLAIN_LEAVE:
	case PLAIN_CALL:
	case PLAIN_JUMP:
	case PLAIN_JUMP_CONDITIONAL:
	case PLAIN_RETURN:
		return true;
	default:
		return false;
	}
}

bool x86_64_plain(const uint8_t *code, size_t size, struct plain *out)
{
	const uint8_t *at = code, *end = code + (size < X86_64_INSN_MAX ? size : X86_64_INSN_MAX);
	uint8_t rex = 0;
	struct form form;

	if (at < end && (*at & 0xf0) == 0x40)
		rex = *at++;
	if (at == end)
		return false;
	*out = (struct plain){ .rex = rex != 0, .wide = rex & 8, .base = PLAIN_NO_REGISTER, .index = PLAIN_NO_REGISTER };
	out->two_bytes = *at == 0x0f;
	if (out->two_bytes && ++at == end)
		return false;
	out->opcode = *at++;
	form = out->two_bytes ? two_bytes[out->opcode] : one_byte[out->opcode];
	if (form.action == PLAIN_NONE || (rex && rex_is_odd(&form)))
		return false;
	/* Without REX.W it is a move. */
	if (!out->two_bytes && out->opcode == 0x63 && !out->wide)
		return false;

	if (form.modrm) {
		at = read_modrm(at, code, end, rex, out);
		if (!at || !choose_in_group(out, &form, out->reg & 7))
			return false;
		/* lea of a register is none; nops of other kinds than /0 are hints with names of their own. */
		if (out->opcode == 0x8d && !out->two_bytes && !out->memory)
			return false;
		if (form.action == PLAIN_NOP && ((out->reg & 7) || !out->memory))
			return false;
	} else {
		/* The accumulator's forms, or a register in the opcode. */
		out->rm = out->opcode < 0x40 || out->opcode == 0xa8 || out->opcode == 0xa9 ? 0 : (uint8_t)((out->opcode & 7) | (rex & 1) << 3);
	}
	at = read_immediate(at, code, end, &form, out);
	if (!at)
		return false;
	out->action = form.action;
	out->byte = form.byte;
	out->access = access_size(out);
	out->length = (uint8_t)(at - code);
	return true;
}
