/*
 * backward.c: code that goes back from the end of a constant.
 *
 * gcc makes a std::string of a text like this: lea end(%rip), %rdx; lea -59(%rdx), %rsi. No instruction refers to the text's start, and what
 * lies at its end is of no interest. So registers are followed from the reference on, along all jumps inside of the same range, as long as they
 * hold an address that differs from it by a number. A register that gets a value of another kind is not followed.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/comparison.h"

#define REGISTERS 16	/* general ones, in DWARF's numbers: insn_effect.writes has a bit for each */

struct trace {
	bool holds[REGISTERS];
	int64_t offset[REGISTERS];	/* from the address that is referred to */
	int64_t lowest;			/* of all that were reached */
};

static void reach(struct trace *trace, int64_t offset)
{
	if (offset < trace->lowest)
		trace->lowest = offset;
}

static bool holds(const struct trace *trace, uint8_t number)
{
	return number < REGISTERS && trace->holds[number];
}

static void put(struct trace *trace, uint8_t number, bool known, int64_t offset)
{
	if (number >= REGISTERS)
		return;
	trace->holds[number] = known;
	trace->offset[number] = offset;
	if (known)
		reach(trace, offset);
}

static int64_t displacement_of(const uint8_t *code, const struct insn *insn)
{
	uint64_t value = 0;

	memcpy(&value, code + insn->displacement.offset, insn->displacement.size);
	return insn->displacement.size == 1 ? (int8_t)value : insn->displacement.size == 4 ? (int32_t)value : 0;
}

/* A memory operand is at base + displacement. Indices are taken for positive ones. */
static void note_operand(struct trace *trace, const uint8_t *code, const struct insn *insn, uint8_t base)
{
	if (holds(trace, base))
		reach(trace, trace->offset[base] + displacement_of(code, insn));
}

static void follow(struct trace *trace, const struct insn_effect *effect)
{
	bool known = effect->kind == EFFECT_MOVE && holds(trace, effect->source);

	if (effect->kind == EFFECT_EXCHANGE)
		put(trace, effect->source, false, 0);
	if (effect->kind != EFFECT_STORE && effect->kind != EFFECT_SPOIL)
		put(trace, effect->target, known, known ? trace->offset[effect->source] + effect->offset : 0);
	for (uint8_t i = 0; i < REGISTERS; i++)
		if (effect->writes & 1u << i)
			put(trace, i, false, 0);
}

static bool holds_any(const struct trace *trace)
{
	for (uint8_t i = 0; i < REGISTERS; i++)
		if (trace->holds[i])
			return true;
	return false;
}

/* A place in the code, and what the registers hold there. */
struct visit {
	uint64_t at;
	struct trace trace;
};

struct walk {
	const struct program *program;
	const struct code_range *range;
	const uint8_t *code;
	bool *seen;			/* per byte of the range: an instruction that was looked at */
	ARRAY(struct visit) waiting;	/* where conditional jumps lead */
	int64_t lowest;
};

/* From there on until no register is left, or the code ends or was seen. */
static void walk_on(struct walk *walk, struct visit visit)
{
	const struct arch *arch = walk->program->image->arch;
	struct range span = walk->range->span;
	struct insn_effect effect;
	struct insn insn;

	while (range_holds(span, visit.at) && !walk->seen[visit.at - span.start] && holds_any(&visit.trace)) {
		const uint8_t *here = walk->code + (visit.at - span.start);

		walk->seen[visit.at - span.start] = true;
		if (!arch->decode(here, span.end - visit.at, visit.at, &insn) || !arch->effect(here, span.end - visit.at, visit.at, &effect))
			break;
		note_operand(&visit.trace, here, &insn, effect.base);
		follow(&visit.trace, &effect);
		if (insn.kind == INSN_JUMP_INDIRECT || insn.kind == INSN_RETURN || insn.kind == INSN_STOP)
			break;
		visit.at += insn.length;
		if (insn.kind == INSN_JUMP)
			visit.at = insn.ref[0].target;
		else if (insn.kind == INSN_JUMP_CONDITIONAL)
			*array_add(&walk->waiting) = (struct visit){ insn.ref[0].target, visit.trace };
	}
	if (visit.trace.lowest < walk->lowest)
		walk->lowest = visit.trace.lowest;
}

uint64_t backward_reach(const struct program *program, const struct code_ref *ref)
{
	struct walk walk = { .program = program, .range = program_range(program, ref->insn) };
	struct range span = walk.range->span;
	struct visit visit = { .at = ref->insn };
	struct insn_effect effect;

	if (ref->kind != REF_ADDRESS || !section_of_constants_before(program->image, ref->target))
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
	array_free(&walk.waiting);
	free(walk.seen);
	return walk.lowest + ref->offset < 0 ? (uint64_t)-(walk.lowest + ref->offset) : 0;
}
