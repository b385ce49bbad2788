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
#define PAGES_ENTRY 8u			/* bytes that are read for each page that is asked for */

struct pages {
	int map;		/* descriptor, or -1: it can't be read, and every page counts */
	bool own;		/* without what is as a file has it: pages of the process's own only */
	uint64_t swapped;	/* how many pages of those that were asked for so far are swapped out */
};

/* For pages_each(). pages_close() follows. */
void pages_open(const struct process *process, bool own, struct pages *pages);
void pages_close(struct pages *pages);

/* Call visit(context, run) for each run of such pages, of PAGES_RUN_MAX at most, in order, until it returns false; then that is returned. `range`:
 * whole pages. */
bool pages_each(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context);

#endif
