/*
 * reasons.c: why the code of a function differs, for a person: which calls came and went, and whether it is the code of an inlined
 * function that changed (when DWARF is at hand).
 *
 * Nothing is decided by it.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/align.h"
#include "diff/comparison.h"
#include "image/debug.h"

#define NAMES_MAX 3	/* in one text */

struct callee {
	char *name;
	int balance;	/* calls of the new code less those of the old */
};

struct reasons {
	const struct comparison *comparison;
	ARRAY(struct callee) callees;
	ARRAY(const char *) inlined;	/* functions that single instructions were inlined from */
	bool own;			/* there are others, too */
};

/* Name of what is called at the address, the same for both builds. NULL: not known. free() it. */
static char *callee_name(const struct comparison *comparison, const struct program *program, uint64_t address)
{
	const struct relocation *slot = program_stub(program, address);
	uint32_t function = program_function(program, address);

	if (slot)
		return slot->symbol ? text_copy(slot->symbol) : NULL;
	if (function == NO_FUNCTION || program->functions.item[function].entry != address)
		return NULL;
	if (program == &comparison->new && comparison->old_of[function] != NO_FUNCTION)
		return program_function_name(&comparison->old, comparison->old_of[function]);
	return program_function_name(program, function);
}

static void count_call(struct reasons *reasons, const struct program *program, const struct code_ref *ref)
{
	int one = program == &reasons->comparison->new ? 1 : -1;
	char *name = callee_name(reasons->comparison, program, ref->target);

	if (!name)
		return;
	for (size_t i = 0; i < reasons->callees.count; i++)
		if (strcmp(reasons->callees.item[i].name, name) == 0) {
			reasons->callees.item[i].balance += one;
			free(name);
			return;
		}
	*array_add(&reasons->callees) = (struct callee){ name, one };
}

static void count_calls(struct reasons *reasons, const struct program *program, uint32_t function)
{
	const struct function *f = &program->functions.item[function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &program->ranges.item[f->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++)
			if (program->refs.item[range->first_ref + i].kind == REF_BRANCH)
				count_call(reasons, program, &program->refs.item[range->first_ref + i]);
	}
}

static void look_at(void *context, const struct program *program, uint64_t insn)
{
	struct reasons *reasons = context;
	const char *name = image_inlined(program->image, insn);

	if (!name) {
		reasons->own = true;
		return;
	}
	for (size_t i = 0; i < reasons->inlined.count; i++)
		if (strcmp(reasons->inlined.item[i], name) == 0)
			return;
	*array_add(&reasons->inlined) = name;
}

/* "a, b, c and 2 more" grows by one name. */
static void list_name(char **list, size_t *count, const char *name)
{
	char *longer;

	if ((*count)++ >= NAMES_MAX)
		return;
	longer = *list ? text_format("%s, %s", *list, name) : text_copy(name);
	free(*list);
	*list = longer;
}

/* Behind the detail, which may be NULL: what is said of a list of names. Frees the list. */
static void add_list(struct patch_function *function, const char *what, char *list, size_t count)
{
	char *longer, *more = count > NAMES_MAX ? text_format(" and %zu more", count - NAMES_MAX) : text_copy("");

	if (list) {
		longer = text_format("%s%s%s %s%s", function->detail ? function->detail : "", function->detail ? "; " : "", what, list, more);
		free(function->detail);
		function->detail = longer;
	}
	free(list);
	free(more);
}

static void add_calls(const struct reasons *reasons, struct patch_function *function, int sign, const char *what)
{
	char *list = NULL;
	size_t count = 0;

	for (size_t i = 0; i < reasons->callees.count; i++)
		if (reasons->callees.item[i].balance * sign > 0)
			list_name(&list, &count, reasons->callees.item[i].name);
	add_list(function, what, list, count);
}

static void add_inlined(const struct reasons *reasons, struct patch_function *function)
{
	char *list = NULL;
	size_t count = 0;

	for (size_t i = 0; i < reasons->inlined.count; i++)
		list_name(&list, &count, reasons->inlined.item[i]);
	add_list(function, reasons->own ? "also in what is inlined from" : "only in what is inlined from", list, count);
}

static void remember_inlining(struct comparison *comparison, const char *from, const char *into)
{
	struct inlining *inlining = NULL;

	for (size_t i = 0; i < comparison->inlinings.count && !inlining; i++)
		if (strcmp(comparison->inlinings.item[i].from, from) == 0)
			inlining = &comparison->inlinings.item[i];
	if (!inlining) {
		inlining = array_add(&comparison->inlinings);
		*inlining = (struct inlining){ .from = from };
	}
	list_name(&inlining->into, &inlining->count, into);
}

void change_add_reasons(struct comparison *comparison, uint32_t old_function, struct patch_function *function)
{
	struct reasons reasons = { .comparison = comparison };

	if (function->change != CHANGE_CODE && function->change != CHANGE_CONSTANT && function->change != CHANGE_DISPLACEMENT)
		return;
	count_calls(&reasons, &comparison->old, old_function);
	count_calls(&reasons, &comparison->new, comparison->new_of[old_function]);
	align_singles(&comparison->old, old_function, &comparison->new, comparison->new_of[old_function], look_at, &reasons);
	add_calls(&reasons, function, 1, "calls now");
	add_calls(&reasons, function, -1, "calls no longer");
	add_inlined(&reasons, function);
	if (!reasons.own && reasons.inlined.count == 1)
		remember_inlining(comparison, reasons.inlined.item[0], function->name);
	for (size_t i = 0; i < reasons.callees.count; i++)
		free(reasons.callees.item[i].name);
	array_free(&reasons.callees);
	array_free(&reasons.inlined);
}

void reasons_note_inlined(const struct comparison *comparison, struct patch *patch)
{
	for (size_t i = 0; i < comparison->inlinings.count; i++) {
		const struct inlining *inlining = &comparison->inlinings.item[i];
		char *more = inlining->count > NAMES_MAX ? text_format(" and %zu more", inlining->count - NAMES_MAX) : text_copy("");

		*array_add(&patch->notes) = text_format("%s changed; it is inlined into %s%s", inlining->from, inlining->into, more);
		free(more);
	}
}

void reasons_free(struct comparison *comparison)
{
	for (size_t i = 0; i < comparison->inlinings.count; i++)
		free(comparison->inlinings.item[i].into);
	array_free(&comparison->inlinings);
}
