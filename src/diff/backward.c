/*
 * backward.c: code that goes back from the end of a constant.
 *
 * gcc makes a std::string of a text like this: lea end(%rip), %rdx; lea -59(%rdx), %rsi. No instruction refers to the text's start, and what
 * lies at its end is of no interest. So registers are followed from the reference on, along all jumps inside of the same range, as long as they
 * hold an address that differs from it by a number. A register that gets a value of another kind is not followed.
 *
 * Where the number has no end (a loop that counts down, a number that is not known is subtracted), it is the start of the item.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/comparison.h"

#define REGISTERS 16	/* general ones, in DWARF's numbers: insn_effect.writes has a bit for each */

/* What the registers hold at a place in the code. */
struct trace {
	bool holds[REGISTERS];
	int64_t offset[REGISTERS];	/* from the address that is referred to */
};

struct visit {
	uint64_t at;
	struct trace trace;
};

struct walk {
	const struct program *program;
	const struct code_range *range;
	const uint8_t *code;
	uint32_t *seen;			/* per byte of the range: 0, or of an instruction that was looked at, one more than its index in: */
	ARRAY(struct trace) held;	/* before an instruction, by whatever way: the lowest of each register */
	ARRAY(struct visit) waiting;	/* where conditional jumps lead */
	unsigned int falls;		/* how often a register was lower than the last time at the same place */
	int64_t lowest;			/* offset that was reached */
	bool endless;
};

#define FALLS_MAX 64	/* more: it is a loop */

static void reach(struct walk *walk, int64_t offset)
{
	if (offset < walk->lowest)
		walk->lowest = offset;
}

static bool holds(const struct trace *trace, uint8_t number)
{
	return number < REGISTERS && trace->holds[number];
}

static bool holds_any(const struct trace *trace)
{
	for (uint8_t i = 0; i < REGISTERS; i++)
		if (trace->holds[i])
			return true;
	return false;
}

static void put(struct trace *trace, uint8_t number, bool known, int64_t offset)
{
	if (number >= REGISTERS)
		return;
	trace->holds[number] = known;
	trace->offset[number] = offset;
}

/* What an instruction reaches, and leaves in the registers. A memory operand is at base + displacement; indices are taken for positive ones. */
static void follow(struct walk *walk, struct trace *trace, const uint8_t *code, const struct insn *insn, const struct insn_effect *effect)
{
	bool known = effect->kind == EFFECT_MOVE && holds(trace, effect->source);
	int64_t offset = known ? trace->offset[effect->source] + effect->offset : 0;

	if (holds(trace, effect->base))
		reach(walk, trace->offset[effect->base] + (int64_t)insn_number(code, insn->displacement));
	reach(walk, offset);
	/* (One such address less another is a number.) */
	if (effect->subtracts && holds(trace, effect->source) && !holds(trace, effect->index))
		walk->endless = true;
	if (effect->kind == EFFECT_EXCHANGE)
		put(trace, effect->source, false, 0);
	if (effect->kind != EFFECT_STORE && effect->kind != EFFECT_SPOIL)
		put(trace, effect->target, known, offset);
	for (uint8_t i = 0; i < REGISTERS; i++)
		if (effect->writes & 1u << i)
			put(trace, i, false, 0);
}

/* False: all this was known of the place. Else the visit goes on with all that is known. */
static bool arrive(struct walk *walk, struct visit *visit)
{
	uint32_t *seen = &walk->seen[visit->at - walk->range->span.start];
	bool new = !*seen;
	struct trace *held;

	if (new) {
		*array_add(&walk->held) = visit->trace;
		*seen = (uint32_t)walk->held.count;
	}
	held = &walk->held.item[*seen - 1];
	for (uint8_t i = 0; i < REGISTERS; i++) {
		if (!visit->trace.holds[i] || (held->holds[i] && held->offset[i] <= visit->trace.offset[i]))
			continue;
		walk->falls += held->holds[i];
		put(held, i, true, visit->trace.offset[i]);
		new = true;
	}
	walk->endless |= walk->falls > FALLS_MAX;
	visit->trace = *held;
	return new;
}

/* From there on until no register is left, or the code ends, or nothing new comes of it. */
static void walk_on(struct walk *walk, struct visit visit)
{
	const struct arch *arch = walk->program->image->arch;
	struct range span = walk->range->span;
	struct insn_effect effect;
	struct insn insn;

	while (range_holds(span, visit.at) && holds_any(&visit.trace) && arrive(walk, &visit) && !walk->endless) {
		const uint8_t *here = walk->code + (visit.at - span.start);

		if (!arch->decode(here, span.end - visit.at, visit.at, &insn) || !arch->effect(here, span.end - visit.at, visit.at, &effect))
			break;
		follow(walk, &visit.trace, here, &insn, &effect);
		if (insn.kind == INSN_JUMP_INDIRECT || insn.kind == INSN_RETURN || insn.kind == INSN_STOP)
			break;
		visit.at += insn.length;
		if (insn.kind == INSN_JUMP)
			visit.at = insn.ref[0].target;
		else if (insn.kind == INSN_JUMP_CONDITIONAL)
			*array_add(&walk->waiting) = (struct visit){ insn.ref[0].target, visit.trace };
	}
}

uint64_t backward_reach(const struct program *program, const struct code_ref *ref)
{
	struct walk walk = { .program = program, .range = program_range(program, ref->insn) };
	struct range span = walk.range->span;
	struct visit visit = { .at = ref->insn };
	struct insn_effect effect;

	if ((ref->kind != REF_ADDRESS && ref->kind != REF_ABSOLUTE) || !section_of_constants_before(program->image, ref->target))
		return 0;
	walk.code = program_code(program, walk.range);
	if (!program->image->arch->effect(walk.code + (visit.at - span.start), span.end - visit.at, visit.at, &effect) ||
	    effect.kind != EFFECT_ADDRESS)
		return 0;
	walk.seen = memory_zeroed(span.end - span.start, sizeof(*walk.seen));
	put(&visit.trace, effect.target, true, 0);
	visit.at += effect.length;
	walk_on(&walk, visit);
	while (walk.waiting.count) {
		visit = walk.waiting.item[--walk.waiting.count];
		walk_on(&walk, visit);
	}
	array_free(&walk.held);
	array_free(&walk.waiting);
	free(walk.seen);
	if (walk.endless && ref->offset > 0)	/* all of the item is behind the target */
		return 0;
	if (walk.endless)
		return ref->target - program_item_start(program, ref->target - 1);
	return walk.lowest + ref->offset < 0 ? (uint64_t)-(walk.lowest + ref->offset) : 0;
}
