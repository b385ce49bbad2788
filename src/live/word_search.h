/*
 * word_search.h: look for words in much memory of a process, as fast as can be: mostly while it stands still.
 *
 * What can be prepared is made by word_search_open(): threads of stent's own that help, memory that is there. Then, while the memory stays the same,
 * word_search_add() for all that is to be searched, and word_search_run(), once or more often.
 */
#ifndef STENT_LIVE_WORD_SEARCH_H
#define STENT_LIVE_WORD_SEARCH_H

#include "base/memory.h"
#include "base/workers.h"
#include "live/pages.h"
#include "unwind/scan.h"

/* What a processor's cache holds from when it is read until it is scanned, beside the process's own. */
#define WORD_SEARCH_PIECE (128u << 10)

/* Runs that follow each other in the list, of WORD_SEARCH_PIECE bytes together at most. */
struct word_piece {
	size_t first, count, size;
};

struct word_search {
	struct workers *workers;	/* NULL: nobody helps */
	uint8_t *bytes;			/* for each of them WORD_SEARCH_PIECE */
	ARRAY(struct range) runs;	/* of pages, each WORD_SEARCH_PIECE at most */
	ARRAY(struct word_piece) pieces;	/* that are read in one call */
	uint64_t size;			/* of all of it, in bytes */
};

/* Who is asked. One call at a time, but from any of the threads that help; false: search no further. */
struct word_visit {
	const struct process *process;
	pid_t tid;		/* of a stopped thread of it; 0: it runs */
	const struct scan_set *set;	/* words that are looked for. NULL: none; the memory is only read, and nobody helps */
	bool anywhere;		/* they may begin at every byte; else at every eighth */
	bool (*hit)(void *context, uint64_t word, uint64_t place);	/* in no order, but where nobody helps */
	bool (*unreadable)(void *context, struct range run);
	void *context;
};

/* `helped`: have threads for it, which is worth while for who is to be quick. word_search_close() follows. */
void word_search_open(bool helped, struct word_search *search);
void word_search_close(struct word_search *search);

void word_search_clear(struct word_search *search);

/* What there is in a range of whole pages. False: it is more than `pages` allows. */
bool word_search_add(struct word_search *search, struct pages *pages, struct range range) must_check;

/* True: all has been searched. False: a visit wanted no more. */
bool word_search_run(struct word_search *search, const struct word_visit *visit);

#endif
