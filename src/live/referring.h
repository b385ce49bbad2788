/* referring.h: what the files of the search for references share: references.c (threads, and the whole), references_bytes.c, references_memory.c. */
#ifndef STENT_LIVE_REFERRING_H
#define STENT_LIVE_REFERRING_H

#include "live/pages.h"
#include "live/references.h"

/* A word may begin in one run of pages and end in the next: so many bytes of the one are kept for the other. */
#define REFERENCE_CARRY 8u

struct reference_search {
	struct references *references;
	const struct process *process;
	struct scan_set high;		/* targets whose addresses are no small numbers: looked for at every byte */
	ARRAY(struct range) groups;	/* bounds of targets that are near each other: looked for in aligned words */
	bool guarded;
	uint64_t guard;			/* by which the C library hides addresses */
	pid_t tid;			/* of a stopped thread */
	ARRAY(uint64_t) stacks;		/* stack pointers of all threads */
	bool done;			/* every owner has a reason */
	/* references_memory.c: */
	struct pages pages;
	ARRAY(uint64_t) devices;	/* of file systems that are memory only */
	bool measuring;			/* only how much there is */
	const struct mapping *mapping;	/* that is searched, */
	struct range part;		/* and which part of it now */
	uint8_t *bytes;			/* REFERENCE_CARRY, then PAGES_RUN_MAX; aligned */
	uint64_t end;			/* where the last run ended, whose last bytes stand before those of the next one */
};

/* Where bytes stand, for people: in memory, or in registers. */
struct reference_place {
	const char *name;
	uint64_t start;		/* of the bytes; 0: they are registers, */
	pid_t tid;		/* of this thread */
};

/* references.c: a reason for all owners that have none; the search is at its end. Takes `why`, which was allocated. */
void reference_give_up(struct reference_search *search, char *why);

/* references_bytes.c: make `high` and `groups` of the targets. */
void reference_prepare(struct reference_search *search);

/* references_bytes.c: aligned words, also without their upper bits and as the C library hides them; and what begins at any byte. */
void reference_search_words(struct reference_search *search, const struct reference_place *place, const uint64_t *words, size_t count);
void reference_search_bytes(struct reference_search *search, const struct reference_place *place, const uint8_t *bytes, size_t size);

/* references_memory.c: all memory of the process. */
void reference_search_memory(struct reference_search *search);

#endif
