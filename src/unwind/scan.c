#include "unwind/scan.h"

#include <stdlib.h>

#include "base/memory.h"

static int compare_ranges(const void *left, const void *right)
{
	uint64_t a = ((const struct range *)left)->start, b = ((const struct range *)right)->start;

	return (a > b) - (a < b);
}

/* The stored range is half-open, so it ends one behind an `end` that counts. */
static struct range widen(struct range range)
{
	if (range.end < UINT64_MAX)
		range.end++;
	return range;
}

void scan_set_build(struct scan_set *set, const struct range *ranges, size_t count)
{
	size_t merged = 0;

	*set = (struct scan_set){ .range = memory_zeroed(count ? count : 1, sizeof(*set->range)) };
	for (size_t i = 0; i < count; i++)
		set->range[i] = widen(ranges[i]);
	qsort(set->range, count, sizeof(*set->range), compare_ranges);
	for (size_t i = 0; i < count; i++) {
		struct range *last = merged ? &set->range[merged - 1] : NULL;

		if (!last || set->range[i].start > last->end)
			set->range[merged++] = set->range[i];
		else if (set->range[i].end > last->end)
			last->end = set->range[i].end;
	}
	set->count = merged;
	if (merged)
		set->bounds = (struct range){ set->range[0].start, set->range[merged - 1].end };
}

void scan_set_free(struct scan_set *set)
{
	free(set->range);
	*set = (struct scan_set){ 0 };
}

bool scan_set_holds(const struct scan_set *set, uint64_t address)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->range[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < set->count && address >= set->range[low].start;
}

size_t scan_words(const struct scan_set *set, const uint64_t *words, size_t count)
{
	uint64_t start = set->bounds.start, span = set->bounds.end - set->bounds.start;

	/* Nearly every word fails the first test: one subtraction (wrapping below start), one comparison. */
	for (size_t i = 0; i < count; i++) {
		if (words[i] - start < span && scan_set_holds(set, words[i]))
			return i;
	}
	return count;
}

size_t scan_words_either(const struct scan_set *one, const struct scan_set *other, const uint64_t *words, size_t count)
{
	uint64_t start = one->bounds.start, span = one->bounds.end - start;
	uint64_t other_start = other->bounds.start, other_span = other->bounds.end - other_start;

	/* Not &&, || between the first tests: one branch, which is hardly ever taken, instead of two. */
	for (size_t i = 0; i < count; i++) {
		if ((words[i] - start < span) | (words[i] - other_start < other_span) &&
		    (scan_set_holds(one, words[i]) || scan_set_holds(other, words[i])))
			return i;
	}
	return count;
}
