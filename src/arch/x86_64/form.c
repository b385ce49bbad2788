/* form.c: what an instruction does, whatever registers it does it with. */
#include "arch/x86_64/x86_64.h"

#define PREFIXES_THAT_COUNT                                                                                                        \
	(ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_BND |    \
	 ZYDIS_ATTRIB_HAS_XACQUIRE | ZYDIS_ATTRIB_HAS_XRELEASE | ZYDIS_ATTRIB_HAS_NOTRACK)

/* An operand names two registers at most: of memory the base and the index. */
#define REGISTERS_MAX (2 * ZYDIS_MAX_OPERAND_COUNT)

struct form {
	uint64_t hash;
	ZydisRegister met[REGISTERS_MAX];	/* whole registers, in the order in which the instruction names them */
	unsigned int count;
};

static void add(struct form *form, uint64_t number)
{
	form->hash = (form->hash ^ number) * UINT64_C(0x9e3779b97f4a7c15);
	form->hash ^= form->hash >> 32;
}

/* May a compiler take another one of its kind instead? Not for the stack pointer, nor for what stands for a place or a meaning of its own. */
static bool is_choice(ZydisRegister whole, ZydisRegisterClass class)
{
	switch (class) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return whole != ZYDIS_REGISTER_RSP;
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
		return true;
	default:
		return false;
	}
}

/* Which bits of which register: of those that are a choice only whether it is one that the instruction has named before, because xor eax, eax
 * is another thing than xor eax, ebx. */
static void add_register(struct form *form, ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);
	unsigned int number = 0;

	if (!is_choice(whole, class)) {
		add(form, reg);
		return;
	}
	while (number < form->count && form->met[number] != whole)
		number++;
	if (number == form->count)
		form->met[form->count++] = whole;
	add(form, ZYDIS_REGISTER_MAX_VALUE + 1u + number);
	add(form, class);
	add(form, reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH);
}

static void add_memory(struct form *form, const ZydisDecodedOperandMem *memory)
{
	add(form, memory->type);
	/* (The others begin at 0, and which of them it is depends on the base.) */
	add(form, memory->segment == ZYDIS_REGISTER_FS || memory->segment == ZYDIS_REGISTER_GS ? memory->segment : ZYDIS_REGISTER_NONE);
	add_register(form, memory->base);
	add_register(form, memory->index);
	add(form, memory->scale);
	add(form, (uint64_t)memory->disp.value);
}

static void add_operand(struct form *form, const ZydisDecodedOperand *operand)
{
	add(form, operand->type);
	add(form, operand->size);
	if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER)
		add_register(form, operand->reg.value);
	else if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY)
		add_memory(form, &operand->mem);
	else if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		add(form, operand->imm.value.u);
}

uint64_t x86_64_form(const uint8_t *code, size_t size)
{
	struct form form = { .hash = 0 };
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&x86_64_decoder, code, size, &insn, operand)))
		return 0;
	add(&form, insn.mnemonic);
	add(&form, insn.attributes & PREFIXES_THAT_COUNT);
	add(&form, insn.avx.mask.mode);
	add(&form, insn.avx.broadcast.mode);
	add(&form, insn.avx.rounding.mode);
	add(&form, insn.avx.has_sae);
	for (unsigned int i = 0; i < insn.operand_count_visible; i++)
		add_operand(&form, &operand[i]);
	return form.hash ? form.hash : 1;
}
