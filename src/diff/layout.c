/*
 * layout.c: do variables lie as they did?
 *
 * From one place that unchanged code refers to in both builds to the next it must be as far as it was. Where it is not, a variable grew, or came, or
 * went, and only symbols can tell which: each variable there must be one that both builds have, of the same size, or one that is new
 * or gone for certain. A variable that grew stays refused, whatever else is known: new code would use more of it than the process has.
 */
#include <stdlib.h>

#include "diff/comparison.h"

/* The ends of the section, and what unchanged code says in between; sorted as the votes are. */
void layout_find(const struct comparison *comparison, const struct section *old, const struct section *new, struct layout *layout)
{
	*array_add(layout) = (struct mark){ old->span.start, new->span.start };
	for (size_t i = 0; i < comparison->data.winners.count; i++) {
		const struct vote *vote = &comparison->data.winners.item[i];

		if (range_holds(old->span, vote->from) && range_holds(new->span, vote->to))
			*array_add(layout) = (struct mark){ vote->from, vote->to };
	}
	*array_add(layout) = (struct mark){ old->span.end, new->span.end };
}

/* As far as it was, but for pointers that only unwind tables know of, which may come and go. Where padding has made up for those, the second
 * mark is as far from the section's start as it was. */
static bool as_far(const struct comparison *comparison, const struct layout *layout, size_t index)
{
	const struct mark *from = &layout->item[index - 1], *to = &layout->item[index];
	uint64_t old = to->old - from->old, new = to->new - from->new;
	uint64_t old_pointers = handlers_bytes_between(&comparison->old_pointers, from->old, to->old);
	uint64_t new_pointers = handlers_bytes_between(&comparison->new_pointers, from->new, to->new);

	return old - old_pointers == new - new_pointers || to->old - layout->item[0].old == to->new - layout->item[0].new;
}

/* What lies between two marks, in the one build and in the other. */
struct stretch {
	const struct program *program;
	const struct named_variables *names;
	const struct handler_pointers *pointers;
	struct range span;
	uint64_t shift;		/* the other build's mark less this one's */
};

/* (Where the order of two variables changed, the marks of one build are the other way round.) */
static struct range between(uint64_t a, uint64_t b)
{
	return (struct range){ a < b ? a : b, a < b ? b : a };
}

/* Do names say that something moved although the marks did not, or came or went between them? */
static bool names_differ(const struct stretch *stretch)
{
	for (size_t i = named_index(stretch->names, stretch->span.start);
	     i < stretch->names->count && stretch->names->item[i].span.start < stretch->span.end; i++) {
		const struct named_variable *variable = &stretch->names->item[i];

		if (variable->state == NAMED_ALONE ||
		    (variable->state == NAMED_PAIRED && variable->other - variable->span.start != stretch->shift))
			return true;
	}
	return false;
}

static bool is_accounted_for(const struct named_variable *variable)
{
	return variable && (variable->state == NAMED_PAIRED || variable->state == NAMED_ALONE);
}

/* If anything of the stretch is at the address. */
static bool is_explained(const struct stretch *stretch, uint64_t address)
{
	return !range_holds(stretch->span, address) || is_accounted_for(named_at(stretch->names, address)) ||
	       handlers_own(stretch->pointers, address) || named_place(stretch->program->image, address);
}

/* Why a variable is not accounted for. free() it. */
static char *explain(const struct comparison *comparison, const struct stretch *stretch, const struct named_variable *variable)
{
	uint64_t size = variable->span.end - variable->span.start;
	bool old = stretch->program == &comparison->old;

	if (variable->state == NAMED_RESIZED)
		return text_format("the variable %s had %lu bytes and has %lu", variable->name, (unsigned long)(old ? size : variable->other_size),
				   (unsigned long)(old ? variable->other_size : size));
	return text_format("a variable grew, moved or is new, %s %s, and which it is in the other build is not certain", variable->name,
			   old ? "went" : "came");
}

/* Each variable that begins there, or that anything refers to there, is accounted for. */
static bool names_explain(const struct comparison *comparison, const struct stretch *stretch, char **why)
{
	const struct program *program = stretch->program;
	size_t i = named_index(stretch->names, stretch->span.start);

	for (; i < stretch->names->count && stretch->names->item[i].span.start < stretch->span.end; i++)
		if (!is_accounted_for(&stretch->names->item[i])) {
			if (!*why)
				*why = explain(comparison, stretch, &stretch->names->item[i]);
			return false;
		}
	for (size_t k = 0; k < program->refs.count; k++)
		if (!is_explained(stretch, program->refs.item[k].target))
			return false;
	for (size_t k = 0; k < program->data_refs.count; k++)
		if (!is_explained(stretch, program->data_refs.item[k].target))
			return false;
	return true;
}

enum laid_out layout_compare(const struct comparison *comparison, const struct layout *layout, size_t index, char **why)
{
	const struct mark *from = &layout->item[index - 1], *to = &layout->item[index];
	struct stretch old = { &comparison->old, &comparison->named_old, &comparison->old_pointers, between(from->old, to->old), from->new - from->old };
	struct stretch new = { &comparison->new, &comparison->named_new, &comparison->new_pointers, between(from->new, to->new), from->old - from->new };

	if (as_far(comparison, layout, index) && !names_differ(&old) && !names_differ(&new))
		return LAID_OUT_ALIKE;
	if (old.names->count && new.names->count && names_explain(comparison, &old, why) && names_explain(comparison, &new, why))
		return LAID_OUT_BY_NAMES;
	return added_by_word(comparison, new.span) ? LAID_OUT_BY_NAMES : LAID_OUT_OTHERWISE;
}
