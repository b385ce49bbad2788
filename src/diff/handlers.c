/* handlers.c: are exceptions handled the same way? */
#include "program/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "diff/comparison.h"
#include "image/dwarf_bytes.h"

/* Of two ranges of code. */
struct handlers_pair {
	struct handlers old, new;
	bool readable;
};

static void read_pair(const struct comparison *comparison, const struct code_range *a, const struct code_range *b, struct handlers_pair *pair)
{
	const char *why = handlers_read(&comparison->old, a, &pair->old), *other = handlers_read(&comparison->new, b, &pair->new);

	pair->readable = !why && !other;
}

static void free_pair(struct handlers_pair *pair)
{
	handlers_free(&pair->old);
	handlers_free(&pair->new);
}

static bool same_calls(const struct lsda *a, uint64_t a_start, const struct lsda *b, uint64_t b_start)
{
	if (a->calls.count != b->calls.count)
		return false;
	for (size_t i = 0; i < a->calls.count; i++) {
		const struct lsda_call *x = &a->calls.item[i], *y = &b->calls.item[i];

		if (x->code.start - a_start != y->code.start - b_start || x->code.end - a_start != y->code.end - b_start ||
		    !x->pad != !y->pad || (x->pad && x->pad - a_start != y->pad - b_start) || x->cleanup != y->cleanup ||
		    x->first != y->first || x->count != y->count)
			return false;
	}
	return true;
}

static bool same_actions(const struct lsda *a, const struct lsda *b)
{
	return a->actions.count == b->actions.count &&
	       (!a->actions.count || memcmp(a->actions.item, b->actions.item, a->actions.count * sizeof(*a->actions.item)) == 0);
}

bool handlers_alike(const struct comparison *comparison, const struct code_range *a, const struct code_range *b)
{
	struct handlers_pair pair;
	bool alike;

	if (!a->handlers && !b->handlers)
		return true;
	if (a->handlers != b->handlers)
		return false;
	read_pair(comparison, a, b, &pair);
	alike = pair.readable && !pair.old.entry.where == !pair.new.entry.where && pair.old.refs.count == pair.new.refs.count &&
		same_calls(&pair.old.area, a->span.start, &pair.new.area, b->span.start) && same_actions(&pair.old.area, &pair.new.area);
	free_pair(&pair);
	return alike;
}

/* A variable of another image, of which this one has a copy. */
static bool is_copy(const struct data_ref *ref)
{
	return ref && ref->kind == RELOC_COPY;
}

static enum difference compare_refs(struct comparison *comparison, const struct handler_ref *x, const struct handler_ref *y)
{
	const struct data_ref *a = program_data_ref(&comparison->old, x->target), *b = program_data_ref(&comparison->new, y->target);

	if (!x->target || !y->target)
		return x->target == y->target ? SAME : DIFFERENT_CONSTANT;
	if ((x->encoding ^ y->encoding) & PE_INDIRECT)
		return DIFFERENT_CONSTANT;
	if (x->encoding & PE_INDIRECT || (is_copy(a) && is_copy(b)))
		return a && b ? pointers_compare(comparison, a, b) : DIFFERENT_VARIABLE;
	return references_compare(comparison, x->target, y->target, REF_ADDRESS, 0);
}

enum difference handlers_compare(struct comparison *comparison, const struct code_range *a, const struct code_range *b)
{
	enum difference difference = SAME;
	struct handlers_pair pair;

	if (!a->handlers)
		return SAME;
	read_pair(comparison, a, b, &pair);
	for (size_t i = 0; i < pair.old.refs.count && i < pair.new.refs.count && !difference; i++)
		difference = compare_refs(comparison, &pair.old.refs.item[i], &pair.new.refs.item[i]);
	free_pair(&pair);
	return difference;
}

void handlers_vote(const struct comparison *comparison, const struct code_range *a, const struct code_range *b, struct vote_map *data)
{
	struct handlers_pair pair;

	if (!a->handlers)
		return;
	read_pair(comparison, a, b, &pair);
	for (size_t i = 0; i < pair.old.refs.count && i < pair.new.refs.count; i++) {
		const struct section *from = image_section(comparison->old.image, pair.old.refs.item[i].target);
		const struct section *to = image_section(comparison->new.image, pair.new.refs.item[i].target);

		if (from && to && !from->execute && !to->execute)
			votes_add(data, pair.old.refs.item[i].target, pair.new.refs.item[i].target);
	}
	free_pair(&pair);
}

/* --- pointers --- */

static void add_pointers(const struct program *program, const struct code_range *range, struct handler_pointers *pointers)
{
	struct handlers handlers;

	(void)!handlers_read(program, range, &handlers);	/* as far as it can be read */
	for (size_t i = 0; i < handlers.refs.count; i++)
		if (handlers.refs.item[i].encoding & PE_INDIRECT && handlers.refs.item[i].target)
			*array_add(pointers) = handlers.refs.item[i].target;
	handlers_free(&handlers);
}

void handlers_find_pointers(const struct program *program, struct handler_pointers *pointers)
{
	size_t kept = 0;

	for (size_t i = 0; i < program->ranges.count; i++)
		if (program->ranges.item[i].handlers)
			add_pointers(program, &program->ranges.item[i], pointers);
	if (pointers->count)
		qsort(pointers->item, pointers->count, sizeof(uint64_t), compare_addresses);
	for (size_t i = 0; i < pointers->count; i++)
		if (!kept || pointers->item[kept - 1] != pointers->item[i])
			pointers->item[kept++] = pointers->item[i];
	pointers->count = kept;
}

static size_t count_below(const struct handler_pointers *pointers, uint64_t address)
{
	return pointers->count ? search_address(pointers->item, pointers->count, sizeof(uint64_t), address) : 0;
}

bool handlers_own(const struct handler_pointers *pointers, uint64_t address)
{
	size_t next = count_below(pointers, address);

	return next < pointers->count && pointers->item[next] == address;
}

uint64_t handlers_bytes_between(const struct handler_pointers *pointers, uint64_t from, uint64_t to)
{
	return (count_below(pointers, to) - count_below(pointers, from)) * sizeof(uint64_t);
}
