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

/* (What follows a function is of the same table: long ones are not gone back through for each.) */
static void collect(const struct program *program, struct members *members)
{
	const char *name = NULL;
	uint64_t next = 0;

	for (size_t i = 0; i < program->data_refs.count; i++) {
		const struct data_ref *ref = &program->data_refs.item[i];
		uint32_t function = ref->target ? program_function(program, ref->target) : NO_FUNCTION;

		if (function == NO_FUNCTION)
			continue;
		if (ref->where != next)
			name = class_around(program, ref->where);
		next = ref->where + 8;
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

static void vote_by_table(const struct comparison *comparison, const struct class_record *old, const struct class_record *new,
			  struct vote_map *functions, struct vote_map *data)
{
	uint64_t size = class_record_size(&comparison->old, old->where);

	if (size != class_record_size(&comparison->new, new->where))
		return;
	match_vote(comparison, old->where, new->where, NULL, data);
	for (uint64_t at = 0; functions && old->table && at < size; at += 8) {
		const struct data_ref *a = program_data_ref(&comparison->old, old->where + at), *b = program_data_ref(&comparison->new, new->where + at);

		if (a->target && b->target)
			match_vote(comparison, a->target, b->target, functions, data);
	}
}

void members_vote(const struct comparison *comparison, struct vote_map *functions, struct vote_map *data)
{
	for (size_t i = 0; i < comparison->old_classes.count; i++) {
		const struct class_record *old = &comparison->old_classes.item[i];
		const struct class_record *new = classes_counterpart(&comparison->new_classes, old);

		/* (Unnamed namespaces are many.) */
		if (new && classes_counterpart(&comparison->old_classes, old) == old && !strstr(old->name, "_GLOBAL__N_"))
			vote_by_table(comparison, old, new, functions, data);
	}
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
