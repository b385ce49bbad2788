/*
 * What may interrupt it: the program does with its memory what it wants. The words of a context that lives stay where makecontext() has put them,
 * on top of its stack: the address that its function returns to, and when it has returned, the one that the code there returns to, in the same place
 * (see struct context_maker). So one that was there before this begins is there all the time, and one that is put there later is put there by
 * makecontext(), for which the caller has an eye. It makes no difference what else is mapped, written or given back meanwhile.
 *
 * Not seen is a library that runs all coroutines on one stack, clears that when none runs, and moves a copy from memory that is still to be read to
 * some that has been read, which may be long before where that is shared with relatives (kin.h); and what is in memory that is shared, and neither in this
 * process's page table (struct pages) nor read for its relatives.
 */
#include "live/sweep.h"

#include <errno.h>
#include <stdlib.h>

#include "live/word_search.h"

#define PAGE 4096u
#define AT_ONCE (1ul << 30)	/* bytes of addresses, until it is asked whether that is still wanted */

struct sweep {
	const struct survey *survey;
	struct maps maps;
	struct scan_set set;
	struct word_search words;
	struct pages pages;
};

/* A stack may be closed while nobody is on it. */
bool sweep_counts(const struct mapping *mapping, bool *own)
{
	bool closed = !mapping->read && !mapping->write && !mapping->execute;

	*own = closed;
	return (mapping->read && mapping->write) || (closed && !mapping->shared && !mapping->inode);
}

bool sweep_watch(const struct survey *survey, struct tripwire *wire)
{
	ARRAY(uint64_t) places = { 0 };
	bool known = !survey->unknown_maker, set;

	for (size_t i = 0; i < survey->makers.count; i++) {
		*array_add(&places) = survey->makers.item[i].behind;
		known = known && survey->makers.item[i].behind;
	}
	*wire = (struct tripwire){ 0 };
	errno = 0;
	set = known && tripwire_set(places.item, places.count, wire);
	array_free(&places);
	return set;
}

void sweep_words(const struct survey *survey, struct scan_set *words)
{
	ARRAY(struct range) ranges = { 0 };

	for (size_t i = 0; i < survey->makers.count; i++)
		*array_add(&ranges) = survey->makers.item[i].words;
	scan_set_build(words, ranges.item, ranges.count);
	array_free(&ranges);
}

static bool hit(void *context, uint64_t word, uint64_t place)
{
	(void)context;
	(void)word;
	(void)place;
	return false;
}

/* Was it unmapped meanwhile, or is it a device's? */
static bool holds_nothing(const struct survey *survey, uint64_t page)
{
	struct error unused = { 0 };
	const struct mapping *mapping;
	struct maps now;
	bool nothing = false, own;

	if (maps_look(survey->process, &now, &unused) == STATUS_OK) {
		mapping = maps_find(&now, page);
		nothing = !mapping || !sweep_counts(mapping, &own) || mapping_of_device(mapping);
	}
	error_clear(&unused);
	maps_free(&now);
	return nothing;
}

/* Pages of a run that could not be read as a whole, with the words that end in the next one. */
static bool sweep_page(const struct sweep *sweep, uint64_t page)
{
	const struct process *process = sweep->survey->process;
	uint8_t bytes[PAGE + sizeof(uint64_t) - 1];
	size_t size = sizeof(bytes);

	if (!process_read(process, page, bytes, size)) {
		size = PAGE;
		if (!process_read(process, page, bytes, size))
			return holds_nothing(sweep->survey, page);
	}
	return scan_bytes(&sweep->set, bytes, size) == size;
}

static bool sweep_pages(void *context, struct range run)
{
	bool clean = true;

	for (uint64_t page = run.start & ~(uint64_t)(PAGE - 1); page < run.end && clean; page += PAGE)
		clean = sweep_page(context, page);
	return clean;
}

static bool sweep_range(struct sweep *sweep, struct range range)
{
	const struct word_visit visit = {
		.process = sweep->survey->process,
		.set = &sweep->set,
		.anywhere = true,	/* it may be a copy */
		.hit = hit,
		.unreadable = sweep_pages,
		.context = sweep,
	};

	word_search_clear(&sweep->words);
	return word_search_add(&sweep->words, &sweep->pages, range) && sweep->pages.swapped <= sweep->survey->search / PAGE &&
	       word_search_run(&sweep->words, &visit);
}

/* Each part begins with the page that the one before ends with: a word may lie in two. */
static bool sweep_parts(struct sweep *sweep, struct range range, const struct patience *patience)
{
	for (uint64_t at = range.start, end;; at = end - PAGE) {
		end = range.end - at > AT_ONCE ? at + AT_ONCE : range.end;
		if (patience_over(patience) || !sweep_range(sweep, (struct range){ at, end }))
			return false;
		if (end == range.end)
			return true;
	}
}

/* The words that begin in front of a mapping that need not be swept, and end in it. */
static bool sweep_seam(struct sweep *sweep, struct range range, bool joined)
{
	return !joined || sweep_range(sweep, (struct range){ range.start - PAGE, range.start + PAGE });
}

bool sweep_is_clean(const struct survey *survey, const struct swept *swept, const struct patience *patience)
{
	struct sweep sweep = { .survey = survey };
	struct error unused = { 0 };
	bool clean = maps_read(survey->process, &sweep.maps, &unused) == STATUS_OK;
	uint64_t last = 0;	/* the end of the last mapping */

	error_clear(&unused);
	word_search_open(false, &sweep.words);
	sweep_words(survey, &sweep.set);
	pages_open(survey->process, false, UINT64_MAX, &sweep.pages);
	for (size_t i = 0; i < sweep.maps.count && clean; i++) {
		const struct mapping *mapping = &sweep.maps.item[i];
		bool joined = mapping->range.start == last;

		if (!sweep_counts(mapping, &sweep.pages.own))
			continue;
		if (swept && swept_holds(swept, mapping))
			clean = sweep_seam(&sweep, mapping->range, joined);
		else
			clean = sweep_parts(&sweep, (struct range){ mapping->range.start - (joined ? PAGE : 0), mapping->range.end }, patience);
		last = mapping->range.end;
	}
	pages_close(&sweep.pages);
	scan_set_free(&sweep.set);
	word_search_close(&sweep.words);
	maps_free(&sweep.maps);
	return clean;
}
