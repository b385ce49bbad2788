/*
 * contexts.h: stacks that no thread is on.
 *
 * A program with coroutines keeps frames in memory that belongs to no thread: a suspended context's return addresses lie in the
 * heap or in a mapping of its own, and when it is resumed it goes on in old code. Where a program may have such (survey->switches),
 * all of its writable memory is searched, conservatively, as a stack is scanned.
 *
 * Many programs could, and never do: libcrypto calls makecontext(3) for who wants asynchronous jobs. Where all contexts would be made by that, the search
 * is for what it leaves behind, and while the process runs; from before that on a tripwire tells whether it is called after all.
 */
#ifndef STENT_LIVE_CONTEXTS_H
#define STENT_LIVE_CONTEXTS_H

#include "live/kin.h"
#include "live/place.h"
#include "live/stacks.h"
#include "live/word_search.h"
#include "process/threads.h"
#include "process/tripwire.h"

/* What is known, what a search takes, made before a process is stopped, and what the last one in a stop took. */
struct contexts {
	struct live_kin *kin;	/* not owned; or NULL */
	uint64_t wait;		/* ns, for a breakpoint */
	bool none;		/* makecontext() had made none that lives when this was found out, */
	struct tripwire wire;	/* and since then none, as long as nobody came to this; otherwise it is not set */
	bool seen;		/* it has made some, or that can't be told */
	struct word_search words;	/* opened when they are needed, */
	bool too_much;		/* and then there was more than may be searched */
	uint64_t size, took;	/* bytes, ns; 0: there was nothing to search for */
};

/* options->kin is to outlive them. */
struct contexts *contexts_new(const struct live_options *options) must_check;

/* Also takes the tripwire away. May be NULL. */
void contexts_free(struct contexts *contexts);

/* Memory will have to be searched in a stop; for NULL false. */
bool contexts_to_search(const struct contexts *contexts) must_check;

/* There is none, as far as threads are concerned that are stopped; for NULL, and where memory has to be searched, false. */
bool contexts_still_none(struct contexts *contexts) must_check;

/*
 * With the process running, before it is stopped. Where it can be known that it has no context at all, that is found out here the first time: all of its
 * memory is read, at some GiB in a second, unless the patience is over before that. Otherwise read once all that will be searched: what was swapped
 * out is in memory then, and no search in a stop waits for a disk. Nothing of that is believed but that there is too much of it (STACK_UNRELIABLE,
 * else STACK_FREE): the process need not be stopped to find that. Later it is only looked whether that is so still. `survey` is the same each time.
 */
void contexts_rehearse(struct contexts *contexts, const struct survey *survey, const struct patience *patience, struct stack_result *result);

/* Right before a stop: what has been seen to be whole just now need not be looked at in the stop. `contexts` may be NULL. */
void contexts_ready(struct contexts *contexts);

/*
 * Can any memory but the threads' own stacks hold a return address into the code that is being left? With all threads stopped;
 * stack_check_thread() has said of each that it is free. STACK_FREE also when the program has no way to suspend a context;
 * STACK_UNRELIABLE when more than survey->search bytes would have to be read, or some can't be, or there were none and may be some now.
 * contexts_rehearse() comes before each stop in which this is asked. A word that is an entry
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
