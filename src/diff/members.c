/*
 * members.c: virtual functions belong to classes, which have names.
 *
 * Code that is alike in both builds may make objects of one class in the old one and of another one in the new; what it refers to would then pair the two
 * classes' functions. But objects of the old class stay what they are, and their functions must not become another class's.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/comparison.h"

struct member {
	uint32_t function;
	const char *name;	/* of a class that has it in its table */
};

struct members {
	struct member *item;	/* sorted */
	size_t count, room;
};

static int compare_members(const void *one, const void *other)
{
	const struct member *a = one, *b = other;

	if (a->function != b->function)
		return a->function < b->function ? -1 : 1;
	return strcmp(a->name, b->name);
}

static void collect(const struct program *program, struct members *members)
{
	for (size_t i = 0; i < program->data_refs.count; i++) {
		const struct data_ref *ref = &program->data_refs.item[i];
		uint32_t function = ref->target ? program_function(program, ref->target) : NO_FUNCTION;
		const char *name = function != NO_FUNCTION ? class_around(program, ref->where) : NULL;

		if (name)
			*array_add(members) = (struct member){ function, name };
	}
	if (members->count)
		qsort(members->item, members->count, sizeof(*members->item), compare_members);
}

static size_t first_of(const struct members *members, uint32_t function)
{
	size_t low = 0, high = members->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (members->item[middle].function < function)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Both are in tables, and in those of no common class. */
static bool are_strangers(const struct members *old, uint32_t f, const struct members *new, uint32_t g)
{
	size_t i = first_of(old, f), k = first_of(new, g);

	if (i == old->count || old->item[i].function != f || k == new->count || new->item[k].function != g)
		return false;
	while (i < old->count && old->item[i].function == f && k < new->count && new->item[k].function == g) {
		int order = strcmp(old->item[i].name, new->item[k].name);

		if (!order)
			return false;
		i += order < 0;
		k += order > 0;
	}
	return true;
}

void members_part(struct comparison *comparison)
{
	struct members old = { 0 }, new = { 0 };

	collect(&comparison->old, &old);
	collect(&comparison->new, &new);
	for (uint32_t f = 0; f < comparison->old.functions.count && old.count; f++) {
		uint32_t g = comparison->new_of[f];

		if (g == NO_FUNCTION || !are_strangers(&old, f, &new, g))
			continue;
		comparison->new_of[f] = comparison->old_of[g] = NO_FUNCTION;
		comparison->alike[f] = false;
	}
	array_free(&old);
	array_free(&new);
}
