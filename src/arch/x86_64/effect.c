/*
 * effect.c: what an instruction does to the stack pointer, the frame and saved registers.
 *
 * The forms that compilers and hand-written code use to build, tear down and realign frames, to save and
 * restore registers, and to compute the target of a jump table. All else only writes registers, or
 * spoils memory.
 */
#include "arch/x86_64/memo.h"
#include "base/bytes.h"

enum { DWARF_RAX = 0, DWARF_RCX = 2, DWARF_RBP = 6, DWARF_RSP = 7 };

/* x86-64 psABI, figure 3.36, by hardware number: rax rcx rdx rbx rsp rbp rsi rdi r8 ... */
static const uint8_t dwarf_number[16] = { 0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15 };

/* NO_REGISTER for all that is no general register. */
static uint8_t general_register(ZydisRegister reg)
{
	unsigned int number;

	if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		return dwarf_number[reg - ZYDIS_REGISTER_RAX];
	if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		return dwarf_number[reg - ZYDIS_REGISTER_EAX];
	if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		return dwarf_number[reg - ZYDIS_REGISTER_AX];
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_R15B) {
		/* al cl dl bl, ah ch dh bh, spl bpl sil dil, r8b ... */
		number = reg - ZYDIS_REGISTER_AL;
		return dwarf_number[number < 4 ? number : number - 4];
	}
	return NO_REGISTER;
}

static bool is_wide(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER && operand->reg.value >= ZYDIS_REGISTER_RAX &&
	       operand->reg.value <= ZYDIS_REGISTER_R15;
}

static uint8_t wide_register(const ZydisDecodedOperand *operand)
{
	return is_wide(operand) ? general_register(operand->reg.value) : NO_REGISTER;
}

/* A memory operand that is `base + displacement`, or with `indexed` set `base + displacement + index * scale`
 * where base may be absent, in the flat address space. */
static bool is_plain_memory(const ZydisDecodedOperand *operand, bool indexed)
{
	const ZydisDecodedOperandMem *memory = &operand->mem;
	bool has_base = memory->base >= ZYDIS_REGISTER_RAX && memory->base <= ZYDIS_REGISTER_R15;

	if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || memory->segment == ZYDIS_REGISTER_FS ||
	    memory->segment == ZYDIS_REGISTER_GS || memory->disp.value < INT32_MIN || memory->disp.value > INT32_MAX)
		return false;
	if (!indexed)
		return has_base && memory->index == ZYDIS_REGISTER_NONE;
	return (has_base || memory->base == ZYDIS_REGISTER_NONE) && memory->index >= ZYDIS_REGISTER_RAX &&
	       memory->index <= ZYDIS_REGISTER_R15 && memory->scale == operand->size / 8;
}

static void set_memory(struct insn_effect *out, enum effect_kind kind, uint8_t *base, const ZydisDecodedOperand *memory)
{
	out->kind = (uint8_t)kind;
	*base = general_register(memory->mem.base);
	out->index = general_register(memory->mem.index);
	out->offset = (int32_t)memory->mem.disp.value;
	out->size = memory->size / 8;
}

static void set_table(struct insn_effect *out, const ZydisDecodedOperand *memory)
{
	set_memory(out, EFFECT_TABLE, &out->source, memory);
	out->address = (uint64_t)memory->mem.disp.value;
}

static void move(struct insn_effect *out, uint8_t target, uint8_t source, int64_t offset)
{
	if (offset < INT32_MIN || offset > INT32_MAX) {
		out->writes = 1u << target;
		return;
	}
	out->kind = EFFECT_MOVE;
	out->target = target;
	out->source = source;
	out->offset = (int32_t)offset;
}

/* `lock or $0, (%rsp)` and the like, a fence or a probe of the stack, leave the memory as it is. */
static bool keeps_memory(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	if (operand[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || operand[1].imm.value.u != 0)
		return false;
	return insn->mnemonic == ZYDIS_MNEMONIC_OR || insn->mnemonic == ZYDIS_MNEMONIC_ADD ||
	       insn->mnemonic == ZYDIS_MNEMONIC_SUB || insn->mnemonic == ZYDIS_MNEMONIC_XOR;
}

/* How much XSAVE writes depends on the processor, and which bit BTS sets on the other operand. */
static bool has_unknown_size(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
		return true;
	case ZYDIS_MNEMONIC_BTC:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTS:
		return operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	default:
		return false;
	}
}

/* Registers written, and one memory operand spoiled. */
static void collect_writes(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
			   struct insn_effect *out)
{
	bool from_vector = false;

	for (unsigned int i = 0; i < insn->operand_count; i++) {
		uint8_t number;

		if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			number = general_register(operand[i].reg.value);
			from_vector = from_vector || (operand[i].reg.value >= ZYDIS_REGISTER_MM0 &&
						      operand[i].reg.value <= ZYDIS_REGISTER_ZMM31);
			if (number != NO_REGISTER && (operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
				out->writes |= 1u << number;
		} else if (operand[i].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN && is_plain_memory(&operand[i], false) &&
			   operand[i].mem.type == ZYDIS_MEMOP_TYPE_MEM && !keeps_memory(insn, operand) &&
			   (operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)) {
			set_memory(out, EFFECT_SPOIL, &out->target, &operand[i]);
			if (has_unknown_size(insn, operand))
				out->size = 0;
		}
	}
	/* A register may have been kept in a vector register: what comes back from there is not known,
	 * which is not the same as being some other value. */
	if (from_vector && out->kind == EFFECT_NONE && is_wide(&operand[0]) && out->writes) {
		out->kind = EFFECT_LOAD;
		out->target = wide_register(&operand[0]);
		out->writes &= ~(1u << out->target);
	}
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_SYSENTER:
		out->writes |= 1u << DWARF_RAX;
		break;
	case ZYDIS_MNEMONIC_ENTER:
		out->writes |= 1u << DWARF_RBP | 1u << DWARF_RSP;
		break;
	default:
		break;
	}
}

static bool collect_mov(const ZydisDecodedOperand *to, const ZydisDecodedOperand *from, struct insn_effect *out)
{
	if (from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && to->type == ZYDIS_OPERAND_TYPE_REGISTER && to->size >= 32) {
		/* Writing 32 bits clears the upper half. */
		out->kind = EFFECT_ADDRESS;
		out->target = general_register(to->reg.value);
		out->address = to->size == 32 ? (uint32_t)from->imm.value.u : from->imm.value.u;
		return true;
	}
	if (is_wide(to) && is_wide(from)) {
		move(out, wide_register(to), wide_register(from), 0);
		return true;
	}
	if (is_wide(to) && from->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		/* From anywhere else it is a word that nothing is known of. */
		if (is_plain_memory(from, false))
			set_memory(out, EFFECT_LOAD, &out->source, from);
		else if (is_plain_memory(from, true))
			set_table(out, from);
		else
			out->kind = EFFECT_LOAD;
		out->target = wide_register(to);
		return true;
	}
	/* Half of a jump table's load without optimisation; cltq extends it. */
	if (to->type == ZYDIS_OPERAND_TYPE_REGISTER && to->size == 32 && from->type == ZYDIS_OPERAND_TYPE_MEMORY &&
	    from->mem.base >= ZYDIS_REGISTER_RAX && from->mem.base <= ZYDIS_REGISTER_R15 &&
	    from->mem.index >= ZYDIS_REGISTER_RAX && from->mem.index <= ZYDIS_REGISTER_R15 && from->mem.disp.value == 0) {
		set_table(out, from);
		out->target = general_register(to->reg.value);
		return true;
	}
	if (is_plain_memory(to, false) && is_wide(from)) {
		set_memory(out, EFFECT_STORE, &out->target, to);
		out->source = wide_register(from);
		return true;
	}
	/* To a variable: nothing of the frame, but the stack pointer may be put away there. */
	if (to->type == ZYDIS_OPERAND_TYPE_MEMORY && is_wide(from) && to->mem.index == ZYDIS_REGISTER_NONE &&
	    (to->mem.base == ZYDIS_REGISTER_RIP || to->mem.base == ZYDIS_REGISTER_NONE)) {
		out->kind = EFFECT_STORE;
		out->source = wide_register(from);
		return true;
	}
	return false;
}

static bool collect_lea(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct insn_effect *out)
{
	const ZydisDecodedOperandMem *memory = &operand[1].mem;
	uint8_t target = wide_register(&operand[0]);

	if (target == NO_REGISTER || insn->address_width != 64)
		return false;
	if (memory->base == ZYDIS_REGISTER_RIP) {
		out->kind = EFFECT_ADDRESS;
		out->target = target;
		out->refers = true;
		return true;
	}
	if (memory->base == ZYDIS_REGISTER_NONE)
		return false;
	if (memory->index == ZYDIS_REGISTER_NONE) {
		move(out, target, general_register(memory->base), memory->disp.value);
		return true;
	}
	out->kind = memory->scale == 1 && !memory->disp.value ? EFFECT_SUM : EFFECT_SHIFT;
	out->target = target;
	out->source = general_register(memory->base);
	out->index = general_register(memory->index);
	return true;
}

/* A signed word of a jump table. */
static bool collect_extended_load(const ZydisDecodedOperand *operand, struct insn_effect *out)
{
	if (!is_wide(&operand[0]))
		return false;
	if (operand[1].type == ZYDIS_OPERAND_TYPE_MEMORY && operand[1].mem.base == ZYDIS_REGISTER_RIP) {
		out->kind = EFFECT_TABLE;
		out->size = operand[1].size / 8;
		out->refers = true;
	} else if (is_plain_memory(&operand[1], true)) {
		set_table(out, &operand[1]);
	} else {
		return false;
	}
	out->target = wide_register(&operand[0]);
	return true;
}

static bool collect_arithmetic(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
			       struct insn_effect *out)
{
	const ZydisDecodedOperand *from = &operand[1];
	uint8_t target = wide_register(&operand[0]);
	bool immediate = from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

	if (insn->mnemonic == ZYDIS_MNEMONIC_CMP && immediate && from->imm.value.s >= INT32_MIN &&
	    from->imm.value.s <= INT32_MAX) {
		out->kind = EFFECT_COMPARE;
		out->source = operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? general_register(operand[0].reg.value) :
									       NO_REGISTER;
		out->offset = (int32_t)from->imm.value.s;
		return true;
	}
	if (target == NO_REGISTER || insn->mnemonic == ZYDIS_MNEMONIC_CMP)
		return false;
	out->target = target;
	if (insn->mnemonic == ZYDIS_MNEMONIC_AND && immediate && from->imm.value.s < 0 && from->imm.value.s >= INT32_MIN &&
	    (from->imm.value.s & -from->imm.value.s) == -from->imm.value.s) {
		out->kind = EFFECT_ALIGN;
		out->offset = (int32_t)from->imm.value.s;
	} else if (insn->mnemonic == ZYDIS_MNEMONIC_ADD && immediate) {
		move(out, target, target, from->imm.value.s);
	} else if (insn->mnemonic == ZYDIS_MNEMONIC_SUB && immediate && from->imm.value.s != INT64_MIN) {
		move(out, target, target, -from->imm.value.s);
	} else {
		out->kind = insn->mnemonic == ZYDIS_MNEMONIC_ADD && is_wide(from) ? EFFECT_SUM : EFFECT_SHIFT;
		out->source = target;
		out->index = wide_register(from);
		out->subtracts = insn->mnemonic == ZYDIS_MNEMONIC_SUB;
	}
	return true;
}

/* The forms that are more than writes; false for all others. */
static bool collect_form(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct insn_effect *out)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_PUSHF:
		out->kind = EFFECT_PUSH;
		out->size = insn->operand_width / 8;
		out->source = insn->mnemonic == ZYDIS_MNEMONIC_PUSH ? wide_register(&operand[0]) : NO_REGISTER;
		return true;
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_POPF:
		out->kind = EFFECT_POP;
		out->size = insn->operand_width / 8;
		if (operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
			out->spoils_frame = true;
		if (insn->mnemonic != ZYDIS_MNEMONIC_POP || operand[0].type != ZYDIS_OPERAND_TYPE_REGISTER)
			return true;
		out->target = wide_register(&operand[0]);
		if (out->target == NO_REGISTER && general_register(operand[0].reg.value) != NO_REGISTER)
			out->writes = 1u << general_register(operand[0].reg.value);
		return true;
	case ZYDIS_MNEMONIC_LEAVE:
		out->kind = EFFECT_LEAVE;
		out->size = insn->operand_width / 8;
		return out->size == 8;
	case ZYDIS_MNEMONIC_MOV:
		return collect_mov(&operand[0], &operand[1], out);
	case ZYDIS_MNEMONIC_MOVSXD:
		return collect_extended_load(operand, out);
	case ZYDIS_MNEMONIC_CDQE:
		out->kind = EFFECT_EXTEND;
		out->target = out->source = DWARF_RAX;
		return true;
	case ZYDIS_MNEMONIC_LEA:
		return collect_lea(insn, operand, out);
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_CMP:
		return collect_arithmetic(insn, operand, out);
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
		if (!is_wide(&operand[0]))
			return false;
		move(out, wide_register(&operand[0]), wide_register(&operand[0]), insn->mnemonic == ZYDIS_MNEMONIC_INC ? 1 : -1);
		return true;
	case ZYDIS_MNEMONIC_XCHG:
		if (!is_wide(&operand[0]) || !is_wide(&operand[1]))
			return false;
		out->kind = EFFECT_EXCHANGE;
		out->target = wide_register(&operand[0]);
		out->source = wide_register(&operand[1]);
		return true;
	default:
		return false;
	}
}

static void collect_indirect_jump(const ZydisDecodedOperand *operand, struct insn_effect *out)
{
	if (is_wide(operand)) {
		out->source = wide_register(operand);
	} else if (is_plain_memory(operand, false) || is_plain_memory(operand, true)) {
		set_table(out, operand);
	}
}

/* Access to an absolute address in the first page, where nothing can be mapped (vm.mmap_min_addr): how programs crash on
 * purpose, and what gcc makes of a null pointer. The code behind it belongs to something else. */
static bool is_fault(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	for (unsigned int i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperandMem *memory = &operand[i].mem;

		if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY && memory->type == ZYDIS_MEMOP_TYPE_MEM &&
		    memory->base == ZYDIS_REGISTER_NONE && memory->index == ZYDIS_REGISTER_NONE &&
		    memory->segment != ZYDIS_REGISTER_FS && memory->segment != ZYDIS_REGISTER_GS && memory->disp.value >= 0 &&
		    memory->disp.value < 4096)
			return true;
	}
	return false;
}

static uint8_t memory_base(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	for (unsigned int i = 0; i < insn->operand_count_visible; i++)
		if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY && operand[i].mem.type == ZYDIS_MEMOP_TYPE_MEM)
			return general_register(operand[i].mem.base);
	return NO_REGISTER;
}

static void collect(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, struct insn_effect *out)
{
	out->base = memory_base(insn, operand);
	out->insn = (uint8_t)x86_64_classify(insn, operand);
	out->faults = out->insn == INSN_OTHER && is_fault(insn, operand);
	switch (out->insn) {
	case INSN_JUMP_INDIRECT:
		collect_indirect_jump(&operand[0], out);
		break;
	case INSN_CALL_INDIRECT:
		out->refers = operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY && operand[0].mem.base == ZYDIS_REGISTER_RIP;
		break;
	case INSN_OTHER:
		if (!collect_form(insn, operand, out))
			collect_writes(insn, operand, out);
		break;
	default:
		break;
	}
}

/* A direct branch, a nop or a return: these have no operands that matter. */
static bool collect_without_operands(const ZydisDecodedInstruction *insn, struct insn_effect *out)
{
	out->refers = insn->raw.imm[0].is_relative;
	if (!out->refers && insn->mnemonic != ZYDIS_MNEMONIC_NOP && insn->mnemonic != ZYDIS_MNEMONIC_RET)
		return false;
	out->insn = (uint8_t)x86_64_classify(insn, NULL);
	out->pops = insn->mnemonic == ZYDIS_MNEMONIC_RET && insn->raw.imm[0].size != 0 && insn->raw.imm[0].value.u != 0;
	if (insn->mnemonic == ZYDIS_MNEMONIC_LOOP || insn->mnemonic == ZYDIS_MNEMONIC_LOOPE ||
	    insn->mnemonic == ZYDIS_MNEMONIC_LOOPNE)
		out->writes = 1u << DWARF_RCX;
	return true;
}

void x86_64_describe_effect(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, uint64_t address,
			    struct insn_effect *out)
{
	*out = (struct insn_effect){
		.length = insn->length, .target = NO_REGISTER, .source = NO_REGISTER, .index = NO_REGISTER, .base = NO_REGISTER,
	};
	if (!collect_without_operands(insn, out))
		collect(insn, operand, out);
	if (out->refers)
		out->address = address + insn->length +
			       (insn->raw.imm[0].is_relative ? insn->raw.imm[0].value.u : (uint64_t)insn->raw.disp.value);
}

/* mov $15, %rax (glibc) or %eax (musl, the kernel's vdso), then syscall: rt_sigreturn. */
bool x86_64_is_signal_return(const uint8_t *code, size_t size)
{
	static const uint8_t wide[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	static const uint8_t narrow[] = { 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05 };

	return (size >= sizeof(wide) && !memcmp(code, wide, sizeof(wide))) ||
	       (size >= sizeof(narrow) && !memcmp(code, narrow, sizeof(narrow)));
}
