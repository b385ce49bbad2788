/*
 * verify_function.c: what must hold for the functions of a patch.
 */
#include <stdlib.h>

#include "patch/format.h"
#include "patch/verify.h"

static bool inside(struct range inner, struct range outer)
{
	return inner.start < inner.end && inner.start >= outer.start && inner.end <= outer.end;
}

static int compare_ranges(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* Sorts them. */
static bool ranges_overlap(struct range *ranges, size_t count)
{
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (size_t i = 1; i < count; i++)
		if (ranges[i].start < ranges[i - 1].end)
			return true;
	return false;
}

static bool overlaps_itself(const struct range *ranges, size_t count)
{
	struct range *sorted;
	bool overlap;

	if (count < 2)
		return false;
	sorted = memory_copy(ranges, count * sizeof(*ranges));
	overlap = ranges_overlap(sorted, count);
	free(sorted);
	return overlap;
}

static enum status verify_old(const struct patch *patch, const struct patch_function *function, struct error *error)
{
	/* Only what the old image has can be redirected or left as it was. */
	bool has_old = function->action != ACTION_ADD && function->change != CHANGE_NEW;

	if (!has_old) {
		if (function->action == ACTION_REDIRECT)
			return fail(error, "function %s: is new, and yet to be redirected", function->name);
		if (function->old_entry || function->old_ranges.count)
			return fail(error, "function %s: is added, and yet has code in the old image", function->name);
		return STATUS_OK;
	}
	for (size_t i = 0; i < function->old_ranges.count; i++)
		if (!inside(function->old_ranges.item[i], patch->old_span))
			return fail(error, "function %s: old range %zu is empty or outside of the old image",
				    function->name, i);
	if (overlaps_itself(function->old_ranges.item, function->old_ranges.count))
		return fail(error, "function %s: its old ranges overlap", function->name);
	if (!function->old_ranges.count || !range_holds(function->old_ranges.item[0], function->old_entry))
		return fail(error, "function %s: its old entry is not in its first old range", function->name);
	return STATUS_OK;
}

static enum status verify_new(const struct patch *patch, const struct patch_function *function, struct error *error)
{
	bool has_new = function->action == ACTION_ADD || function->action == ACTION_REDIRECT;

	if (!range_holds(patch->new_span, function->new_entry))
		return fail(error, "function %s: its new entry is outside of the new image", function->name);
	if (!has_new) {
		if (function->new_ranges.count)
			return fail(error, "function %s: is left alone, and yet has new code", function->name);
		return STATUS_OK;
	}
	for (size_t i = 0; i < function->new_ranges.count; i++) {
		struct range range = function->new_ranges.item[i];
		const struct patch_segment *segment = patch_find_segment(patch, range);

		if (range.start >= range.end || !segment || !(segment->flags & SEGMENT_EXECUTE))
			return fail(error, "function %s: new range %zu is empty or not inside one executable segment",
				    function->name, i);
	}
	if (overlaps_itself(function->new_ranges.item, function->new_ranges.count))
		return fail(error, "function %s: its new ranges overlap", function->name);
	if (!function->new_ranges.count || !range_holds(function->new_ranges.item[0], function->new_entry))
		return fail(error, "function %s: its new entry is not in its first new range", function->name);
	return STATUS_OK;
}

/* The displaced instructions are the function's own; the jump may take padding behind them too. */
static enum status verify_plan(const struct patch *patch, const struct patch_function *function, struct error *error)
{
	const struct entry_plan *plan = &function->plan;
	const struct range *first = function->old_ranges.item;

	if (function->action != ACTION_REDIRECT) {
		if (plan->offset || plan->jump || plan->span)
			return fail(error, "function %s: is not redirected, and yet has a plan for its entry", function->name);
		return STATUS_OK;
	}
	if (!plan->jump || !plan->span || patch_site_size(plan) > ARCH_ENTRY_MAX)
		return fail(error, "function %s: the plan for its entry is empty or longer than %d bytes",
			    function->name, ARCH_ENTRY_MAX);
	if ((uint64_t)plan->offset + plan->span > first->end - function->old_entry)
		return fail(error, "function %s: displaces instructions behind its end", function->name);
	if (patch_site_size(plan) > patch->old_span.end - function->old_entry)
		return fail(error, "function %s: its site is not inside the old image", function->name);
	return STATUS_OK;
}

/* Two jumps must not be written over one another. */
static enum status verify_sites(const struct patch *patch, struct error *error)
{
	ARRAY(struct range) sites = { 0 };
	bool overlap;

	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];

		if (function->action == ACTION_REDIRECT)
			*array_add(&sites) = (struct range){ function->old_entry,
							     function->old_entry + patch_site_size(&function->plan) };
	}
	overlap = sites.count && ranges_overlap(sites.item, sites.count);
	array_free(&sites);
	return overlap ? fail(error, "the sites of two functions overlap") : STATUS_OK;
}

static enum status verify_function(const struct patch *patch, const struct patch_function *function,
				   struct error *error)
{
	enum status status = STATUS_OK;

	if ((unsigned int)function->change >= CHANGE_COUNT || (unsigned int)function->action >= ACTION_COUNT)
		return fail(error, "function %s: unknown change %u or action %u", function->name,
			    (unsigned int)function->change, (unsigned int)function->action);
	status = verify_old(patch, function, error);
	if (!status)
		status = verify_new(patch, function, error);
	if (!status)
		status = verify_plan(patch, function, error);
	return status;
}

enum status patch_verify_functions(const struct patch *patch, struct error *error)
{
	uint64_t previous = 0;

	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];
		enum status status;

		if (!function->name || !*function->name || !patch_text_valid(function->name))
			return fail(error, "the name of function %zu is not one line of printable UTF-8", i);
		if (function->detail && !patch_text_valid(function->detail))
			return fail(error, "function %s: its detail is not one line of printable UTF-8", function->name);
		if (function->new_entry < previous)
			return fail(error, "function %s: is not sorted by its new entry", function->name);
		status = verify_function(patch, function, error);
		if (status)
			return status;
		previous = function->new_entry;
	}
	return verify_sites(patch, error);
}
