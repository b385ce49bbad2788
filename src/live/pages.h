/*
 * pages.h: which pages of a process hold something. One that has never been touched must not be read, because that would give it
 * memory: /proc/PID/pagemap tells which ones have some.
 */
#ifndef STENT_LIVE_PAGES_H
#define STENT_LIVE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "process/process.h"

#define PAGES_RUN_MAX (1u << 20)	/* bytes */

struct pages {
	int map;		/* descriptor, or -1: it can't be read, and every page counts */
	bool own;		/* without what is as a file has it: pages of the process's own only */
	uint64_t left;		/* bytes that may still be read: of these pages, and of the page table itself */
	bool over;		/* more than that would have been */
	uint64_t swapped;	/* how many pages of those that were asked for so far are swapped out */
	bool scans;		/* the kernel can say it in runs (PAGEMAP_SCAN), as far as is known, */
	uint64_t empty;		/* and which kinds of pages that hold nothing it can tell, as it calls them */
};

/* For pages_each(), which may read `most` bytes. pages_close() follows. */
void pages_open(const struct process *process, bool own, uint64_t most, struct pages *pages);
void pages_close(struct pages *pages);

/* May another so many bytes be read? They count then. False: pages->over is set. */
bool pages_take(struct pages *pages, uint64_t size) must_check;

/*
 * Call visit(context, run) for each run of such pages, of PAGES_RUN_MAX at most, in order, as pages_take() allows, until it returns false; then that is
 * returned. What the page table says of the range counts before it is read: some programs map terabytes of which they use little
 * (AddressSanitizer, heaps of languages). `range`: whole pages.
 */
bool pages_each(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context);

/* A write to the page at that address needs no new one: the process has one, and nobody else has it. What can't be told counts as new. */
bool pages_writable_in_place(const struct pages *pages, uint64_t page);

#endif
