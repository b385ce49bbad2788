/*
 * escape.c: do addresses of a table get out of the function that takes them?
 *
 * A table of which no other code ever sees an address has no identity: it can be the slice's own. So registers are followed through the function's code,
 * from each reference to the table on, along all jumps. They may be computed with, loaded from, and compared with each other. All else
 * lets them out: a store, a call while one is in a register that the callee may read, a comparison with what is not known to be an address of
 * the same table, by whatever way the code got there.
 */
#include "diff/escape.h"

#include <stdlib.h>
#include <string.h>

#include "base/search.h"

/* An instruction, and what registers hold before it. */
struct step {
	uint64_t address;
	const uint8_t *code;
	struct insn insn;
	bool handlers;		/* its unwind data has some: a call may go on there */
	enum own_address own;	/* whether it has an address of the table in itself */
	bool reached;		/* by a way that `held` is about */
	struct held held;
};

struct escape {
	const struct program *program;
	const struct function *function;
	struct range span;
	ARRAY(struct step) steps;	/* sorted by address */
	ARRAY(size_t) waiting;		/* steps from which on what is held has changed */
	bool jumps, targets;		/* there are computed jumps, and places that they may lead to */
	bool judging;			/* what registers hold is known of all steps */
	enum fate fate;			/* the worst that was seen */
	bool hidden;			/* there are ways in the code that are not seen: none of them begins while an address is held, but nothing is certain
					 * where they end */
};

static int compare_steps(const void *one, const void *other)
{
	const struct step *a = one, *b = other;

	return (a->address > b->address) - (a->address < b->address);
}

static bool leads_inside(const struct escape *escape, uint64_t address)
{
	const struct code_range *range = program_range(escape->program, address);

	return range && &escape->program->functions.item[range->function] == escape->function;
}

/* Is it a table of distances to places in the function (gcc, clang and rustc with -fPIC)? */
static bool is_jump_table(const struct escape *escape, const struct code_ref *ref)
{
	const uint8_t *entry = ref->kind == REF_ADDRESS ? image_bytes(escape->program->image, ref->target, 4) : NULL;

	return entry && leads_inside(escape, ref->target + (uint64_t)(int64_t)(int32_t)load32(entry));
}

/* May a computed jump in the part lead to where it is in the function? If nothing says where to, it is a call of another one. */
static bool has_targets(const struct escape *escape, const struct code_range *range)
{
	const struct program *program = escape->program;
	size_t next = program->inner_targets.count ? search_address(program->inner_targets.item, program->inner_targets.count,
								     sizeof(*program->inner_targets.item), range->span.start) : 0;

	if (next < program->inner_targets.count && range_holds(range->span, program->inner_targets.item[next]))
		return true;
	for (uint32_t i = 0; i < range->ref_count; i++)
		if (is_jump_table(escape, &program->refs.item[range->first_ref + i]))
			return true;
	return false;
}

/* Where the instruction has an address of the table. (What is only loaded from is none that goes anywhere.) */
static enum own_address own_address(const struct escape *escape, const struct step *step, const struct code_ref *ref)
{
	uint64_t address = ref->target + (uint64_t)ref->offset;

	if ((ref->kind != REF_ADDRESS && ref->kind != REF_ABSOLUTE) || address < escape->span.start || address > escape->span.end)
		return OWN_NONE;
	return step->insn.immediate.size && ref->where == step->address + step->insn.immediate.offset ? OWN_IMMEDIATE : OWN_DISPLACEMENT;
}

/* False: its code is not all known. */
static bool read_part(struct escape *escape, const struct code_range *range)
{
	const uint8_t *code = program_code(escape->program, range);
	const struct code_ref *ref = &escape->program->refs.item[range->first_ref], *end = ref + range->ref_count;
	struct step step = { .handlers = range->handlers };

	for (step.address = range->span.start; step.address < range->span.end; step.address += step.insn.length) {
		step.code = code + (step.address - range->span.start);
		if (!escape->program->image->arch->decode(step.code, range->span.end - step.address, step.address, &step.insn))
			return false;
		for (step.own = OWN_NONE; ref < end && ref->insn == step.address; ref++)
			if (step.own == OWN_NONE)
				step.own = own_address(escape, &step, ref);
		escape->jumps |= step.insn.kind == INSN_JUMP_INDIRECT;
		*array_add(&escape->steps) = step;
	}
	escape->hidden |= range->handlers;
	escape->targets |= has_targets(escape, range);
	return range->decoded;
}

static bool read_code(struct escape *escape)
{
	escape->hidden = escape->function->more_entries;
	for (size_t i = 0; i < escape->function->parts.count; i++)
		if (!read_part(escape, &escape->program->ranges.item[escape->function->parts.item[i]]))
			return false;
	escape->hidden |= escape->jumps && escape->targets;
	if (escape->function->parts.count > 1)
		qsort(escape->steps.item, escape->steps.count, sizeof(*escape->steps.item), compare_steps);
	return true;
}

/* Of the function's, or NULL. */
static struct step *step_at(struct escape *escape, uint64_t address)
{
	size_t index = array_search(&escape->steps, address, address);

	return index < escape->steps.count && escape->steps.item[index].address == address ? &escape->steps.item[index] : NULL;
}

/* The one that stands behind it, or NULL. */
static struct step *step_behind(struct escape *escape, const struct step *step)
{
	size_t next = (size_t)(step - escape->steps.item) + 1;

	return next < escape->steps.count && escape->steps.item[next].address == step->address + step->insn.length ? &escape->steps.item[next] : NULL;
}

/* A way leads to the step with that much held: what certainly is held is so by all ways. */
static void arrive(struct escape *escape, struct step *step, struct held held)
{
	struct held before = step->held;

	step->held.may |= held.may;
	step->held.seen |= held.seen;
	step->held.must = step->reached ? step->held.must & held.must : held.must;
	if (!step->reached || before.may != step->held.may || before.seen != step->held.seen || before.must != step->held.must)
		*array_add(&escape->waiting) = (size_t)(step - escape->steps.item);
	step->reached = true;
}

static void note(struct escape *escape, enum fate fate)
{
	if (escape->judging && fate > escape->fate)
		escape->fate = fate;
}

/* Control leaves the function, or goes where nobody sees it. Callers get back the registers that are not clobbered as they were. */
static void leave(struct escape *escape, const struct step *step, struct held held)
{
	const struct arch *arch = escape->program->image->arch;

	if (held.may & (step->insn.kind == INSN_RETURN ? arch->results | ~arch->call_clobbers : UINT64_MAX))
		note(escape, FATE_OUT);
}

/* What a function that got an address returns may be one (strchr(text, c) - text). */
static void call(struct escape *escape, const struct step *step, struct held *held)
{
	const struct arch *arch = escape->program->image->arch;
	bool passed = held->may & arch->call_clobbers;

	if (passed || (held->may && step->handlers))
		note(escape, FATE_OUT);
	held->may = (held->may & ~arch->call_clobbers) | (passed ? arch->results : 0);
	held->seen &= ~arch->call_clobbers;
	held->must &= ~arch->call_clobbers;
}

/* The call of a function of the C or C++ library that never comes back. What stands behind is reached from elsewhere, if at all. */
static bool is_last_call(const struct escape *escape, const struct step *step)
{
	static const char *const names[] = { "__stack_chk_fail", "abort", "exit", "_exit", "__assert_fail", "__chk_fail", "longjmp", "__longjmp_chk",
					     "_Unwind_Resume", "__cxa_throw", "__cxa_rethrow", "_ZSt9terminatev" };
	const struct relocation *stub = step->insn.kind == INSN_CALL ? program_stub(escape->program, step->insn.ref[0].target) : NULL;

	for (size_t i = 0; stub && stub->symbol && i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(stub->symbol, names[i]) == 0)
			return true;
	return false;
}

static void go_to(struct escape *escape, const struct step *from, uint64_t address, struct held held)
{
	struct step *step = step_at(escape, address);

	if (step)
		arrive(escape, step, held);
	else
		leave(escape, from, held);
}

/* Go on behind one instruction, by all ways. */
static void go_on(struct escape *escape, const struct step *step)
{
	struct held held = step->held;
	struct step *behind = step_behind(escape, step);

	if (held.may || step->own != OWN_NONE)
		note(escape, escape->program->image->arch->follow_address(step->code, step->insn.length, step->own, &held));
	if (escape->hidden)
		held.must = 0;
	switch (step->insn.kind) {
	case INSN_JUMP_CONDITIONAL:
		go_to(escape, step, step->insn.ref[0].target, held);
		break;
	case INSN_JUMP:
		go_to(escape, step, step->insn.ref[0].target, held);
		return;
	case INSN_CALL:
	case INSN_CALL_INDIRECT:
		call(escape, step, &held);
		break;
	case INSN_RETURN:
	case INSN_JUMP_INDIRECT:
		leave(escape, step, held);
		return;
	case INSN_STOP:
		return;
	default:
		break;
	}
	if (behind && !is_last_call(escape, step))
		arrive(escape, behind, held);
}

static void follow(struct escape *escape)
{
	/* The function's entry, and, where it is not seen how the code gets there, wherever an address is taken. */
	for (size_t i = 0; i < escape->steps.count; i++)
		if (escape->steps.item[i].address == escape->function->entry || (escape->hidden && escape->steps.item[i].own != OWN_NONE))
			arrive(escape, &escape->steps.item[i], (struct held){ 0 });
	while (escape->waiting.count) {
		size_t next = escape->waiting.item[--escape->waiting.count];

		go_on(escape, &escape->steps.item[next]);
	}
}

/* (What is held grows while it is followed: two that are compared may both be found to be of the table one after the other.) */
static void judge(struct escape *escape)
{
	escape->judging = true;
	for (size_t i = 0; i < escape->steps.count; i++)
		if (escape->steps.item[i].reached)
			go_on(escape, &escape->steps.item[i]);
}

enum fate escape_of(const struct program *program, uint32_t function, struct range span)
{
	struct escape escape = { .program = program, .function = &program->functions.item[function], .span = span };

	if (read_code(&escape)) {
		follow(&escape);
		judge(&escape);
	} else {
		escape.fate = FATE_OUT;
	}
	array_free(&escape.steps);
	array_free(&escape.waiting);
	return escape.fate;
}
