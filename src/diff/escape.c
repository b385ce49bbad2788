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

#include "base/search.h"

/* An instruction, and what registers hold before it. */
struct step {
	uint64_t address;
	const uint8_t *code;
	struct insn insn;
	bool handlers;		/* its unwind data has some: a call may go on there */
	uint64_t takes;		/* the register that it puts an address of the table into, or 0 */
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

static bool is_of_table(const struct escape *escape, const struct code_ref *ref)
{
	uint64_t address = ref->target + (uint64_t)ref->offset;

	return ref->kind == REF_ADDRESS && address >= escape->span.start && address <= escape->span.end;
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
		for (step.takes = 0; ref < end && ref->insn == step.address; ref++)
			if (is_of_table(escape, ref))
				step.takes = step.insn.clobbers;
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
	qsort(escape->steps.item, escape->steps.count, sizeof(*escape->steps.item), compare_steps);
	return true;
}

/* Of the function's, or NULL. */
static struct step *step_at(struct escape *escape, uint64_t address)
{
	size_t index = array_search(&escape->steps, address, address);

	return index < escape->steps.count && escape->steps.item[index].address == address ? &escape->steps.item[index] : NULL;
}

/* A way leads to the step with that much held: what certainly is held is so by all ways. */
static void arrive(struct escape *escape, struct step *step, struct held held)
{
	struct held before = step->held;

	step->held.may |= held.may;
	step->held.must = step->reached ? step->held.must & held.must : held.must;
	if (!step->reached || before.may != step->held.may || before.must != step->held.must)
		*array_add(&escape->waiting) = (size_t)(step - escape->steps.item);
	step->reached = true;
}

/* Where control leaves the function, or goes where nobody sees it. Callers get back the registers that are not clobbered as they were. */
static bool leaves_with(const struct escape *escape, const struct step *step, struct held held)
{
	const struct arch *arch = escape->program->image->arch;

	return step->insn.kind == INSN_RETURN ? held.may & (arch->results | ~arch->call_clobbers) : held.may;
}

static bool passes_call(const struct escape *escape, const struct step *step, struct held *held)
{
	uint64_t clobbers = escape->program->image->arch->call_clobbers;

	if ((held->may & clobbers) || (held->may && step->handlers))
		return false;
	held->must &= ~clobbers;
	return true;
}

static bool go_to(struct escape *escape, const struct step *from, uint64_t address, struct held held)
{
	struct step *step = step_at(escape, address);

	if (!step)
		return !leaves_with(escape, from, held);
	arrive(escape, step, held);
	return true;
}

/* Go on behind one instruction, by all ways. False: an address got out. */
static bool go_on(struct escape *escape, const struct step *step)
{
	uint64_t next = step->address + step->insn.length;
	struct held held = step->held;
	struct step *behind = step_at(escape, next);

	if (!escape->program->image->arch->follow_address(step->code, step->insn.length, &held))
		return false;
	held.may |= step->takes;
	held.must |= escape->hidden ? 0 : step->takes;
	switch (step->insn.kind) {
	case INSN_JUMP_CONDITIONAL:
		if (!go_to(escape, step, step->insn.ref[0].target, held))
			return false;
		break;
	case INSN_JUMP:
		return go_to(escape, step, step->insn.ref[0].target, held);
	case INSN_CALL:
	case INSN_CALL_INDIRECT:
		if (!passes_call(escape, step, &held))
			return false;
		break;
	case INSN_RETURN:
	case INSN_JUMP_INDIRECT:
		return !leaves_with(escape, step, held);
	case INSN_STOP:
		return true;
	default:
		break;
	}
	/* (Nothing stands behind a call that does not return.) */
	if (behind)
		arrive(escape, behind, held);
	return true;
}

static bool follow(struct escape *escape)
{
	while (escape->waiting.count) {
		size_t next = escape->waiting.item[--escape->waiting.count];

		if (!go_on(escape, &escape->steps.item[next]))
			return false;
	}
	return true;
}

bool escape_is_contained(const struct program *program, uint32_t function, struct range span)
{
	struct escape escape = { .program = program, .function = &program->functions.item[function], .span = span };
	bool contained = read_code(&escape);

	/* The function's entry, and, where it is not seen how the code gets there, wherever an address is taken. */
	for (size_t i = 0; contained && i < escape.steps.count; i++)
		if (escape.steps.item[i].address == escape.function->entry || (escape.hidden && escape.steps.item[i].takes))
			arrive(&escape, &escape.steps.item[i], (struct held){ 0 });
	contained = contained && follow(&escape);
	array_free(&escape.steps);
	array_free(&escape.waiting);
	return contained;
}
