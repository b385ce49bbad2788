/*
 * entry.c: which bytes of a function's entry become the jump, and the copy that runs in their stead.
 *
 * A displaced instruction must do in the copy exactly what it did at the entry. What depends on where it
 * stands is either encoded anew (pc-relative operands, branches) or refused. Two things follow from the
 * return address of a call: it stays the original one, since the copy has no unwind rows, so the call
 * must be the last displaced instruction (else it would return into the jump).
 */
#include "arch/x86_64/x86_64.h"
#include "base/bytes.h"

static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

/* One instruction of the entry, as struct insn and as the encoding's parts. */
struct displaced {
	struct insn insn;
	ZydisDecodedInstruction raw;
	const uint8_t *code;
};

static bool is_call(const struct insn *insn)
{
	return insn->kind == INSN_CALL || insn->kind == INSN_CALL_INDIRECT;
}

/* The encoding is asked for only where something depends on the place. */
static bool decode_displaced(const uint8_t *code, size_t size, uint64_t address, struct displaced *out)
{
	out->code = code;
	if (!x86_64_decode(code, size, address, &out->insn))
		return false;
	return (!is_call(&out->insn) && out->insn.ref[0].kind == REF_NONE) ||
	       ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&x86_64_decoder, NULL, code, size, &out->raw));
}

/* What follows in the copy never runs. True for calls too: the callee returns to the original code. */
static bool leaves(const struct insn *insn)
{
	return is_call(insn) || insn->kind == INSN_JUMP || insn->kind == INSN_JUMP_INDIRECT ||
	       insn->kind == INSN_RETURN || insn->kind == INSN_STOP;
}

/* Bytes that change: the jump, and what is left of the last instruction that it cuts. */
static unsigned overwritten_size(const struct entry_plan *plan)
{
	return plan->span > plan->jump ? plan->span : plan->jump;
}

static const char *check_call(const struct displaced *this)
{
	uint8_t mod = this->raw.raw.modrm.mod, rm = this->raw.raw.modrm.rm, base = this->raw.raw.sib.base;

	if (this->insn.kind == INSN_CALL)
		return NULL;
	if (this->raw.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return "a far call stands in the way of the jump";
	/* The displaced call pushes before it looks at its operand. */
	if (rm == 4 && this->raw.raw.rex.B == 0 && (mod == 3 || base == 4))
		return "a call through the stack pointer stands in the way of the jump";
	return NULL;
}

/* Everything that could make this instruction behave differently in the copy. `start` is the function,
 * and [start + plan->offset, + overwritten_size()) changes. */
static const char *check_reference(const struct displaced *this, const struct insn_ref *ref,
				   const struct entry_plan *plan, uint64_t start)
{
	uint64_t into = ref->target - start;	/* at or behind the entry when small */
	bool inside = into < plan->offset + overwritten_size(plan);

	switch (ref->kind) {
	case REF_BRANCH:
		if (this->raw.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE && this->raw.raw.rex.W == 0)
			return "a branch with an operand-size prefix, which processors read differently, stands in "
			       "the way of the jump";
		if (inside && into != 0 && (into != plan->offset || is_call(&this->insn)))
			return "the entry branches into the bytes that the jump takes";
		return NULL;
	case REF_LOAD:
	case REF_ADDRESS:
		if (ref->size != 4 || this->raw.address_width == 32)
			return "an operand relative to the 32-bit program counter stands in the way of the jump";
		if (inside && (ref->kind == REF_LOAD || into != 0))
			return "the entry refers to its own bytes";
		return NULL;
	default:
		return NULL;
	}
}

/* Read the displaced instruction at `position` (an offset from the entry at `start`). */
static const char *next_displaced(const uint8_t *code, const struct entry_plan *plan, uint64_t start,
				  unsigned position, struct displaced *this)
{
	unsigned end = plan->offset + plan->span;
	const char *why;

	if (!decode_displaced(code + position, end - position, start + position, this))
		return "bytes at the entry are no instruction";
	if (leaves(&this->insn) && position + this->insn.length != end)
		return "code behind a return, jump or call stands in the way of the jump";
	/* Also when the jump takes padding: the callee would return into the jump. */
	if (is_call(&this->insn)) {
		if (plan->span < plan->jump)
			return "a call at the entry would return into the jump";
		why = check_call(this);
		if (why)
			return why;
	}
	for (unsigned i = 0; i < 2; i++) {
		why = check_reference(this, &this->insn.ref[i], plan, start);
		if (why)
			return why;
	}
	return NULL;
}

/* Padding may be cut by the jump: nothing runs it, and who jumps into it is the caller's to find. */
static bool is_padding(const uint8_t *code, size_t size, unsigned from, unsigned to)
{
	struct insn insn;

	for (; from < to; from += insn.length)
		if (!x86_64_decode(code + from, size - from, 0, &insn) ||
		    (insn.kind != INSN_NOP && code[from] != X86_64_TRAP))
			return false;
	return true;
}

/* Whole instructions from plan->offset on until the jump fits: sets plan->span. */
static const char *measure_span(const uint8_t *code, size_t size, size_t padding, struct entry_plan *plan)
{
	unsigned position = plan->offset, needed = plan->offset + plan->jump;
	struct insn insn = { .kind = INSN_OTHER };

	while (position < needed && !leaves(&insn)) {
		if (position >= size)
			return "the function is too small for a jump, and falls through at its end";
		if (!x86_64_decode(code + position, size - position, 0, &insn))
			return "bytes at the entry are no instruction";
		position += insn.length;
	}
	plan->span = (uint8_t)(position - plan->offset);
	if (position >= needed)
		return NULL;
	if (is_call(&insn))
		return "a call at the entry would return into the jump";
	if (needed > size + padding)
		return "the function is too small for a jump, and there is too little padding behind it";
	if (!is_padding(code, size + padding, position, needed))
		return "the entry is too small for a jump: other code follows its first return or jump";
	return NULL;
}

const char *x86_64_plan_entry(const uint8_t *code, size_t size, size_t padding, struct entry_plan *plan)
{
	struct entry_plan trial = { .jump = X86_64_JUMP_SIZE };
	struct displaced this;
	const char *why;

	/* With indirect branch tracking, an indirect call must find the endbr64. */
	if (size >= sizeof(endbr64) && memcmp(code, endbr64, sizeof(endbr64)) == 0)
		trial.offset = sizeof(endbr64);
	why = measure_span(code, size, padding, &trial);
	if (why)
		return why;
	for (unsigned position = trial.offset; position < trial.offset + trial.span; position += this.insn.length) {
		why = next_displaced(code, &trial, 0, position, &this);
		if (why)
			return why;
	}
	*plan = trial;
	return NULL;
}

/* Where the copy is being written. */
struct writer {
	struct entry_copy *copy;
	uint64_t to;		/* address of copy->code */
	unsigned return_field;	/* offset of the displacement that must lead to return_address, or 0 */
	uint64_t return_address;
};

static const char out_of_reach[] = "what the entry refers to is out of reach of the copy";
static const char too_long[] = "the copy of the entry would be too long";

static uint8_t *append(struct writer *writer, const void *bytes, unsigned size)
{
	uint8_t *place = writer->copy->code + writer->copy->size;

	if (writer->copy->size + size > ARCH_COPY_MAX)
		return NULL;
	memcpy(place, bytes, size);
	writer->copy->size = (uint8_t)(writer->copy->size + size);
	return place;
}

/* Append an instruction; the four bytes at `field` are to lead from its end to `target`. */
static const char *append_relative(struct writer *writer, const void *bytes, unsigned size, unsigned field,
				   uint64_t target)
{
	uint8_t *place = append(writer, bytes, size);

	if (!place)
		return too_long;
	if (!x86_64_put_rel32(place + field, writer->to + writer->copy->size, target))
		return out_of_reach;
	return NULL;
}

static const char *append_jump(struct writer *writer, uint64_t target)
{
	static const uint8_t jump[X86_64_JUMP_SIZE] = { 0xe9 };

	return append_relative(writer, jump, sizeof(jump), 1, target);
}

/* push return_address, by way of a constant behind the code: one instruction, no register, no flag. */
static const char *append_push_return(struct writer *writer, uint64_t return_address)
{
	static const uint8_t push[] = { 0xff, 0x35, 0, 0, 0, 0 }; /* push disp32(%rip) */

	if (!append(writer, push, sizeof(push)))
		return too_long;
	writer->return_field = writer->copy->size - 4u;
	writer->return_address = return_address;
	return NULL;
}

/* Conditional jumps that exist with a one-byte displacement only: over a jump that goes all the way.
 *	loop 1f; jmp 2f; 1: jmp target; 2:	(none of these changes a flag; loop counts as it did) */
static const char *append_short_only(struct writer *writer, const struct displaced *this, uint64_t target)
{
	static const uint8_t skip[] = { 0xeb, X86_64_JUMP_SIZE };
	uint8_t *place = append(writer, this->code, this->insn.length);

	if (!place || !append(writer, skip, sizeof(skip)))
		return too_long;
	place[this->insn.ref[0].offset] = sizeof(skip);
	return append_jump(writer, target);
}

static const char *append_branch(struct writer *writer, const struct displaced *this, uint64_t target)
{
	uint8_t condition[6] = { 0x0f, (uint8_t)(0x80 | (this->raw.opcode & 0x0f)) };
	const struct insn_ref *ref = &this->insn.ref[0];

	switch (this->raw.mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_JMP:
		return append_jump(writer, target);
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:
		return append_short_only(writer, this, target);
	case ZYDIS_MNEMONIC_XBEGIN:
		if (ref->size != 4)
			break;
		return append_relative(writer, this->code, this->insn.length, ref->offset, target);
	default:
		/* jcc: 70+cc rel8 or 0f 80+cc rel32 */
		if (this->raw.meta.category == ZYDIS_CATEGORY_COND_BR &&
		    this->raw.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY)
			return append_relative(writer, condition, sizeof(condition), 2, target);
	}
	return "a branch of an unknown form stands in the way of the jump";
}

/* As a jump: opcode ff, with the extension 4 for 2 in the modrm byte (Intel SDM volume 2, CALL and JMP). */
static const char *append_indirect_call(struct writer *writer, const struct displaced *this)
{
	const struct insn_ref *ref = &this->insn.ref[0];
	uint8_t jump[X86_64_INSN_MAX];
	uint8_t *modrm = jump + this->raw.raw.modrm.offset;

	memcpy(jump, this->code, this->insn.length);
	*modrm = (uint8_t)((*modrm & ~0x38) | 4 << 3);
	if (ref->kind == REF_LOAD)
		return append_relative(writer, jump, this->insn.length, ref->offset, ref->target);
	return append(writer, jump, this->insn.length) ? NULL : too_long;
}

static const char *append_displaced(struct writer *writer, const struct displaced *this,
				    const struct entry_plan *plan, uint64_t from, uint64_t next)
{
	const struct insn_ref *ref = &this->insn.ref[0];
	const char *why;

	if (is_call(&this->insn)) {
		why = append_push_return(writer, next);
		if (why)
			return why;
		return this->insn.kind == INSN_CALL ? append_branch(writer, this, ref->target) :
						      append_indirect_call(writer, this);
	}
	if (ref->kind == REF_BRANCH) {
		bool to_entry = ref->target == from || ref->target == from + plan->offset;

		return append_branch(writer, this, to_entry ? writer->to : ref->target);
	}
	if (ref->kind == REF_LOAD || ref->kind == REF_ADDRESS)
		return append_relative(writer, this->code, this->insn.length, ref->offset, ref->target);
	return append(writer, this->code, this->insn.length) ? NULL : too_long;
}

static const char *append_return_address(struct writer *writer)
{
	uint64_t place = writer->to + writer->copy->size;
	uint8_t *field = writer->copy->code + writer->return_field;

	if (!append(writer, &writer->return_address, sizeof(writer->return_address)))
		return too_long;
	return x86_64_put_rel32(field, writer->to + writer->return_field + 4, place) ? NULL : out_of_reach;
}

const char *x86_64_copy_entry(const uint8_t *code, const struct entry_plan *plan, uint64_t from, uint64_t to,
			      struct entry_copy *copy)
{
	struct writer writer = { .copy = copy, .to = to };
	struct displaced this = { .insn.kind = INSN_OTHER };
	unsigned end = plan->offset + plan->span;
	const char *why;

	if (plan->span == 0 || plan->span > ARCH_ENTRY_MAX)
		return too_long;
	copy->size = 0;
	memset(copy->at, 0xff, sizeof(copy->at));
	for (unsigned position = plan->offset; position < end; position += this.insn.length) {
		why = next_displaced(code, plan, from, position, &this);
		if (why)
			return why;
		copy->at[position - plan->offset] = copy->size;
		why = append_displaced(&writer, &this, plan, from, from + position + this.insn.length);
		if (why)
			return why;
	}
	if (writer.return_field)
		return append_return_address(&writer);
	if (leaves(&this.insn))
		return NULL;
	copy->at[plan->span] = copy->size;
	return append_jump(&writer, from + end);
}
