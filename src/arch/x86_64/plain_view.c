/* plain_view.c: a plain instruction as a struct insn, and as a struct insn_effect. */
#include "arch/x86_64/plain.h"

enum { HARDWARE_RAX = 0, HARDWARE_RDX = 2, HARDWARE_RSP = 4, HARDWARE_RBP = 5 };

#define CLOBBER_VECTOR(number) (UINT64_C(1) << (16 + (number)))
#define CLOBBER_FLAGS (UINT64_C(1) << 48)

static enum insn_kind insn_kind(uint8_t action)
{
	switch (action) {
	case PLAIN_CALL:
		return INSN_CALL;
	case PLAIN_JUMP:
		return INSN_JUMP;
	case PLAIN_JUMP_CONDITIONAL:
		return INSN_JUMP_CONDITIONAL;
	case PLAIN_CALL_INDIRECT:
		return INSN_CALL_INDIRECT;
	case PLAIN_JUMP_INDIRECT:
		return INSN_JUMP_INDIRECT;
	case PLAIN_RETURN:
		return INSN_RETURN;
	case PLAIN_STOP:
		return INSN_STOP;
	case PLAIN_NOP:
		return INSN_NOP;
	default:
		return INSN_OTHER;
	}
}

/* ah to bh are parts of rax to rbx. */
static unsigned int whole_register(const struct plain *plain, uint8_t number, bool byte)
{
	return byte && !plain->rex && number >= 4 && number < 8 ? number - 4u : number;
}

static uint64_t clobbers(const struct plain *plain)
{
	/* Of movzx and movsx the source alone has 8 bits. */
	bool byte_reg = plain->byte && !plain->two_bytes;
	uint64_t reg = UINT64_C(1) << whole_register(plain, plain->reg, byte_reg);
	uint64_t rm = plain->memory ? 0 : UINT64_C(1) << whole_register(plain, plain->rm, plain->byte);
	const uint64_t stack = UINT64_C(1) << HARDWARE_RSP;

	switch (plain->action) {
	case PLAIN_WRITE_RM:
		return rm | CLOBBER_FLAGS;
	case PLAIN_WRITE_REG:
		return reg | CLOBBER_FLAGS;
	case PLAIN_COMPARE:
		return CLOBBER_FLAGS;
	case PLAIN_MOVE_RM:
		return rm;
	case PLAIN_MOVE_REG:
		return reg;
	case PLAIN_VECTOR_REG:
		return CLOBBER_VECTOR(plain->reg);
	case PLAIN_VECTOR_RM:
		return plain->memory ? 0 : CLOBBER_VECTOR(plain->rm);
	case PLAIN_VECTOR_TO_RM:
		return rm;
	case PLAIN_MULTIPLY:
		return UINT64_C(1) << HARDWARE_RAX | UINT64_C(1) << HARDWARE_RDX | CLOBBER_FLAGS;
	case PLAIN_POP:
		return rm | stack;
	case PLAIN_LEAVE:
		return stack | UINT64_C(1) << HARDWARE_RBP;
	case PLAIN_PUSH:
	case PLAIN_CALL:
	case PLAIN_CALL_INDIRECT:
	case PLAIN_RETURN:
		return stack;
	case PLAIN_EXTEND_RAX:
		return UINT64_C(1) << HARDWARE_RAX;
	case PLAIN_EXTEND_RDX:
		return UINT64_C(1) << HARDWARE_RDX;
	default:
		return 0;
	}
}

static void add_memory_ref(const struct plain *plain, uint64_t address, struct insn *out)
{
	bool lea = plain->opcode == 0x8d && !plain->two_bytes;

	out->on_stack = plain->base == HARDWARE_RSP || plain->base == HARDWARE_RBP;
	if (!plain->displacement_size)
		return;
	if (!plain->pc_relative) {
		out->displacement = (struct insn_number){ plain->displacement_offset, plain->displacement_size };
		if (plain->displacement_size < 4)
			return;
	}
	if (plain->action == PLAIN_NOP)
		return;
	out->ref[0] = (struct insn_ref){ .offset = plain->displacement_offset, .size = plain->displacement_size };
	out->ref[0].target = (uint64_t)(int64_t)plain->displacement;
	out->ref[0].kind = REF_ABSOLUTE;
	if (plain->pc_relative) {
		out->ref[0].target += address + plain->length;
		out->ref[0].kind = lea ? REF_ADDRESS : REF_LOAD;
		out->ref[0].access = lea ? 0 : plain->access;
	}
}

void x86_64_plain_insn(const struct plain *plain, uint64_t address, struct insn *out)
{
	bool branch = plain->action == PLAIN_CALL || plain->action == PLAIN_JUMP || plain->action == PLAIN_JUMP_CONDITIONAL;
	struct insn_ref *ref;

	*out = (struct insn){ .length = plain->length, .kind = (uint8_t)insn_kind(plain->action), .clobbers = clobbers(plain) };
	if (plain->memory)
		add_memory_ref(plain, address, out);
	if (!plain->immediate_size)
		return;
	ref = out->ref[0].kind == REF_NONE ? &out->ref[0] : &out->ref[1];
	if (branch) {
		*ref = (struct insn_ref){
			.kind = REF_BRANCH, .offset = plain->immediate_offset, .size = plain->immediate_size,
			.target = address + plain->length + (uint64_t)plain->immediate,
		};
		return;
	}
	out->immediate = (struct insn_number){ plain->immediate_offset, plain->immediate_size };
	if (plain->immediate_size >= 4)
		*ref = (struct insn_ref){
			.kind = REF_ABSOLUTE, .offset = plain->immediate_offset, .size = plain->immediate_size,
			.target = (uint64_t)plain->immediate,
		};
}

/* x86-64 psABI, figure 3.36, by hardware number: rax rcx rdx rbx rsp rbp rsi rdi r8 ... */
static const uint8_t dwarf_number[16] = { 0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15 };

enum { DWARF_RAX = 0, DWARF_RDX = 1 };

static uint8_t dwarf(uint8_t number)
{
	return number == PLAIN_NO_REGISTER ? NO_REGISTER : dwarf_number[number];
}

/* base + displacement; with `indexed` base + displacement + index * size, where base may be absent. */
static bool is_simple(const struct plain *plain, bool indexed)
{
	if (!indexed)
		return plain->base != PLAIN_NO_REGISTER && plain->index == PLAIN_NO_REGISTER;
	return !plain->pc_relative && plain->index != PLAIN_NO_REGISTER && plain->scale == plain->access;
}

static void set_memory(const struct plain *plain, enum effect_kind kind, uint8_t *base, struct insn_effect *out)
{
	out->kind = (uint8_t)kind;
	*base = dwarf(plain->base);
	out->index = dwarf(plain->index);
	out->offset = plain->displacement;
	out->size = plain->access;
}

static void set_table(const struct plain *plain, struct insn_effect *out)
{
	set_memory(plain, EFFECT_TABLE, &out->source, out);
	out->address = (uint64_t)(int64_t)plain->displacement;
}

static void set_move(struct insn_effect *out, uint8_t target, uint8_t source, int64_t offset)
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

static void set_sum(struct insn_effect *out, uint8_t target, uint8_t source, uint8_t index)
{
	out->kind = EFFECT_SUM;
	out->target = target;
	out->source = source;
	out->index = index;
}

/* One of the eight operations of 80 to 83, and of 00 to 3f. */
enum { OPERATION_ADD, OPERATION_OR, OPERATION_AND = 4, OPERATION_SUB, OPERATION_XOR, OPERATION_CMP, OPERATION_NONE };

static uint8_t operation(const struct plain *plain)
{
	if (plain->two_bytes)
		return OPERATION_NONE;
	if (plain->opcode < 0x40)
		return plain->opcode >> 3;
	return plain->opcode >= 0x80 && plain->opcode <= 0x83 ? plain->reg & 7 : OPERATION_NONE;
}

/* `lock or $0, (%rsp)` and the like, a fence or a probe of the stack, leave the memory as it is. */
static bool keeps_memory(const struct plain *plain)
{
	uint8_t op = operation(plain);

	return plain->immediate_size && plain->immediate == 0 &&
	       (op == OPERATION_OR || op == OPERATION_ADD || op == OPERATION_SUB || op == OPERATION_XOR);
}

static void set_writes(const struct plain *plain, struct insn_effect *out)
{
	switch (plain->action) {
	case PLAIN_WRITE_REG:
	case PLAIN_MOVE_REG:
		out->writes = 1u << dwarf((uint8_t)whole_register(plain, plain->reg, plain->byte && !plain->two_bytes));
		break;
	case PLAIN_WRITE_RM:
	case PLAIN_MOVE_RM:
	case PLAIN_VECTOR_RM:
	case PLAIN_VECTOR_TO_RM:
		if (!plain->memory && plain->action != PLAIN_VECTOR_RM)
			out->writes = 1u << dwarf((uint8_t)whole_register(plain, plain->rm, plain->byte));
		else if (plain->memory && is_simple(plain, false) && !keeps_memory(plain))
			set_memory(plain, EFFECT_SPOIL, &out->target, out);
		break;
	case PLAIN_MULTIPLY:
		out->writes = 1u << DWARF_RAX | 1u << DWARF_RDX;
		break;
	case PLAIN_EXTEND_RAX:
		out->writes = 1u << DWARF_RAX;
		break;
	case PLAIN_EXTEND_RDX:
		out->writes = 1u << DWARF_RDX;
		break;
	default:
		break;
	}
}

/* add, sub, and: false unless it is a move of the stack pointer and the like. */
static bool set_arithmetic(const struct plain *plain, struct insn_effect *out)
{
	uint8_t op = operation(plain), rm = dwarf(plain->rm), reg = dwarf(plain->reg);

	if (op == OPERATION_CMP && plain->immediate_size) {
		out->kind = EFFECT_COMPARE;
		out->source = plain->memory ? NO_REGISTER : dwarf((uint8_t)whole_register(plain, plain->rm, plain->byte));
		out->offset = (int32_t)plain->immediate;
		return true;
	}
	if (!plain->wide || plain->byte || plain->memory)
		return false;
	if (plain->immediate_size) {
		switch (op) {
		case OPERATION_ADD:
			set_move(out, rm, rm, plain->immediate);
			return true;
		case OPERATION_SUB:
			set_move(out, rm, rm, -plain->immediate);
			return true;
		case OPERATION_AND:
			if (plain->immediate >= 0 || (plain->immediate & -plain->immediate) != -plain->immediate)
				return false;
			out->kind = EFFECT_ALIGN;
			out->target = rm;
			out->offset = (int32_t)plain->immediate;
			return true;
		}
		return false;
	}
	if (op != OPERATION_ADD)
		return false;
	if (plain->action == PLAIN_WRITE_RM)
		set_sum(out, rm, rm, reg);
	else
		set_sum(out, reg, reg, rm);
	return true;
}

static bool set_load(const struct plain *plain, struct insn_effect *out)
{
	uint8_t target = dwarf(plain->reg);

	/* Half of a jump table's load without optimisation; cltq extends it. */
	if (!plain->wide) {
		if (!plain->memory || plain->base == PLAIN_NO_REGISTER || plain->index == PLAIN_NO_REGISTER || plain->displacement)
			return false;
		set_table(plain, out);
	} else if (!plain->memory) {
		set_move(out, target, dwarf(plain->rm), 0);
		return true;
	} else if (is_simple(plain, false)) {
		set_memory(plain, EFFECT_LOAD, &out->source, out);
	} else if (is_simple(plain, true)) {
		set_table(plain, out);
	} else {
		out->kind = EFFECT_LOAD;
	}
	out->target = target;
	return true;
}

static bool set_store(const struct plain *plain, struct insn_effect *out)
{
	if (!plain->wide)
		return false;
	if (!plain->memory) {
		set_move(out, dwarf(plain->rm), dwarf(plain->reg), 0);
		return true;
	}
	if (!is_simple(plain, false))
		return false;
	set_memory(plain, EFFECT_STORE, &out->target, out);
	out->source = dwarf(plain->reg);
	return true;
}

static bool set_lea(const struct plain *plain, uint64_t address, struct insn_effect *out)
{
	uint8_t target = dwarf(plain->reg);

	if (!plain->wide)
		return false;
	if (plain->pc_relative) {
		out->kind = EFFECT_ADDRESS;
		out->target = target;
		out->address = address + plain->length + (uint64_t)(int64_t)plain->displacement;
		return true;
	}
	if (plain->base == PLAIN_NO_REGISTER)
		return false;
	if (plain->index == PLAIN_NO_REGISTER) {
		set_move(out, target, dwarf(plain->base), plain->displacement);
		return true;
	}
	if (plain->scale != 1 || plain->displacement)
		return false;
	set_sum(out, target, dwarf(plain->base), dwarf(plain->index));
	return true;
}

static bool set_extended_load(const struct plain *plain, uint64_t address, struct insn_effect *out)
{
	if (!plain->memory || (!plain->pc_relative && !is_simple(plain, true)))
		return false;
	if (plain->pc_relative) {
		out->kind = EFFECT_TABLE;
		out->size = plain->access;
		out->address = address + plain->length + (uint64_t)(int64_t)plain->displacement;
	} else {
		set_table(plain, out);
	}
	out->target = dwarf(plain->reg);
	return true;
}

/* As collect_form() of effect.c, which says why. */
static bool set_form(const struct plain *plain, uint64_t address, struct insn_effect *out)
{
	switch (plain->action) {
	case PLAIN_PUSH:
		out->kind = EFFECT_PUSH;
		out->size = 8;
		out->source = plain->memory || plain->immediate_size ? NO_REGISTER : dwarf(plain->rm);
		return true;
	case PLAIN_POP:
		out->kind = EFFECT_POP;
		out->size = 8;
		out->target = dwarf(plain->rm);
		return true;
	case PLAIN_LEAVE:
		out->kind = EFFECT_LEAVE;
		out->size = 8;
		return true;
	case PLAIN_EXTEND_RAX:
		if (plain->wide)
			set_move(out, DWARF_RAX, DWARF_RAX, 0);
		return plain->wide;
	}
	if (plain->two_bytes)
		return false;
	switch (plain->opcode) {
	case 0x63:
		return set_extended_load(plain, address, out);
	case 0x89:
		return set_store(plain, out);
	case 0x8b:
		return set_load(plain, out);
	case 0x8d:
		return set_lea(plain, address, out);
	case 0xb8: case 0xb9: case 0xba: case 0xbb: case 0xbc: case 0xbd: case 0xbe: case 0xbf: case 0xc7:
		if (plain->memory)
			return false;
		out->kind = EFFECT_ADDRESS;
		out->target = dwarf(plain->rm);
		/* Writing 32 bits clears the upper half. */
		out->address = plain->wide ? (uint64_t)plain->immediate : (uint32_t)plain->immediate;
		return true;
	default:
		return set_arithmetic(plain, out);
	}
}

static bool is_fault(const struct plain *plain)
{
	return plain->memory && plain->base == PLAIN_NO_REGISTER && plain->index == PLAIN_NO_REGISTER && !plain->pc_relative &&
	       plain->displacement >= 0 && plain->displacement < 4096 && (plain->opcode != 0x8d || plain->two_bytes);
}

void x86_64_plain_effect(const struct plain *plain, uint64_t address, struct insn_effect *out)
{
	*out = (struct insn_effect){
		.length = plain->length, .insn = (uint8_t)insn_kind(plain->action), .target = NO_REGISTER, .source = NO_REGISTER,
		.index = NO_REGISTER,
	};
	switch (out->insn) {
	case INSN_CALL:
	case INSN_JUMP:
	case INSN_JUMP_CONDITIONAL:
		out->address = address + plain->length + (uint64_t)plain->immediate;
		break;
	case INSN_JUMP_INDIRECT:
		if (!plain->memory)
			out->source = dwarf(plain->rm);
		else if (is_simple(plain, false) || is_simple(plain, true))
			set_table(plain, out);
		break;
	case INSN_CALL_INDIRECT:
		if (plain->pc_relative)
			out->address = address + plain->length + (uint64_t)(int64_t)plain->displacement;
		break;
	case INSN_OTHER:
		out->faults = is_fault(plain);
		if (!set_form(plain, address, out))
			set_writes(plain, out);
		break;
	}
}
