/*
 * The instructions of the entry, and those of its copy, are executed side by side, each from the frame that a call leaves. A copy has its
 * original's instructions in their order, each as it was or as one and some jumps behind it; a call is a push of the return address
 * and a jump. Jumps change no frame, so one pass from start to end meets every state that there is.
 */
#include "unwind/alternatives.h"

#include "unwind/frame_state.h"

#define NOT_COPIED 0xff		/* struct entry_copy, at[] */

struct side {
	struct frame_state state;	/* before the instruction at `reached` */
	struct insn_effect last;	/* the one before that */
	unsigned int reached;
};

/* Execute one instruction. What a branch or a call leads to is not looked at. */
static bool side_step(struct side *side, const struct arch *arch, const uint8_t *code, unsigned int size, uint64_t address)
{
	if (side->reached >= size ||
	    !arch->effect(code + side->reached, size - side->reached, address + side->reached, &side->last))
		return false;
	if (side->last.insn == INSN_OTHER || side->last.insn == INSN_JUMP_CONDITIONAL)
		frame_state_apply(&side->state, &side->last, 0, 1);
	side->reached += side->last.length;
	return true;
}

static bool step_original(struct side *side, const struct alternatives *all)
{
	return side_step(side, all->arch, all->code + all->plan->offset, all->plan->span, all->entry + all->plan->offset);
}

static bool step_copy(struct side *side, const struct alternatives *all)
{
	return side_step(side, all->arch, all->copy->code, all->copy->size, all->at);
}

/* All that stands for one instruction, up to what stands at `end`. */
static bool advance_copy(struct side *side, const struct alternatives *all, unsigned int end)
{
	if (end == NOT_COPIED || !step_copy(side, all))
		return false;
	while (side->reached < end)
		if (!step_copy(side, all) || side->last.insn != INSN_JUMP)
			return false;
	return side->reached == end;
}

static bool states_differ(const struct frame_state *one, const struct frame_state *other)
{
	struct frame_state merged;

	frame_state_copy(&merged, one);
	return frame_state_merge(&merged, other, false) || one->slots != other->slots;
}

/* What is known so far, and why it is no better. */
struct comparison {
	enum alternatives_verdict verdict;
	const char *why;
};

static void note(struct comparison *comparison, enum alternatives_verdict verdict, const char *why)
{
	if (verdict > comparison->verdict)
		*comparison = (struct comparison){ verdict, why };
}

/* The row of an instruction of the image that is about to be executed in this state. */
static void compare_row(struct comparison *comparison, const struct alternatives *all, const struct side *original)
{
	uint64_t address = all->entry + all->plan->offset + original->reached - all->rows_bias;
	const struct row *row = all->rows ? rows_find(all->rows, address) : NULL;

	if (!row || row->kind == ROW_NONE)
		note(comparison, ALTERNATIVES_UNPROVEN, "there is no unwind data for its entry, or behind it");
	else if (row->verdict != ROW_EXACT)
		note(comparison, ALTERNATIVES_UNPROVEN, "the unwind data of its entry is not exact");
	else if (row->kind == ROW_END || row->kind == ROW_SIGNAL ||
		 claim_check(&original->state, row, address).verdict != CLAIM_HOLDS)
		note(comparison, ALTERNATIVES_CONFLICT, "its entry has another frame than a call leaves");
}

/* The copy of a call: the push of what it would push, and a jump. */
static bool ends_as_call(const struct side *original, struct side *copy, const struct alternatives *all)
{
	struct frame_state called;

	frame_state_copy(&called, &original->state);
	frame_state_push(&called);
	return step_copy(copy, all) && copy->last.kind == EFFECT_PUSH && !states_differ(&called, &copy->state) &&
	       step_copy(copy, all) && (copy->last.insn == INSN_JUMP || copy->last.insn == INSN_JUMP_INDIRECT);
}

/* The last displaced instruction has been executed. Is the end of the copy as it should be? */
static bool ends_alike(const struct side *original, struct side *copy, const struct alternatives *all, struct comparison *comparison)
{
	switch (original->last.insn) {
	case INSN_CALL:
	case INSN_CALL_INDIRECT:
		return ends_as_call(original, copy, all);
	case INSN_JUMP:
	case INSN_JUMP_INDIRECT:
	case INSN_RETURN:
	case INSN_STOP:
		return step_copy(copy, all) && copy->last.insn == original->last.insn;
	default:
		compare_row(comparison, all, original);
		return advance_copy(copy, all, all->copy->at[all->plan->span]) && !states_differ(&original->state, &copy->state) &&
		       step_copy(copy, all) && copy->last.insn == INSN_JUMP &&
		       copy->last.address == all->entry + all->plan->offset + all->plan->span;
	}
}

/* False: the copy is no such thing. */
static bool compare_copy(const struct alternatives *all, struct comparison *comparison)
{
	struct side original = { .reached = 0 }, copy = { .reached = 0 };

	frame_state_enter(&original.state);
	frame_state_enter(&copy.state);
	if (all->copy->at[0] != 0)
		return false;
	for (;;) {
		if (states_differ(&original.state, &copy.state))
			return false;
		compare_row(comparison, all, &original);
		if (!step_original(&original, all))
			return false;
		if (original.reached >= all->plan->span)
			return ends_alike(&original, &copy, all, comparison);
		if (!advance_copy(&copy, all, all->copy->at[original.reached]))
			return false;
	}
}

enum alternatives_verdict alternatives_compare(const struct alternatives *alternatives, const char **why)
{
	struct comparison comparison = { .verdict = ALTERNATIVES_AGREE };

	if (!compare_copy(alternatives, &comparison))
		comparison = (struct comparison){ ALTERNATIVES_CONFLICT, "the copy of its entry has another frame than the entry" };
	*why = comparison.why;
	return comparison.verdict;
}
