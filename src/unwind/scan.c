#include "unwind/scan.h"

#include <stdlib.h>
#include <string.h>

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

/*
 * A word in a range has in its bytes 3 to 6 what one of few numbers has there: all addresses of 16 MiB share it. To look for that number at
 * every byte takes one comparison of a vector for each of four shifts, of 16 bytes at a time.
 */
typedef uint32_t quad __attribute__((vector_size(16)));

#define BLOCK 64

static bool may_hold(const uint8_t *bytes, quad middle)
{
	quad found = { 0 };

	for (size_t at = 0; at < BLOCK; at += sizeof(quad))
		for (size_t shift = 0; shift < sizeof(uint32_t); shift++) {
			quad words;

			memcpy(&words, bytes + at + shift, sizeof(words));
			found |= (quad)(words == middle);
		}
	return found[0] | found[1] | found[2] | found[3];
}

/* The same as scan_bytes(), of words that begin in count bytes, for those with that number in the middle. */
static size_t scan_for(const struct scan_set *set, uint32_t middle, const uint8_t *bytes, size_t count)
{
	const quad pattern = { middle, middle, middle, middle };
	size_t block = 0;

	for (; block < count; block += BLOCK) {
		size_t end = count - block < BLOCK ? count : block + BLOCK;

		/* (The vectors end 6 bytes behind the block, where the last word that begins in it has one more.) */
		if (end - block == BLOCK && !may_hold(bytes + block + 3, pattern))
			continue;
		for (size_t at = block; at < end; at++)
			if (scan_set_holds(set, load64(bytes + at)))
				return at;
	}
	return count;
}

size_t scan_bytes(const struct scan_set *set, const uint8_t *bytes, size_t count)
{
	size_t words = count < sizeof(uint64_t) ? 0 : count - sizeof(uint64_t) + 1, first = words;

	for (size_t i = 0; i < set->count; i++)
		for (uint64_t middle = set->range[i].start >> 24; middle <= (set->range[i].end - 1) >> 24; middle++)
			first = scan_for(set, (uint32_t)middle, bytes, first);
	return first < words ? first : count;
}
