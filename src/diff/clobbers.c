/*
 * clobbers.c: may start-up code that stays old go on calling replaced functions?
 *
 * A compiler that sees a local callee keeps values in any register which that callee does not write (gcc's
 * -fipa-ra). Unchanged callers were compiled against the new callee too, since they are the same code in both builds. Only code that changed
 * and yet stays (main) is bound to what the old callee wrote: the new one must write no more than that.
 */
#include <stdlib.h>

#include "diff/comparison.h"

struct reach {
	const struct program *program;
	bool *seen;
	uint32_t *work;
	size_t count;
	uint64_t clobbers;
};

static void reach_function(struct reach *reach, uint32_t function)
{
	if (reach->seen[function])
		return;
	reach->seen[function] = true;
	reach->work[reach->count++] = function;
}

static void follow(struct reach *reach, const struct code_range *range)
{
	const struct arch *arch = reach->program->image->arch;
	const uint8_t *code = program_code(reach->program, range);
	struct insn insn;

	for (uint64_t at = range->span.start; at < range->span.end; at += insn.length) {
		bool leaves, known;
		uint32_t target;

		if (!arch->decode(code + (at - range->span.start), range->span.end - at, at, &insn)) {
			reach->clobbers |= arch->call_clobbers;
			return;
		}
		reach->clobbers |= insn.clobbers & arch->call_clobbers;
		leaves = insn.kind == INSN_CALL || insn.kind == INSN_CALL_INDIRECT || insn.ref[0].kind == REF_BRANCH;
		known = leaves && insn.kind != INSN_CALL_INDIRECT;
		target = known ? program_function(reach->program, insn.ref[0].target) : NO_FUNCTION;
		if (target != NO_FUNCTION)
			reach_function(reach, target);
		else if (leaves || insn.kind == INSN_JUMP_INDIRECT)
			reach->clobbers |= arch->call_clobbers;
	}
}

/* Registers of the caller's that the function, or anything it calls, may write. */
static uint64_t clobbers_of(const struct program *program, uint32_t function)
{
	struct reach reach = {
		.program = program,
		.seen = memory_zeroed(program->functions.count, sizeof(bool)),
		.work = memory_zeroed(program->functions.count, sizeof(uint32_t)),
	};

	reach_function(&reach, function);
	while (reach.count) {
		const struct function *next = &program->functions.item[reach.work[--reach.count]];

		for (size_t i = 0; i < next->parts.count; i++)
			follow(&reach, &program->ranges.item[next->parts.item[i]]);
	}
	free(reach.seen);
	free(reach.work);
	return reach.clobbers;
}

/* Why start-up code that stays may not go on calling the function, or NULL. */
static const char *callee_objection(const struct comparison *comparison, uint32_t callee)
{
	uint32_t new = comparison->new_of[callee];

	if (new == NO_FUNCTION)
		return "which has no counterpart in the new build, so a fix of it would be missed";
	/* Arguments are the same for certain only if some code calls it that is the same in both builds. */
	if (comparison->changed[callee] && !comparison->alike[callee] && !comparison->called[callee])
		return "which changed too and is called by nothing else that could show that it still takes the same arguments";
	if (clobbers_of(&comparison->new, new) & ~clobbers_of(&comparison->old, callee))
		return "whose new code writes registers that the old code left alone";
	return NULL;
}

static enum status check_callees(struct comparison *comparison, const struct patch_function *caller, struct error *error)
{
	const struct program *old = &comparison->old;
	const struct function *function = &old->functions.item[program_function(old, caller->old_entry)];
	enum status status = STATUS_OK;

	for (size_t part = 0; part < function->parts.count; part++) {
		const struct code_range *range = &old->ranges.item[function->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++) {
			const struct code_ref *ref = &old->refs.item[range->first_ref + i];
			uint32_t callee = program_function(old, ref->target);
			const char *why = callee != NO_FUNCTION && old->functions.item[callee].entry == ref->target &&
					  !old->functions.item[callee].startup ? callee_objection(comparison, callee) : NULL;
			char *name;

			if (!why)
				continue;
			name = program_function_name(old, callee);
			status = refuse(error, "%s changed, runs at start-up only and stays; it goes on using %s, %s", caller->name, name, why);
			free(name);
		}
	}
	return status;
}

/* The same code but for what it prints or reads: whatever it expects of its callees, it expects of the new ones too. */
static bool expects_the_same(enum change change)
{
	return change == CHANGE_LINE || change == CHANGE_STRING || change == CHANGE_DATA;
}

enum status startup_callees_check(struct comparison *comparison, const struct patch *patch, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < patch->functions.count && !status; i++)
		if (patch->functions.item[i].action == ACTION_STARTUP && !expects_the_same(patch->functions.item[i].change))
			status = check_callees(comparison, &patch->functions.item[i], error);
	return status;
}
