/*
 * decode.c: what Zydis decoded, as struct insn.
 */
#include "arch/x86_64/memo.h"

#define CLOBBER_VECTOR(number) (UINT64_C(1) << (16 + (number)))
#define CLOBBER_FLAGS (UINT64_C(1) << 48)
#define CLOBBER_X87 (UINT64_C(1) << 49)
#define CLOBBER_MASKS (UINT64_C(1) << 50)
#define CLOBBER_GENERAL(number) (UINT64_C(1) << (number))

#define GENERAL_RAX CLOBBER_GENERAL(0)
#define GENERAL_R8_TO_R11 (CLOBBER_GENERAL(8) | CLOBBER_GENERAL(9) | CLOBBER_GENERAL(10) | CLOBBER_GENERAL(11))
#define GENERAL_ALL UINT64_C(0xffff)
#define VECTOR_0_TO_15 (UINT64_C(0xffff) << 16)
#define VECTOR_ALL (UINT64_C(0xffffffff) << 16)

/* The modes that ZydisDecoderInit() turns on; written out so that no thread has to initialise it. */
const ZydisDecoder x86_64_decoder = {
	.machine_mode = ZYDIS_MACHINE_MODE_LONG_64,
	.stack_width = ZYDIS_STACK_WIDTH_64,
	.decoder_mode = {
		[ZYDIS_DECODER_MODE_MPX] = ZYAN_TRUE,
		[ZYDIS_DECODER_MODE_CET] = ZYAN_TRUE,
		[ZYDIS_DECODER_MODE_LZCNT] = ZYAN_TRUE,
		[ZYDIS_DECODER_MODE_TZCNT] = ZYAN_TRUE,
		[ZYDIS_DECODER_MODE_CLDEMOTE] = ZYAN_TRUE,
	},
};

/* Exchanging a register with itself; not for 32 bits, which would clear the upper half. */
static bool is_exchange_with_itself(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	return operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER && operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       operand[0].reg.value == operand[1].reg.value && insn->operand_width != 32;
}

enum insn_kind x86_64_classify(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	bool direct = insn->raw.imm[0].is_relative;

	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
		return direct ? INSN_CALL : INSN_CALL_INDIRECT;
	case ZYDIS_MNEMONIC_JMP:
		return direct ? INSN_JUMP : INSN_JUMP_INDIRECT;
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_UIRET:
	case ZYDIS_MNEMONIC_RSM:
		return INSN_RETURN;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_INT3:
		return INSN_STOP;
	case ZYDIS_MNEMONIC_NOP:
		return INSN_NOP;
	case ZYDIS_MNEMONIC_XCHG:
		return is_exchange_with_itself(insn, operand) ? INSN_NOP : INSN_OTHER;
	default:
		return direct ? INSN_JUMP_CONDITIONAL : INSN_OTHER;
	}
}

/* Every width of a register is the same register here: writing al spoils rax for a caller. */
static uint64_t register_bit(ZydisRegister reg)
{
	unsigned number;

	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_R15B) {
		/* al cl dl bl, ah ch dh bh, spl bpl sil dil, r8b ... */
		number = reg - ZYDIS_REGISTER_AL;
		return CLOBBER_GENERAL(number < 4 ? number : number - 4);
	}
	if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		return CLOBBER_GENERAL(reg - ZYDIS_REGISTER_AX);
	if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		return CLOBBER_GENERAL(reg - ZYDIS_REGISTER_EAX);
	if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		return CLOBBER_GENERAL(reg - ZYDIS_REGISTER_RAX);
	if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM31)
		return CLOBBER_VECTOR(reg - ZYDIS_REGISTER_XMM0);
	if (reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM31)
		return CLOBBER_VECTOR(reg - ZYDIS_REGISTER_YMM0);
	if (reg >= ZYDIS_REGISTER_ZMM0 && reg <= ZYDIS_REGISTER_ZMM31)
		return CLOBBER_VECTOR(reg - ZYDIS_REGISTER_ZMM0);
	if (reg >= ZYDIS_REGISTER_K0 && reg <= ZYDIS_REGISTER_K7)
		return CLOBBER_MASKS;
	if ((reg >= ZYDIS_REGISTER_ST0 && reg <= ZYDIS_REGISTER_ST7) ||
	    (reg >= ZYDIS_REGISTER_MM0 && reg <= ZYDIS_REGISTER_MM7))
		return CLOBBER_X87;
	return 0;
}

/* What an instruction writes beyond the operands that Zydis knows of. */
static uint64_t unlisted_clobbers(const ZydisDecodedInstruction *insn)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL: /* the kernel returns its result in rax */
		return GENERAL_RAX;
	case ZYDIS_MNEMONIC_INT: /* as above; kernels before 4.17 clear r8 to r11 (entry_INT80_compat) */
	case ZYDIS_MNEMONIC_SYSENTER:
		return GENERAL_RAX | GENERAL_R8_TO_R11;
	case ZYDIS_MNEMONIC_VZEROALL:
	case ZYDIS_MNEMONIC_VZEROUPPER:
		return VECTOR_0_TO_15;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		return VECTOR_0_TO_15 | CLOBBER_X87;
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_XRSTORS:
	case ZYDIS_MNEMONIC_XRSTORS64:
		return VECTOR_ALL | CLOBBER_X87 | CLOBBER_MASKS;
	case ZYDIS_MNEMONIC_EMMS:
	case ZYDIS_MNEMONIC_FEMMS:
		return CLOBBER_X87;
	default:
		return insn->meta.isa_ext == ZYDIS_ISA_EXT_X87 ? CLOBBER_X87 : 0;
	}
}

static uint64_t collect_clobbers(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	const ZydisAccessedFlagsMask kept_by_callers = ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_PF | ZYDIS_CPUFLAG_AF |
						       ZYDIS_CPUFLAG_ZF | ZYDIS_CPUFLAG_SF | ZYDIS_CPUFLAG_DF |
						       ZYDIS_CPUFLAG_OF;
	const ZydisAccessedFlags *flags = insn->cpu_flags;
	uint64_t clobbers = unlisted_clobbers(insn);

	for (unsigned i = 0; i < insn->operand_count; i++)
		if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			clobbers |= register_bit(operand[i].reg.value);
	if (flags && ((flags->modified | flags->set_0 | flags->set_1 | flags->undefined) & kept_by_callers))
		clobbers |= CLOBBER_FLAGS;
	return clobbers;
}

static void add_ref(struct insn *out, struct insn_ref ref)
{
	struct insn_ref *slot = out->ref[0].kind == REF_NONE ? &out->ref[0] : &out->ref[1];

	*slot = ref;
}

static void collect_pc_relative(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
				uint64_t address, struct insn *out)
{
	uint64_t target = address + insn->length + (uint64_t)insn->raw.disp.value;
	unsigned access = operand->size / 8;
	bool agen = operand->mem.type == ZYDIS_MEMOP_TYPE_AGEN;

	/* A long nop refers to nothing, whatever its bytes. */
	if (out->kind == INSN_NOP)
		return;
	if (operand->mem.base == ZYDIS_REGISTER_EIP)
		target = (uint32_t)target;
	add_ref(out, (struct insn_ref){
		.kind = agen ? REF_ADDRESS : REF_LOAD,
		.offset = insn->raw.disp.offset,
		.size = insn->raw.disp.size / 8,
		.access = agen || access > UINT8_MAX ? 0 : (uint8_t)access,
		.stores = !agen && (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE),
		.target = target,
	});
}

/* Is it a number in memory that the instruction loads or stores? Vectors may be several. */
static void collect_access(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, const ZydisDecodedOperand *memory, struct insn *out)
{
	if (out->kind == INSN_NOP || out->thread_local_access || memory->mem.type != ZYDIS_MEMOP_TYPE_MEM || memory->size > 64 ||
	    memory->mem.base == ZYDIS_REGISTER_RSP || ZydisRegisterGetClass(memory->mem.base) != ZYDIS_REGCLASS_GPR64)
		return;
	for (unsigned i = 0; i < insn->operand_count_visible; i++)
		if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER && !(register_bit(operand[i].reg.value) & GENERAL_ALL))
			return;
	out->access = (uint8_t)(memory->size / 8);
	out->loads = memory->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	out->stores = memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

static void collect_memory(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
			   uint64_t address, struct insn *out)
{
	const ZydisDecodedOperandMem *memory = &operand->mem;
	ZydisRegister base = memory->base;
	uint64_t target = (uint64_t)insn->raw.disp.value;

	out->thread_local_access = memory->segment == ZYDIS_REGISTER_FS;
	out->on_stack = base == ZYDIS_REGISTER_RSP || base == ZYDIS_REGISTER_RBP || base == ZYDIS_REGISTER_ESP ||
			base == ZYDIS_REGISTER_EBP;
	if (insn->raw.disp.size == 0)
		return;
	if (base == ZYDIS_REGISTER_RIP || base == ZYDIS_REGISTER_EIP) {
		collect_pc_relative(insn, operand, address, out);
		return;
	}
	out->displacement = (struct insn_number){ insn->raw.disp.offset, insn->raw.disp.size / 8 };
	if (insn->raw.disp.size < 32 || out->kind == INSN_NOP || memory->segment == ZYDIS_REGISTER_FS ||
	    memory->segment == ZYDIS_REGISTER_GS)
		return;
	if (insn->address_width == 32)
		target = (uint32_t)target;
	add_ref(out, (struct insn_ref){
		.kind = REF_ABSOLUTE,
		.offset = insn->raw.disp.offset,
		.size = insn->raw.disp.size / 8,
		.stores = operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
		.target = target,
	});
}

/* raw.imm[0] also stands for a register number in VEX's is4 byte: only an operand that is an
 * immediate makes it a number. */
static void collect_immediate(const ZydisDecodedInstruction *insn, uint64_t address, struct insn *out)
{
	uint8_t offset = insn->raw.imm[0].offset, size = insn->raw.imm[0].size / 8;
	uint64_t value = insn->raw.imm[0].value.u;

	if (size == 0)
		return;
	if (insn->raw.imm[0].is_relative) {
		add_ref(out, (struct insn_ref){
			.kind = REF_BRANCH, .offset = offset, .size = size,
			.target = address + insn->length + value,
		});
		return;
	}
	out->immediate = (struct insn_number){ offset, size };
	if (size == 4)
		value = (uint64_t)(int32_t)value;
	if (size >= 4)
		add_ref(out, (struct insn_ref){
			.kind = REF_ABSOLUTE, .offset = offset, .size = size, .target = value,
		});
}

/* rep stos: what compilers make of memset() */
static uint8_t filled_by(const ZydisDecodedInstruction *insn)
{
	switch (insn->attributes & ZYDIS_ATTRIB_HAS_REP ? insn->mnemonic : ZYDIS_MNEMONIC_INVALID) {
	case ZYDIS_MNEMONIC_STOSB:
		return 1;
	case ZYDIS_MNEMONIC_STOSW:
		return 2;
	case ZYDIS_MNEMONIC_STOSD:
		return 4;
	case ZYDIS_MNEMONIC_STOSQ:
		return 8;
	default:
		return 0;
	}
}

void x86_64_describe(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, uint64_t address, struct insn *out)
{
	bool has_immediate = false;

	*out = (struct insn){ .length = insn->length };
	out->kind = (uint8_t)x86_64_classify(insn, operand);
	for (unsigned i = 0; i < insn->operand_count; i++) {
		if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (operand[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
		     operand[i].encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64)) {
			collect_memory(insn, &operand[i], address, out);
			if (out->displacement.size)
				collect_access(insn, operand, &operand[i], out);
		} else if (operand[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			has_immediate = true;
	}
	if (has_immediate)
		collect_immediate(insn, address, out);
	out->fills = filled_by(insn);
	out->clobbers = out->kind == INSN_NOP ? 0 : collect_clobbers(insn, operand);
}
