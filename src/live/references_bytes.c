/* What may be an address of a target, in bytes that were read. */
#include <inttypes.h>
#include <stdlib.h>

#include "arch/registers.h"
#include "live/referring.h"

#define UPPER 16		/* bits of a word that are no part of a program's address */
#define NEAR (64u << 20)	/* targets no farther from each other are looked for in one pass */

/*
 * Addresses of a program at a fixed address begin with so many zeros that three bytes of anything and zeros behind them are one: there
 * only aligned words count.
 */
#define HIGH (UINT64_C(1) << 32)

void reference_prepare(struct reference_search *search)
{
	const struct references *references = search->references;
	ARRAY(struct range) ranges = { 0 };
	struct scan_set all;

	for (size_t i = 0; i < references->targets.count; i++)
		*array_add(&ranges) = references->targets.item[i].range;
	scan_set_build(&all, ranges.item, ranges.count);
	for (size_t i = 0; i < all.count; i++) {
		struct range *last = search->groups.count ? &search->groups.item[search->groups.count - 1] : NULL;

		if (last && all.range[i].start - last->end < NEAR)
			last->end = all.range[i].end;
		else
			*array_add(&search->groups) = all.range[i];
	}
	scan_set_free(&all);
	ranges.count = 0;
	for (size_t i = 0; i < references->targets.count; i++)
		if (references->targets.item[i].range.start >= HIGH)
			*array_add(&ranges) = references->targets.item[i].range;
	scan_set_build(&search->high, ranges.item, ranges.count);
	array_free(&ranges);
}

/* In a register, or in memory that some thread's stack is in. */
static bool is_passing(const struct reference_search *search, const struct reference_place *place)
{
	for (size_t i = 0; i < search->stacks.count && place->start; i++)
		if (range_holds(search->mapping->range, search->stacks.item[i]))
			return true;
	return !place->start;
}

/* A value that stands `offset` bytes behind the start of a place. */
static void hit(struct reference_search *search, const struct reference_place *place, size_t offset, uint64_t value)
{
	struct references *references = search->references;
	size_t owner = references_owner(references, value);

	if (owner == SIZE_MAX || (place->start && owner == references_owner(references, place->start + offset)))
		return;
	references->passing |= is_passing(search, place);
	references_note(references, owner,
			place->start ? text_format("0x%" PRIx64 " in %s may be a pointer into it: 0x%" PRIx64, place->start + offset,
						   place->name, value) :
				       text_format("%s of thread %d may point into it: 0x%" PRIx64, place->name, place->tid, value));
	search->done = !references_open(references);
}

static uint64_t without_upper(uint64_t word)
{
	return word << UPPER >> UPPER;
}

void reference_search_words(struct reference_search *search, const struct reference_place *place, const uint64_t *words, size_t count)
{
	for (size_t group = 0; group < search->groups.count; group++) {
		uint64_t from = search->groups.item[group].start, span = search->groups.item[group].end - from;

		for (size_t i = 0; i < count && !search->done; i++) {
			uint64_t revealed = registers_reveal(words[i], search->guard);

			if ((without_upper(words[i]) - from >= span) & (revealed - from >= span))
				continue;
			hit(search, place, i * sizeof(*words), without_upper(words[i]));
			if (search->guarded)
				hit(search, place, i * sizeof(*words), revealed);
		}
	}
}

void reference_search_bytes(struct reference_search *search, const struct reference_place *place, const uint8_t *bytes, size_t size)
{
	for (size_t at = scan_bytes(&search->high, bytes, size); at < size && !search->done;
	     at += 1 + scan_bytes(&search->high, bytes + at + 1, size - at - 1))
		hit(search, place, at, load64(bytes + at));
}
