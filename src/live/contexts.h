/*
 * contexts.h: stacks that no thread is on.
 *
 * A program with coroutines keeps frames in memory that belongs to no thread: a suspended context's return addresses lie in the
 * heap or in a mapping of its own, and when it is resumed it goes on in old code. Where a program may have such (survey->switches),
 * all of its writable memory is searched, conservatively, as a stack is scanned.
 */
#ifndef STENT_LIVE_CONTEXTS_H
#define STENT_LIVE_CONTEXTS_H

#include "live/place.h"
#include "live/stacks.h"
#include "live/word_search.h"

/* What a search takes, made before a process is stopped; and what the last one in a stop took. */
struct contexts {
	struct word_search words;
	bool rehearsed;
	uint64_t size, took;	/* bytes, ns; 0: there was nothing to search for */
};

struct contexts *contexts_new(void) must_check;
void contexts_free(struct contexts *contexts);	/* may be NULL */

/*
 * With the process running, before it is stopped: read once all that will be searched. What was swapped out is in memory then, and no search in a stop
 * waits for a disk. Nothing of it is believed but that there is too much of it (STACK_UNRELIABLE, else STACK_FREE): the process need not be stopped to
 * find that. Only the first time it is read, later it is looked how much it is.
 */
void contexts_rehearse(struct contexts *contexts, const struct survey *survey, struct stack_result *result);

/*
 * Can any memory but the threads' own stacks hold a return address into the code that is being left? With all threads stopped;
 * stack_check_thread() has said of each that it is free. STACK_FREE also when the program has no way to suspend a context;
 * STACK_UNRELIABLE when more than survey->search bytes would have to be read, or some can't be. A word that is an entry
 * is no return address: a context that is to begin there begins with the redirection.
 */
void contexts_check(struct contexts *contexts, const struct stack_check *check, const struct maps *maps, const struct threads *threads,
		    struct stack_result *result);

/*
 * Memory that is put where words of the process lead already, left over from what was there before, would look for good as if a context
 * were suspended in it. With the process running: add to *avoid the pages, sorted, that words lead to although nothing is mapped there,
 * as far as they are in the windows; none where no context can be. Of more than a few thousand some are left out, and so are those in
 * memory beyond survey->search bytes. array_free(avoid).
 */
void contexts_avoid(const struct survey *survey, const struct maps *maps, const struct range *windows, size_t count,
		    struct place_avoid *avoid);

#endif
