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

/* What words of the set have in the middle (scan_words()), if that is few enough. */
static void list_middles(struct scan_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		uint64_t first = set->range[i].start >> 24, last = (set->range[i].end - 1) >> 24;

		for (uint64_t middle = first; middle <= last; middle++) {
			if (set->middles && set->middle[set->middles - 1] == (uint32_t)middle)
				continue;
			if (set->middles == SCAN_MIDDLES) {
				set->middles = 0;
				return;
			}
			set->middle[set->middles++] = (uint32_t)middle;
		}
	}
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
	list_middles(set);
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

static size_t scan_each_word(const struct scan_set *set, const uint64_t *words, size_t count)
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
 * A word in a range has in its bits 24 to 55 what one of few numbers has there: all addresses of 16 MiB share it. To look for that number takes one
 * comparison of a vector for two words; and where words may begin at every byte, one for each of four shifts.
 */
typedef uint32_t quad __attribute__((vector_size(16)));
typedef uint64_t pair __attribute__((vector_size(16)));

#define BLOCK 64		/* bytes, where words may begin at every one, */
#define BLOCK_WORDS 32u		/* and words, where they begin at every eighth */

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

/* (What is compared besides is a word's highest byte, alone: that makes a block be looked at in vain, at worst.) */
static inline quad compare_middles(const uint64_t *words, quad middle)
{
	pair both;

	memcpy(&both, words, sizeof(both));
	return (quad)((quad)(both >> 24) == middle);
}

static bool may_hold_words(const uint64_t *words, quad middle)
{
	quad found = { 0 }, other = { 0 };
	pair all;

	for (size_t at = 0; at < BLOCK_WORDS; at += 8) {
		found |= compare_middles(words + at, middle) | compare_middles(words + at + 2, middle);
		other |= compare_middles(words + at + 4, middle) | compare_middles(words + at + 6, middle);
	}
	all = (pair)(found | other);
	return all[0] | all[1];
}

/* The first word in `count`, whole blocks of them, for those with that number in the middle. Others may be found or passed by. */
static size_t scan_blocks_for(const struct scan_set *set, uint32_t middle, const uint64_t *words, size_t count)
{
	const quad pattern = { middle, middle, middle, middle };

	for (size_t block = 0; block < count; block += BLOCK_WORDS) {
		size_t found = BLOCK_WORDS;

		if (may_hold_words(words + block, pattern))
			found = scan_each_word(set, words + block, BLOCK_WORDS);
		if (found < BLOCK_WORDS)
			return block + found;
	}
	return count;
}

size_t scan_words(const struct scan_set *set, const uint64_t *words, size_t count)
{
	size_t blocks = set->middles ? count - count % BLOCK_WORDS : 0, first = blocks;

	/* (The block in which one number has led to a word has no earlier one.) */
	for (size_t i = 0; i < set->middles; i++) {
		size_t before = first - first % BLOCK_WORDS, found = scan_blocks_for(set, set->middle[i], words, before);

		first = found < before ? found : first;
	}
	return first < blocks ? first : blocks + scan_each_word(set, words + blocks, count - blocks);
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

	for (size_t i = 0; i < set->middles; i++)
		first = scan_for(set, set->middle[i], bytes, first);
	for (size_t i = 0; i < set->count && !set->middles; i++)
		for (uint64_t middle = set->range[i].start >> 24; middle <= (set->range[i].end - 1) >> 24; middle++)
			first = scan_for(set, (uint32_t)middle, bytes, first);
	return first < words ? first : count;
}
