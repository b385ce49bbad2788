/* claim.c: compare what a row claims with what is known. */
#include <inttypes.h>
#include <stdio.h>

#include "unwind/frame_state.h"
#include "unwind/validate.h"

#define WORD 8

static struct claim_result unverifiable(enum row_reason reason)
{
	return (struct claim_result){ .verdict = CLAIM_UNVERIFIABLE, .reason = (uint8_t)reason };
}

static struct claim_result contradicted(unsigned int subject)
{
	return (struct claim_result){ .verdict = CLAIM_CONTRADICTED, .subject = (uint8_t)subject };
}

static bool is_caller(struct value value, unsigned int number)
{
	return value.kind == VALUE_CALLER && value.number == number;
}

static bool is_vague(struct value value)
{
	return value.kind == VALUE_UNKNOWN || value.kind == VALUE_DERIVED;
}

static int32_t cfa_offset(const struct row *row, uint64_t address)
{
	if (row->kind == ROW_STUB)
		return (int64_t)(address % 16) >= row->offset ? 2 * WORD : WORD;
	return row->offset;
}

/* Is the value, plus the offset, the CFA? */
static struct claim_result check_is_cfa(struct value value, int32_t offset, uint8_t base)
{
	switch (value.kind) {
	case VALUE_STACK:
		if (value.number == BASE_CFA)
			return (int64_t)value.offset + offset == 0 ? (struct claim_result){ 0 } : contradicted(SUBJECT_CFA);
		return unverifiable(REASON_FRAME);
	case VALUE_CALLER:
		if (base != REGISTER_STACK_POINTER)
			return contradicted(SUBJECT_CFA);
		break;
	default:
		break;
	}
	/* Arithmetic may have led to the CFA, and switches of stacks load the stack pointer with anything. */
	return unverifiable(base == REGISTER_STACK_POINTER ? REASON_STACK_POINTER : REASON_FRAME);
}

/* Does the stack pointer itself, which was never in memory, lead to the CFA? Then what memory says of that is only a copy. */
static bool has_way_back(const struct frame_state *state)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER];

	return sp.kind == VALUE_STACK && sp.number == BASE_CFA && !sp.loaded;
}

static struct claim_result check_cfa(const struct frame_state *state, const struct row *row, uint64_t address)
{
	struct value base = state->reg[row->base];
	int32_t offset = cfa_offset(row, address), slot;

	if (row->kind != ROW_INDIRECT) {
		if (base.kind == VALUE_STACK && base.loaded && has_way_back(state))
			return unverifiable(REASON_FRAME);
		return check_is_cfa(base, offset, row->base);
	}
	if (is_vague(base))
		return unverifiable(REASON_FRAME);
	if (base.kind != VALUE_STACK || __builtin_add_overflow(base.offset, offset, &slot))
		return contradicted(SUBJECT_CFA);
	if (has_way_back(state))
		return unverifiable(REASON_FRAME);
	return check_is_cfa(frame_state_load(state, base.number, slot), 0, row->base);
}

/* Does the word of the stack hold the caller's value of the register? */
static struct claim_result check_slot(const struct frame_state *state, uint32_t base, int32_t offset, unsigned int number)
{
	struct value value = frame_state_load(state, base, offset);

	if (is_caller(value, number))
		return (struct claim_result){ 0 };
	return is_vague(value) && state->lossy ? unverifiable(REASON_SAVES) : contradicted(number);
}

static struct claim_result check_register(const struct frame_state *state, unsigned int holder, unsigned int number)
{
	if (is_caller(state->reg[holder], number))
		return (struct claim_result){ 0 };
	return is_vague(state->reg[holder]) ? unverifiable(REASON_SAVES) : contradicted(number);
}

static struct claim_result check_saved(const struct frame_state *state, const struct row *row, unsigned int index)
{
	struct value frame = state->reg[REGISTER_FRAME_POINTER];
	uint8_t number = frame_saved_register[index];
	int32_t distance = row->saved[index] * WORD;

	if (row->saved[index] == ROW_LOST)
		return (struct claim_result){ 0 };
	if (row->saved[index] == ROW_SAME)
		return check_register(state, number, number);
	if (!(row->flags & ROW_SAVED_AT_FRAME))
		return check_slot(state, BASE_CFA, distance, number);
	/* gcc leaves the rule in place behind the pop of the frame pointer. */
	if (frame.kind != VALUE_STACK)
		return unverifiable(REASON_SAVES);
	return check_slot(state, frame.number, frame.offset + distance, number);
}

/* Is the caller's value of the register in the place of the row? */
static bool is_saved(const struct frame_state *state, const struct row *row, unsigned int index)
{
	uint8_t number = frame_saved_register[index];

	if (row->saved[index] == ROW_SAME)
		return is_caller(state->reg[number], number);
	return row->saved[index] != ROW_LOST && is_caller(frame_state_load(state, BASE_CFA, row->saved[index] * WORD), number);
}

/* All of the claim holds, as it mostly does, and in the way it mostly does: the frame is counted from the CFA, which is where the base
 * leads, and registers are where they were, or were pushed. */
static bool plainly_holds(const struct frame_state *state, const struct row *row)
{
	struct value base;

	if (row->kind != ROW_REGISTER || row->flags & (ROW_SAVED_AT_FRAME | ROW_RETURN_IN_REGISTER))
		return false;
	base = state->reg[row->base];
	if (base.kind != VALUE_STACK || base.number != BASE_CFA || base.loaded || (int64_t)base.offset + row->offset != 0 ||
	    !is_caller(frame_state_load(state, BASE_CFA, row->return_at * WORD), REGISTER_RETURN_ADDRESS))
		return false;
	for (unsigned int i = 0; i < FRAME_SAVED; i++)
		if (!is_saved(state, row, i))
			return false;
	return true;
}

struct claim_result claim_check(const struct frame_state *state, const struct row *row, uint64_t address)
{
	struct claim_result result, worst = { 0 };

	if (plainly_holds(state, row) || (row->kind != ROW_REGISTER && row->kind != ROW_INDIRECT && row->kind != ROW_STUB))
		return worst;
	worst = check_cfa(state, row, address);
	if (worst.verdict != CLAIM_HOLDS)
		return worst;
	if (row->flags & ROW_RETURN_IN_REGISTER)
		worst = check_register(state, (uint8_t)row->return_at % FRAME_REGISTERS, REGISTER_RETURN_ADDRESS);
	else
		worst = check_slot(state, BASE_CFA, row->return_at * WORD, REGISTER_RETURN_ADDRESS);
	for (unsigned int i = 0; i < FRAME_SAVED && worst.verdict != CLAIM_CONTRADICTED; i++) {
		result = check_saved(state, row, i);
		if (result.verdict > worst.verdict)
			worst = result;
	}
	return worst;
}

/* Where the row says that the register was saved, of a claim that holds. */
static bool is_named_place(const struct frame_state *state, const struct row *row, uint8_t number, const struct frame_slot *slot)
{
	struct value frame = state->reg[REGISTER_FRAME_POINTER];
	int32_t distance = row->saved[frame_saved_index[number]] * WORD;

	if (row->flags & ROW_SAVED_AT_FRAME)
		return frame_slot_is_at(slot, frame.number, frame.offset + distance);
	return frame_slot_is_at(slot, BASE_CFA, distance);
}

/* `saved`: registers of frame_saved_register[], as bits, that the row names places of. */
static void settle_slots(struct frame_state *state, const struct row *row, uint32_t saved)
{
	for (unsigned int i = 0; i < state->slots; i++) {
		struct frame_slot *slot = &state->slot[i];

		if (slot->value.kind != VALUE_CALLER || !(saved >> slot->value.number & 1) ||
		    is_named_place(state, row, slot->value.number, slot))
			continue;
		slot->value = (struct value){ .kind = VALUE_UNKNOWN, .number = VALUE_STALE };
		state->lossy = true;
	}
}

void claim_settle(struct frame_state *state, const struct row *row, uint32_t registers)
{
	uint32_t saved = 0;

	if ((row->kind != ROW_REGISTER && row->kind != ROW_INDIRECT) || !(registers & (FRAME_CALLER_WRITTEN | FRAME_SLOTS_WRITTEN)))
		return;
	for (unsigned int i = 0; i < FRAME_SAVED; i++) {
		uint8_t number = frame_saved_register[i];

		if (row->saved[i] != ROW_SAME && row->saved[i] != ROW_LOST)
			saved |= UINT32_C(1) << number;
		else if (row->saved[i] == ROW_SAME && state->reg[number].kind == VALUE_CALLER)
			state->reg[number].loaded = false;
	}
	if (!saved)
		return;
	settle_slots(state, row, saved);
	frame_state_settle(state, saved, registers);
}

static void describe_cfa(const struct frame_state *state, const struct row *row, uint64_t address, struct contradiction *out)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER], base = state->reg[row->base];
	const char *name = frame_register_name[row->base];

	snprintf(out->claimed, sizeof(out->claimed), row->kind == ROW_INDIRECT ? "*(%s%+" PRId32 ")" : "%s%+" PRId32, name,
		 cfa_offset(row, address));
	if (base.kind == VALUE_STACK && base.number == BASE_CFA && row->kind != ROW_INDIRECT)
		snprintf(out->computed, sizeof(out->computed), "%s%+" PRId64, name, -(int64_t)base.offset);
	else if (sp.kind == VALUE_STACK && sp.number == BASE_CFA)
		snprintf(out->computed, sizeof(out->computed), "%s%+" PRId64, frame_register_name[REGISTER_STACK_POINTER],
			 -(int64_t)sp.offset);
	else
		snprintf(out->computed, sizeof(out->computed), "not that");
}

/* Where the caller's value of the register is. */
static void describe_place(const struct frame_state *state, uint8_t number, char *out, size_t room)
{
	for (unsigned int i = 0; i < state->slots; i++)
		if (is_caller(state->slot[i].value, number)) {
			snprintf(out, room, "at %s%+" PRId32, state->slot[i].base == BASE_CFA ? "CFA" : "the aligned stack",
				 state->slot[i].offset);
			return;
		}
	for (unsigned int i = 0; i < FRAME_REGISTERS; i++)
		if (is_caller(state->reg[i], number)) {
			snprintf(out, room, "in %s", frame_register_name[i]);
			return;
		}
	snprintf(out, room, "lost");
}

static void describe_saved(const struct row *row, uint8_t number, char *out, size_t room)
{
	const char *base = row->flags & ROW_SAVED_AT_FRAME ? frame_register_name[REGISTER_FRAME_POINTER] : "CFA";
	uint8_t index = frame_saved_index[number];
	int place = index < FRAME_SAVED ? row->saved[index] : row->return_at;

	if (number == REGISTER_RETURN_ADDRESS && (row->flags & ROW_RETURN_IN_REGISTER)) {
		snprintf(out, room, "in %s", frame_register_name[(uint8_t)row->return_at % FRAME_REGISTERS]);
		return;
	}
	if (number == REGISTER_RETURN_ADDRESS)
		base = "CFA";
	if (place == ROW_SAME)
		snprintf(out, room, "in %s", frame_register_name[number]);
	else
		snprintf(out, room, "at %s%+d", base, place * WORD);
}

void claim_describe(const struct frame_state *state, const struct row *row, uint64_t address, uint8_t subject,
		    struct contradiction *out)
{
	snprintf(out->subject, sizeof(out->subject), "%s", subject == SUBJECT_CFA ? "CFA" : frame_register_name[subject]);
	if (subject == SUBJECT_CFA) {
		describe_cfa(state, row, address, out);
		return;
	}
	describe_saved(row, subject, out->claimed, sizeof(out->claimed));
	describe_place(state, subject, out->computed, sizeof(out->computed));
}
