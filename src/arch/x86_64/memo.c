#include "arch/x86_64/memo.h"

#include "base/bytes.h"

#define KEY_BYTES 16

/* Bits 0-3 the length, 4-7 the offset of the relative field, 8-11 its size. */
static uint16_t make_shape(unsigned int length, unsigned int field, unsigned int size)
{
	return (uint16_t)(length | field << 4 | size << 8);
}

static unsigned int shape_length(uint16_t shape)
{
	return shape & 0xf;
}

static unsigned int shape_field(uint16_t shape)
{
	return shape >> 4 & 0xf;
}

static unsigned int shape_field_size(uint16_t shape)
{
	return shape >> 8;
}

static struct memo_key key_of_long(const uint8_t *code, uint16_t shape)
{
	const unsigned __int128 one = 1;
	unsigned __int128 field = ((one << 8 * shape_field_size(shape)) - 1) << 8 * shape_field(shape);
	unsigned __int128 mask = ((one << 8 * shape_length(shape)) - 1) & ~field;

	return (struct memo_key){ load64(code) & (uint64_t)mask, load64(code + 8) & (uint64_t)(mask >> 64), shape };
}

/* Those that fit in a word, which are most of them, without 128-bit arithmetic. */
static struct memo_key make_key(const uint8_t *code, uint16_t shape)
{
	unsigned int length = shape_length(shape);
	uint64_t mask;

	if (length > 8)
		return key_of_long(code, shape);
	mask = UINT64_MAX >> (64 - 8 * length);
	if (shape_field_size(shape))
		mask &= ~((UINT64_MAX >> (64 - 8 * shape_field_size(shape))) << 8 * shape_field(shape));
	return (struct memo_key){ load64(code) & mask, 0, shape };
}

static uint32_t hash(uint64_t low, uint64_t high, unsigned int bits)
{
	return (uint32_t)((low * UINT64_C(0x9e3779b97f4a7c15) + high * UINT64_C(0xc2b2ae3d27d4eb4f)) >> (64 - bits));
}

static uint32_t shape_index(const struct memo *memo, const uint8_t *code)
{
	return memo->leading[code[0]] ? code[0] : hash(load32(code) & 0xffffff, 0, MEMO_SHAPE_BITS);
}

uint32_t memo_find(const struct memo *memo, const uint8_t *code, size_t size)
{
	const struct memo_key *found;
	struct memo_key key;
	uint16_t shape;
	uint32_t slot;

	if (size < KEY_BYTES)
		return MEMO_NONE;
	shape = memo->shape[shape_index(memo, code)];
	if (!shape)
		return MEMO_NONE;
	key = make_key(code, shape);
	slot = hash(key.low, key.high, MEMO_SLOT_BITS);
	found = &memo->slot[slot];
	return found->low == key.low && found->high == key.high && found->shape == shape ? slot : MEMO_NONE;
}

/* 0 when what it refers to depends on its address in another way. */
static uint16_t find_shape(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	uint16_t shape = make_shape(insn->length, 0, 0);

	if (insn->raw.imm[0].is_relative)
		shape = make_shape(insn->length, insn->raw.imm[0].offset, insn->raw.imm[0].size / 8);
	for (unsigned int i = 0; operand && i < insn->operand_count; i++) {
		if (operand[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (operand[i].mem.base == ZYDIS_REGISTER_EIP)
			return 0;
		if (operand[i].mem.base == ZYDIS_REGISTER_RIP)
			shape = make_shape(insn->length, insn->raw.disp.offset, insn->raw.disp.size / 8);
	}
	return shape_field_size(shape) == 0 || shape_field_size(shape) == 1 || shape_field_size(shape) == 4 ? shape : 0;
}

uint32_t memo_add(struct memo *memo, const uint8_t *code, size_t size, const ZydisDecodedInstruction *insn,
		  const ZydisDecodedOperand *operand)
{
	uint16_t shape = find_shape(insn, operand);
	struct memo_key key;
	uint32_t slot;

	if (size < KEY_BYTES || !shape)
		return MEMO_NONE;
	/* A branch with the opcode as its first byte: there is nothing else to be known. */
	if (insn->raw.imm[0].is_relative && shape_field(shape) == 1)
		memo->leading[code[0]] = 1;
	memo->shape[shape_index(memo, code)] = shape;
	key = make_key(code, shape);
	slot = hash(key.low, key.high, MEMO_SLOT_BITS);
	memo->slot[slot] = key;
	return slot;
}

uint64_t memo_target(const struct memo *memo, uint32_t slot, const uint8_t *code, uint64_t address)
{
	uint16_t shape = memo->slot[slot].shape;
	const uint8_t *field = code + shape_field(shape);
	uint64_t next = address + shape_length(shape);

	return next + (shape_field_size(shape) == 4 ? (uint64_t)(int64_t)(int32_t)load32(field) : (uint64_t)(int64_t)(int8_t)*field);
}
