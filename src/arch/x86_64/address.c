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

/* The register gets what one of the others holds. */
static void put(struct held *held, uint64_t bit, struct held before, uint64_t from)
{
	held->may = before.may & from ? held->may | bit : held->may & ~bit;
	held->seen = before.seen & from ? held->seen | bit : held->seen & ~bit;
	held->must = before.must & from ? held->must | bit : held->must & ~bit;
}

static void put_address(struct held *held, uint64_t bit)
{
	held->may |= bit;
	held->seen |= bit;
	held->must |= bit;
}

static void put_number(struct held *held, uint64_t bit)
{
	held->may &= ~bit;
	held->seen &= ~bit;
	held->must &= ~bit;
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
			put_number(held, bit_of(operand[i].reg.value));
	}
}

/* --- instructions after which a register holds what another one held --- */

static enum fate kept_if(bool kept)
{
	return kept ? FATE_KEPT : FATE_OUT;
}

static enum fate copies(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), from = wide_bit(&operand[1]);

	put(held, to, *held, from);
	return kept_if(to && from);
}

static enum fate exchanges(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t a = wide_bit(&operand[0]), b = wide_bit(&operand[1]);
	struct held before = *held;

	put(held, a, before, b);
	put(held, b, before, a);
	return kept_if(a && b);
}

static enum fate copies_perhaps(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), from = wide_bit(&operand[1]);
	bool both = (held->must & to) && (held->must & from);

	put(held, to, *held, to | from);
	if (!both)
		held->must &= ~to;
	return kept_if(to && (from || !is_register(&operand[1])));
}

static enum fate computes(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), base = bit_of(operand[1].mem.base), index = bit_of(operand[1].mem.index);
	bool sum = (held->may & base) && (held->may & index);

	put(held, to, *held, base | index);
	return kept_if(to && !sum);
}

/* The displacement is an address of the object. */
static enum fate takes_sum(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]);
	bool sum = held->may & (bit_of(operand[1].mem.base) | bit_of(operand[1].mem.index));

	put_address(held, to);
	return kept_if(to && !sum);
}

static enum fate adds(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), other = is_register(&operand[1]) ? bit_of(operand[1].reg.value) : 0;
	bool sum = (held->may & to) && (held->may & other);

	put(held, to, *held, to | other);
	return kept_if(to && !sum);
}

/* One less another of the same object is a number. So is what else there is less one of it, which compares the two. (The other way round it may be a mere step back.) */
static enum fate subtracts(const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t to = wide_bit(&operand[0]), other = wide_bit(&operand[1]);
	bool apart = to && (held->seen & other) && !(held->may & to);

	if (operand[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return kept_if(to);
	if (!apart && !((held->must & to) && (held->must & other)))
		return FATE_OUT;
	put_number(held, to);
	return apart ? FATE_COMPARED : FATE_KEPT;
}

/* With each other, or one with something else. */
static enum fate compares(const ZydisDecodedOperand *operand, const struct held *held)
{
	uint64_t a = wide_bit(&operand[0]), b = wide_bit(&operand[1]);
	bool apart = ((held->seen & a) && !(held->may & b)) || ((held->seen & b) && !(held->may & a));

	if ((held->must & a) && (held->must & b))
		return FATE_KEPT;
	return apart && operand[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ? FATE_COMPARED : FATE_OUT;
}

/* So clang finds out whether two addresses are the same. */
static enum fate differs(const ZydisDecodedOperand *operand, struct held *held)
{
	enum fate fate = compares(operand, held);

	if (fate != FATE_OUT)
		put_number(held, wide_bit(&operand[0]));
	return fate;
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
static enum fate pass_on(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct held *held)
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
		return kept_if(wide_bit(&operand[0]));
	case ZYDIS_MNEMONIC_SUB:
		return subtracts(operand, held);
	case ZYDIS_MNEMONIC_CMP:
		return compares(operand, held);
	case ZYDIS_MNEMONIC_XOR:
		return differs(operand, held);
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		return kept_if(copies_memory(insn, held));
	default:
		return insn->meta.category == ZYDIS_CATEGORY_CMOV ? copies_perhaps(operand, held) : FATE_OUT;
	}
}

/* xor eax, eax: what was there before means nothing. */
static bool is_zeroing(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	return (insn->mnemonic == ZYDIS_MNEMONIC_XOR || insn->mnemonic == ZYDIS_MNEMONIC_SUB) && is_same_register(operand) &&
	       insn->operand_width >= 32;
}

/* The immediate is an address of the object. (One that is moved into 32 bits of a register is all of it: psABI, small code model.) */
static enum fate takes_immediate(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct held *held)
{
	uint64_t bit = is_register(&operand[0]) && insn->operand_width >= 32 ? bit_of(operand[0].reg.value) : 0;
	bool must = held->must & bit, may = held->may & bit;

	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		put_address(held, bit);
		return kept_if(bit);
	case ZYDIS_MNEMONIC_ADD:
		put_address(held, bit);
		return kept_if(bit && !may);
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_XOR:
		put_number(held, bit);
		break;
	case ZYDIS_MNEMONIC_CMP:
		break;
	default:
		return FATE_OUT;
	}
	return must ? FATE_KEPT : may ? FATE_OUT : FATE_COMPARED;
}

static enum fate follow(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, enum own_address own, struct held *held)
{
	bool lea = insn->mnemonic == ZYDIS_MNEMONIC_LEA;

	if (!only_loads(insn, operand, held))
		return FATE_OUT;
	if (insn->meta.category == ZYDIS_CATEGORY_SYSCALL || insn->meta.category == ZYDIS_CATEGORY_INTERRUPT)
		return kept_if(!held->may);
	if (is_zeroing(insn, operand)) {
		put_number(held, bit_of(operand[0].reg.value));
		return FATE_KEPT;
	}
	if (own == OWN_IMMEDIATE)
		return takes_immediate(insn, operand, held);
	if (lea && own == OWN_DISPLACEMENT)
		return takes_sum(operand, held);
	if (lea && ((bit_of(operand[1].mem.base) | bit_of(operand[1].mem.index)) & held->may))
		return computes(operand, held);
	if (reads(insn, operand, held))
		return pass_on(insn, operand, held);
	overwrite(insn, operand, held);
	return FATE_KEPT;
}

enum fate x86_64_follow_address(const uint8_t *code, size_t size, enum own_address own, struct held *held)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	enum fate fate;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&x86_64_decoder, code, size, &insn, operand)))
		return FATE_OUT;
	fate = follow(&insn, operand, own, held);
	if (fate == FATE_OUT)
		overwrite(&insn, operand, held);
	return fate;
}
