#include "unwind/row_compile.h"

#include "image/dwarf_bytes.h"
#include "arch/frame.h"

#define WORD 8

static const char *const reason_text[REASON_COUNT] = {
	[REASON_NONE] = "no reason",
	[REASON_DISPUTED] = "more than one unwind rule claims this code",
	[REASON_PROGRAM] = "its unwind data is damaged, or of a kind that is not known",
	[REASON_NO_CFA] = "no rule for the CFA",
	[REASON_CFA_REGISTER] = "the CFA depends on a register or offset that is out of range",
	[REASON_CFA_EXPRESSION] = "the CFA is an expression that is not known",
	[REASON_RETURN_RULE] = "the rule for the return address is not known",
	[REASON_SAVED_RULE] = "a rule for a saved register is not known",
	[REASON_STACK_RULE] = "the rule for the stack pointer is not known",
	[REASON_NOT_REACHED] = "no path to this code was found",
	[REASON_STACK_POINTER] = "the stack pointer moves by an unknown amount",
	[REASON_FRAME] = "the register that the CFA is counted from has an unknown value",
	[REASON_SAVES] = "where a register was saved is not known",
	[REASON_INDIRECT_JUMP] = "an indirect jump whose targets are not known may lead here",
	[REASON_UNDECODED] = "not all of its bytes could be decoded",
	[REASON_BEHIND] = "it is reached through code whose unwind data is contradicted",
	[REASON_UNCERTAIN_PATH] = "it may be reached with another frame, on a path that is not certain",
	[REASON_ENTRY] = "it claims to be the entry of a thread",
	[REASON_SIGNAL_CODE] = "it claims a signal frame and does not return from one",
	[REASON_TOO_LARGE] = "the function is too large or too tangled",
};

const char *row_reason_text(enum row_reason reason)
{
	return reason < REASON_COUNT ? reason_text[reason] : reason_text[REASON_NONE];
}

static struct row unreliable(enum row_reason reason)
{
	return (struct row){ .kind = ROW_UNRELIABLE, .reason = (uint8_t)reason };
}

/* DWARF 5, 7.7.1: DW_OP_breg0 + n, a signed offset, and then exactly these operators. */
static bool is_register_offset(const struct cfi_rule *rule, uint64_t *number, int64_t *offset, const uint8_t *rest,
			       size_t rest_size)
{
	struct dwarf_cursor bytes = { rule->expression, rule->expression + rule->expression_size, false };
	uint8_t operator = dwarf_read8(&bytes);

	if (operator < 0x70 || operator > 0x8f)
		return false;
	*number = operator - 0x70;
	*offset = dwarf_read_sleb(&bytes);
	return !bytes.bad && dwarf_left(&bytes) == rest_size && (!rest_size || !memcmp(bytes.at, rest, rest_size));
}

#define OP_DEREF 0x06

/* The linker's rule (binutils, bfd/elfxx-x86: PLT .eh_frame): DW_OP_breg7 8, breg16 0, lit15, and,
 * litN, ge, lit3, shl, plus. N is where the stub's push ends: 11, or 9 to 10 for newer kinds of stub. */
static bool is_stub_rule(const struct cfi_rule *rule, uint8_t *threshold)
{
	static const uint8_t rule_bytes[] = { 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x30, 0x2a, 0x33, 0x24, 0x22 };
	enum { THRESHOLD = 6 };

	if (rule->expression_size != sizeof(rule_bytes) || memcmp(rule->expression, rule_bytes, THRESHOLD) != 0 ||
	    memcmp(rule->expression + THRESHOLD + 1, rule_bytes + THRESHOLD + 1, sizeof(rule_bytes) - THRESHOLD - 1) != 0)
		return false;
	*threshold = (uint8_t)(rule->expression[THRESHOLD] - 0x30);
	return *threshold > 0 && *threshold < 16;
}

/* glibc's __restore_rt (sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c): each register is at its place
 * in the sigcontext, which the stack pointer leads to, and the CFA is the stack pointer there. */
static bool is_signal_frame(const struct cfi_row *from, int32_t *context)
{
	static const uint8_t deref = OP_DEREF;
	uint64_t number;
	int64_t offset, start;

	if (from->cfa.kind != RULE_EXPRESSION || !is_register_offset(&from->cfa, &number, &start, &deref, 1) ||
	    number != REGISTER_STACK_POINTER || start < 0 || start > INT16_MAX)
		return false;
	start -= frame_signal_slot[REGISTER_STACK_POINTER];
	for (unsigned int i = 0; i < FRAME_ALL_REGISTERS; i++)
		if (from->rule[i].kind != RULE_EXPRESSION ||
		    !is_register_offset(&from->rule[i], &number, &offset, NULL, 0) || number != REGISTER_STACK_POINTER ||
		    offset != start + frame_signal_slot[i])
			return false;
	*context = (int32_t)start;
	return true;
}

static enum row_reason compile_cfa(const struct cfi_rule *rule, struct row *row)
{
	static const uint8_t deref = OP_DEREF;
	uint64_t number = rule->from;
	int64_t offset = rule->offset;

	if (rule->kind == RULE_UNSPECIFIED)
		return REASON_NO_CFA;
	row->kind = ROW_REGISTER;
	if (rule->kind == RULE_EXPRESSION) {
		uint8_t threshold;

		if (is_stub_rule(rule, &threshold)) {
			row->kind = ROW_STUB;
			number = REGISTER_STACK_POINTER;
			offset = threshold;
		} else if (is_register_offset(rule, &number, &offset, &deref, 1)) {
			row->kind = ROW_INDIRECT;
		} else {
			return REASON_CFA_EXPRESSION;
		}
	}
	if (number >= REGISTER_RETURN_ADDRESS || offset < INT32_MIN || offset > INT32_MAX)
		return REASON_CFA_REGISTER;
	row->base = (uint8_t)number;
	row->offset = (int32_t)offset;
	return REASON_NONE;
}

/* A distance in bytes as a word of the stack; false when it is none that a row can hold. */
static bool to_word(int64_t offset, int8_t *word)
{
	if (offset % WORD || offset < INT8_MIN * WORD || offset >= ROW_LOST * WORD)
		return false;
	*word = (int8_t)(offset / WORD);
	return true;
}

static enum row_reason compile_return(const struct cfi_rule *rule, struct row *row)
{
	switch (rule->kind) {
	case RULE_OFFSET:
		return to_word(rule->offset, &row->return_at) ? REASON_NONE : REASON_RETURN_RULE;
	case RULE_REGISTER:
		if (rule->from >= REGISTER_RETURN_ADDRESS)
			return REASON_RETURN_RULE;
		row->flags |= ROW_RETURN_IN_REGISTER;
		row->return_at = (int8_t)rule->from;
		return REASON_NONE;
	default:
		return REASON_RETURN_RULE;
	}
}

/* Saved registers are counted from the CFA or, all of them, from the frame pointer: gcc does that where
 * the stack is realigned, and the distance between the two is not known when it compiles. */
static enum row_reason compile_saved(const struct cfi_row *from, struct row *row)
{
	bool from_cfa = false;

	for (unsigned int i = 0; i < FRAME_SAVED; i++) {
		const struct cfi_rule *rule = &from->rule[frame_saved_register[i]];
		uint64_t number;
		int64_t offset;

		switch (rule->kind) {
		case RULE_UNSPECIFIED:
		case RULE_SAME_VALUE:
			row->saved[i] = ROW_SAME;
			break;
		case RULE_UNDEFINED:
			row->saved[i] = ROW_LOST;
			break;
		case RULE_OFFSET:
			from_cfa = true;
			if (!to_word(rule->offset, &row->saved[i]))
				return REASON_SAVED_RULE;
			break;
		case RULE_EXPRESSION:
			row->flags |= ROW_SAVED_AT_FRAME;
			if (!is_register_offset(rule, &number, &offset, NULL, 0) || number != REGISTER_FRAME_POINTER ||
			    !to_word(offset, &row->saved[i]))
				return REASON_SAVED_RULE;
			break;
		default:
			return REASON_SAVED_RULE;
		}
	}
	return from_cfa && (row->flags & ROW_SAVED_AT_FRAME) ? REASON_SAVED_RULE : REASON_NONE;
}

struct row row_compile(const struct cfi_row *from, bool signal_frame)
{
	const struct cfi_rule *stack = &from->rule[REGISTER_STACK_POINTER];
	struct row row = { 0 };
	enum row_reason reason;

	if (from->rule[REGISTER_RETURN_ADDRESS].kind == RULE_UNDEFINED)
		return (struct row){ .kind = ROW_END };
	if (signal_frame && is_signal_frame(from, &row.offset)) {
		row.kind = ROW_SIGNAL;
		row.base = REGISTER_STACK_POINTER;
		return row;
	}
	/* A signal frame gives every register back, and interrupts its caller anywhere: no other row can
	 * say that. */
	if (signal_frame)
		return unreliable(REASON_SAVED_RULE);
	if (stack->kind != RULE_UNSPECIFIED && (stack->kind != RULE_VAL_OFFSET || stack->offset != 0))
		return unreliable(REASON_STACK_RULE);
	reason = compile_cfa(&from->cfa, &row);
	if (!reason)
		reason = compile_return(&from->rule[REGISTER_RETURN_ADDRESS], &row);
	if (!reason)
		reason = compile_saved(from, &row);
	return reason ? unreliable(reason) : row;
}

bool row_same(const struct row *one, const struct row *other)
{
	return one->kind == other->kind && one->offset == other->offset && one->base == other->base &&
	       (one->flags & ~ROW_STARTS_FDE) == (other->flags & ~ROW_STARTS_FDE) && one->reason == other->reason &&
	       one->return_at == other->return_at && !memcmp(one->saved, other->saved, sizeof(one->saved));
}
