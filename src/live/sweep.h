/*
 * sweep.h: what makecontext(3) leaves in memory, and the search for it while a process runs.
 */
#ifndef STENT_LIVE_SWEEP_H
#define STENT_LIVE_SWEEP_H

#include "live/survey.h"
#include "process/threads.h"
#include "process/tripwire.h"
#include "unwind/scan.h"

/* A piece of shared memory, by the file that the kernel keeps it as. */
struct swept_object {
	uint64_t device, inode;	/* struct mapping */
	struct range range;	/* of the file */
};

/* In which none of the words was. array_free(). */
struct swept {
	struct swept_object *item;
	size_t count, room;
};

/* Is it memory in which a stack may be that no thread is on? *own: only as far as it is the process's own, not as a file has it. */
bool sweep_counts(const struct mapping *mapping, bool *own) must_check;

/* Set a tripwire behind the stores by which survey->makers put the words there. False and errno as tripwire_set(), or one is not known. tripwire_remove() in any case. */
bool sweep_watch(const struct survey *survey, struct tripwire *wire) must_check;

/* The words of survey->makers, which the stack of a context that has ended has as well. scan_set_free(). */
void sweep_words(const struct survey *survey, struct scan_set *words);

/*
 * Does no memory hold one of the words? False: some does, or not all can be read, or more would have to be read from a disk than may be searched,
 * or the patience is over. At some GiB in a second; what has never been touched is not read, nor what is among `swept` (may be NULL).
 */
bool sweep_is_clean(const struct survey *survey, const struct swept *swept, const struct patience *patience) must_check;

/* The same of all memory that the process shares, as far as it is in memory and no part of a disk, whoever has touched it: add to *swept what is clean. */
void sweep_shared(const struct survey *survey, const struct patience *patience, struct swept *swept);

/* Can it be among them at all? */
bool swept_may_hold(const struct mapping *mapping) must_check;

/* Is the whole mapping among them? */
bool swept_holds(const struct swept *swept, const struct mapping *mapping) must_check;

#endif
