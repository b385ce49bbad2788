/* address.c: what code does with an address that it puts into a register. */
#include "arch/x86_64/x86_64.h"

#define INSNS_MAX 16

static ZydisRegister whole(ZydisRegister part)
{
	return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, part);
}

/* What one operand makes of the register. */
enum use { USE_NONE, USE_LOAD, USE_OVERWRITE, USE_OTHER };

static enum use use_of_register(const ZydisDecodedOperand *operand, ZydisRegister address)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(operand->reg.value);

	if (whole(operand->reg.value) != address)
		return USE_NONE;
	/* (Of 32 bits the rest becomes 0.) */
	return operand->actions == ZYDIS_OPERAND_ACTION_WRITE && (class == ZYDIS_REGCLASS_GPR64 || class == ZYDIS_REGCLASS_GPR32) ?
	       USE_OVERWRITE : USE_OTHER;
}

static enum use use_of_memory(const ZydisDecodedOperand *operand, ZydisRegister address)
{
	if (whole(operand->mem.base) != address && whole(operand->mem.index) != address)
		return USE_NONE;
	return operand->mem.type == ZYDIS_MEMOP_TYPE_MEM && operand->actions == ZYDIS_OPERAND_ACTION_READ ? USE_LOAD : USE_OTHER;
}

/* The worst that the instruction does with it; overwriting is better than nothing. */
static enum use use_of_insn(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, ZydisRegister address)
{
	enum use most = USE_NONE;

	for (unsigned int i = 0; i < insn->operand_count; i++) {
		enum use use = USE_NONE;

		if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			use = use_of_register(&operand[i], address);
		else if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			use = use_of_memory(&operand[i], address);
		if (use > most)
			most = use;
	}
	return most;
}

static bool goes_straight_on(const ZydisDecodedInstruction *insn)
{
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_UNCOND_BR:
		return false;
	default:
		return true;
	}
}

static bool decode(const uint8_t *code, size_t size, ZydisDecodedInstruction *insn, ZydisDecodedOperand *operand)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&x86_64_decoder, code, size, insn, operand));
}

/* Registers that a caller expects nothing in (psABI figure 3.4): not those of results, nor those that it gets back. */
static bool ends_with_return(ZydisRegister address)
{
	switch (address) {
	case ZYDIS_REGISTER_RCX:
	case ZYDIS_REGISTER_RSI:
	case ZYDIS_REGISTER_RDI:
	case ZYDIS_REGISTER_R8:
	case ZYDIS_REGISTER_R9:
	case ZYDIS_REGISTER_R10:
	case ZYDIS_REGISTER_R11:
		return true;
	default:
		return false;
	}
}

bool x86_64_only_loads(const uint8_t *code, size_t size)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	ZydisRegister address;
	size_t at;

	if (!decode(code, size, &insn, operand) || insn.mnemonic != ZYDIS_MNEMONIC_LEA || operand[1].mem.base != ZYDIS_REGISTER_RIP ||
	    ZydisRegisterGetClass(operand[0].reg.value) != ZYDIS_REGCLASS_GPR64)
		return false;
	address = operand[0].reg.value;
	at = insn.length;
	for (unsigned int i = 0; i < INSNS_MAX && decode(code + at, size - at, &insn, operand); i++) {
		enum use use = use_of_insn(&insn, operand, address);

		if (!goes_straight_on(&insn))
			return insn.meta.category == ZYDIS_CATEGORY_RET && ends_with_return(address);
		if (use >= USE_OVERWRITE)
			return use == USE_OVERWRITE;
		at += insn.length;
	}
	return false;
}
