/*
 * starters.c: code that runs while a program or library starts, and never again.
 *
 * That is what constructors and main() are (program/startup.c), and what only such code calls, unless it calls it in a loop: a server's main() calls its
 * setting up once, and what serves a client again and again. A call whose loop is not seen counts as one that is made once, and so does a chain of calls that
 * is too long to look at: of what runs at start-up nothing good follows.
 */
#include "diff/comparison.h"

#define CHAIN_MAX 16	/* calls below main() or a constructor */
#define LOOKS_MAX 256

struct look {
	const struct program *program;
	size_t count;
};

/* Does a jump behind the instruction lead back to it, or before it? */
static bool in_loop(const struct program *program, uint64_t address)
{
	const struct code_range *range = program_range(program, address);
	const uint8_t *code = program_code(program, range);
	struct insn insn;

	for (uint64_t at = address; at < range->span.end; at += insn.length) {
		if (!program->image->arch->decode(code + (at - range->span.start), range->span.end - at, at, &insn))
			return false;
		if (insn.ref[0].kind == REF_BRANCH && insn.kind != INSN_CALL && insn.ref[0].target <= address &&
		    range_holds(range->span, insn.ref[0].target))
			return true;
	}
	return false;
}

static bool is_pointed_to(const struct program *program, uint64_t address)
{
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (program->data_refs.item[i].target == address)
			return true;
	return false;
}

static bool starts(struct look *look, uint32_t function, int depth);

/* Is it a call, or a jump in a call's place, by start-up code and out of loops? */
static bool is_starting_call(struct look *look, const struct code_ref *ref, int depth)
{
	uint32_t caller = program_function(look->program, ref->insn);
	bool call = ref->insn_kind == INSN_CALL || ref->insn_kind == INSN_JUMP || ref->insn_kind == INSN_JUMP_CONDITIONAL;

	return call && caller != NO_FUNCTION && !in_loop(look->program, ref->insn) && starts(look, caller, depth + 1);
}

static bool starts(struct look *look, uint32_t function, int depth)
{
	const struct program *program = look->program;
	const struct function *f = &program->functions.item[function];
	bool called = false;

	if (f->startup || depth > CHAIN_MAX || look->count++ > LOOKS_MAX)
		return true;
	if (f->exported || f->more_entries || is_pointed_to(program, f->entry))
		return false;
	for (size_t i = 0; i < program->refs.count; i++) {
		const struct code_ref *ref = &program->refs.item[i];

		if (ref->target != f->entry || program_function(program, ref->insn) == function)
			continue;
		if (!is_starting_call(look, ref, depth))
			return false;
		called = true;
	}
	return called;
}

bool starters_have(const struct program *program, uint32_t function)
{
	struct look look = { .program = program };

	return starts(&look, function, 0);
}
