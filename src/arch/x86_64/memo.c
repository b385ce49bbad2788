#include "arch/x86_64/memo.h"

#include "base/bytes.h"

#define KEY_BYTES 16

static unsigned __int128 load_key(const uint8_t *code)
{
	return (unsigned __int128)load64(code + 8) << 64 | load64(code);
}

static unsigned __int128 mask(unsigned int bytes)
{
	return ((unsigned __int128)1 << 8 * bytes) - 1;
}

static unsigned __int128 known_by(unsigned __int128 bytes, struct memo_shape shape)
{
	return bytes & mask(shape.length) & ~(mask(shape.field_size) << 8 * shape.field);
}

static uint32_t hash(unsigned __int128 key, unsigned int bits)
{
	uint64_t mixed = (uint64_t)key * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(key >> 64) * UINT64_C(0xc2b2ae3d27d4eb4f);

	return (uint32_t)((mixed ^ mixed << 32) >> (64 - bits));
}

static uint32_t shape_index(const struct memo *memo, const uint8_t *code)
{
	return memo->leading[code[0]] ? code[0] : hash(code[0] | code[1] << 8 | code[2] << 16, 16);
}

static bool is_same_shape(struct memo_shape one, struct memo_shape other)
{
	return one.length == other.length && one.field == other.field && one.field_size == other.field_size;
}

uint32_t memo_find(const struct memo *memo, const uint8_t *code, size_t size)
{
	struct memo_shape shape;
	unsigned __int128 key;
	uint32_t slot;

	if (size < KEY_BYTES)
		return MEMO_NONE;
	shape = memo->shape[shape_index(memo, code)];
	if (!shape.length)
		return MEMO_NONE;
	key = known_by(load_key(code), shape);
	slot = hash(key, 14);
	return memo->slot[slot].bytes == key && is_same_shape(memo->slot[slot].shape, shape) ? slot : MEMO_NONE;
}

/* False when what it refers to depends on its address in another way. */
static bool find_shape(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct memo_shape *shape)
{
	*shape = (struct memo_shape){ .length = insn->length };
	if (insn->raw.imm[0].is_relative)
		*shape = (struct memo_shape){ insn->length, insn->raw.imm[0].offset, insn->raw.imm[0].size / 8 };
	for (unsigned int i = 0; operand && i < insn->operand_count; i++) {
		if (operand[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (operand[i].mem.base == ZYDIS_REGISTER_EIP)
			return false;
		if (operand[i].mem.base == ZYDIS_REGISTER_RIP)
			*shape = (struct memo_shape){ insn->length, insn->raw.disp.offset, insn->raw.disp.size / 8 };
	}
	return true;
}

uint32_t memo_add(struct memo *memo, const uint8_t *code, size_t size, const ZydisDecodedInstruction *insn,
		  const ZydisDecodedOperand *operand)
{
	struct memo_shape shape;
	unsigned __int128 key;
	uint32_t slot;

	if (size < KEY_BYTES || !find_shape(insn, operand, &shape) || (shape.field_size != 0 && shape.field_size != 1 && shape.field_size != 4))
		return MEMO_NONE;
	/* A branch with the opcode as its first byte: there is nothing else to be known. */
	if (insn->raw.imm[0].is_relative && shape.field == 1)
		memo->leading[code[0]] = 1;
	memo->shape[shape_index(memo, code)] = shape;
	key = known_by(load_key(code), shape);
	slot = hash(key, 14);
	memo->slot[slot] = (struct memo_key){ key, shape };
	return slot;
}

uint64_t memo_target(const struct memo *memo, uint32_t slot, const uint8_t *code, uint64_t address)
{
	struct memo_shape shape = memo->slot[slot].shape;
	uint64_t next = address + shape.length;

	if (shape.field_size == 4)
		return next + (uint64_t)(int64_t)(int32_t)load32(code + shape.field);
	return next + (uint64_t)(int64_t)(int8_t)code[shape.field];
}
