/* address.c: where an address goes that registers hold. */
#include "arch/x86_64/x86_64.h"

/* Of the general register that this one is, or is a part of; 0: it is none. */
static uint64_t bit_of(ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15 ? UINT64_C(1) << (whole - ZYDIS_REGISTER_RAX) : 0;
}

static bool is_register(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER;
}

/* The bit of a register with all its 64 bits. */
static uint64_t wide_bit(const ZydisDecodedOperand *operand)
{
	return is_register(operand) && ZydisRegisterGetClass(operand->reg.value) == ZYDIS_REGCLASS_GPR64 ? bit_of(operand->reg.value) : 0;
}

static void put(struct held *held, uint64_t bit, bool may, bool must)
{
	held->may = may ? held->may | bit : held->may & ~bit;
	held->must = must ? held->must | bit : held->must & ~bit;
}

/* Nothing is stored where an address leads that is held. */
static bool only_loads(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, const struct held *held)
{
	for (unsigned int i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperandMem *memory = &operand[i].mem;

		if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ((bit_of(memory->base) | bit_of(memory->index)) & held->may) &&
		    memory->type != ZYDIS_MEMOP_TYPE_AGEN &&
		    (memory->type != ZYDIS_MEMOP_TYPE_MEM || (operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)))
			return false;
	}
	return true;
}

/* Does it read a register that may hold one? */
static bool reads(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, const struct held *held)
{
	for (unsigned int i = 0; i < insn->operand_count; i++)
		if (is_register(&operand[i]) && (operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ) && (bit_of(operand[i].reg.value) & held->may))
			return true;
	return false;
}

/* Registers that get another value. (Of 32 bits the rest becomes 0; of fewer it stays.) */
static void overwrite(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct held *held)
{
	for (unsigned int i = 0; i < insn->operand_count; i++) {
		bool whole = is_register(&operand[i]) && (ZydisRegisterGetClass(operand[i].reg.value) == ZYDIS_REGCLASS_GPR64 ||
							  ZydisRegisterGetClass(operand[i].reg.value) == ZYDIS_REGCLASS_GPR32);

		if (!is_register(&operand[i]) || !(operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		held->must &= ~bit_of(operand[i].reg.value);
		if (whole && (operand[i].actions & ZYDIS_OPERAND_ACTION_WRITE))
			held->may &= ~bit_of(operand[i].reg.value);
	}
}

/* --- instructions after which a register holds what another one held. False: not in this form. --- */

static bool copies(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), from = wide_bit(&operand[1]);

	put(held, to, held->may & from, held->must & from);
	return to && from;
}

static bool exchanges(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t a = wide_bit(&operand[0]), b = wide_bit(&operand[1]);
	struct held before = *held;

	put(held, a, before.may & b, before.must & b);
	put(held, b, before.may & a, before.must & a);
	return a && b;
}

static bool copies_perhaps(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), from = wide_bit(&operand[1]);

	put(held, to, held->may & (to | from), (held->must & to) && (held->must & from));
	return to && (from || !is_register(&operand[1]));
}

static bool computes(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), base = bit_of(operand[1].mem.base), index = bit_of(operand[1].mem.index);
	bool sum = (held->may & base) && (held->may & index);

	put(held, to, held->may & (base | index), held->must & (base | index));
	return to && !sum;
}

static bool adds(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), other = is_register(&operand[1]) ? bit_of(operand[1].reg.value) : 0;
	bool sum = (held->may & to) && (held->may & other);

	put(held, to, held->may & (to | other), held->must & (to | other));
	return to && !sum;
}

/* One less another of the same object is a number. (Less anything else would compare it with that.) */
static bool subtracts(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), other = wide_bit(&operand[1]);

	if (operand[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return to;
	if (!to || !other || !(held->must & to) || !(held->must & other))
		return false;
	put(held, to, false, false);
	return true;
}

/* With each other. */
static bool compares(const ZydisDecodedOperand *operand, const struct held *held)
{
	return (held->must & wide_bit(&operand[0])) && (held->must & wide_bit(&operand[1]));
}

static bool is_same_register(const ZydisDecodedOperand *operand)
{
	return is_register(&operand[0]) && is_register(&operand[1]) && operand[0].reg.value == operand[1].reg.value;
}

/* `rep movsq` and its kin: from where rsi leads. What they step on with is as good as what it was. */
static bool copies_memory(const ZydisDecodedInstruction *insn, const struct held *held)
{
	return insn->meta.category == ZYDIS_CATEGORY_STRINGOP && !(held->may & (bit_of(ZYDIS_REGISTER_RCX) | bit_of(ZYDIS_REGISTER_RDI)));
}

/* It reads a register that may hold one: is that seen to go nowhere else? */
static bool passes_on(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct held *held)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return copies(operand, held);
	case ZYDIS_MNEMONIC_XCHG:
		return exchanges(operand, held);
	case ZYDIS_MNEMONIC_ADD:
		return adds(operand, held);
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
		return wide_bit(&operand[0]);
	case ZYDIS_MNEMONIC_SUB:
		return subtracts(operand, held);
	case ZYDIS_MNEMONIC_CMP:
		return compares(operand, held);
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		return copies_memory(insn, held);
	default:
		return insn->meta.category == ZYDIS_CATEGORY_CMOV && copies_perhaps(operand, held);
	}
}

/* xor eax, eax: what was there before means nothing. */
static bool is_zeroing(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	return (insn->mnemonic == ZYDIS_MNEMONIC_XOR || insn->mnemonic == ZYDIS_MNEMONIC_SUB) && is_same_register(operand) &&
	       insn->operand_width >= 32;
}

bool x86_64_follow_address(const uint8_t *code, size_t size, struct held *held)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&x86_64_decoder, code, size, &insn, operand)) || !only_loads(&insn, operand, held))
		return false;
	if (insn.meta.category == ZYDIS_CATEGORY_SYSCALL || insn.meta.category == ZYDIS_CATEGORY_INTERRUPT)
		return !held->may;
	if (is_zeroing(&insn, operand)) {
		put(held, bit_of(operand[0].reg.value), false, false);
		return true;
	}
	if (insn.mnemonic == ZYDIS_MNEMONIC_LEA && ((bit_of(operand[1].mem.base) | bit_of(operand[1].mem.index)) & held->may))
		return computes(operand, held);
	if (reads(&insn, operand, held))
		return passes_on(&insn, operand, held);
	overwrite(&insn, operand, held);
	return true;
}
