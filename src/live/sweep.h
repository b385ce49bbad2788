/*
 * sweep.h: what makecontext(3) leaves in memory, and the search for it while a process runs.
 */
#ifndef STENT_LIVE_SWEEP_H
#define STENT_LIVE_SWEEP_H

#include "live/survey.h"
#include "process/threads.h"

/* Is it memory in which a stack may be that no thread is on? *own: only as far as it is the process's own, not as a file has it. */
bool sweep_counts(const struct mapping *mapping, bool *own) must_check;

/*
 * Does no memory hold one of the words of survey->makers, which the stack of a context that has ended has as well? False: some does, or not all
 * can be read, or more would have to be read from a disk than may be searched, or the patience is over. At some GiB in a second; what has never been
 * touched is not read.
 */
bool sweep_is_clean(const struct survey *survey, const struct patience *patience) must_check;

#endif
