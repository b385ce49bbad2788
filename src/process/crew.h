/*
 * crew.h: jobs done by child processes, some at a time.
 *
 * For work on many processes that others own. Opening one's files may wait for ever (a file system that a program serves:
 * FUSE), and what it says is input that may mean harm. So no job is
 * done in stent's own process: a child that crashes or takes too long costs its own job, and all others are done.
 */
#ifndef STENT_PROCESS_CREW_H
#define STENT_PROCESS_CREW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum crew_end {
	CREW_DONE,		/* there is an answer */
	CREW_LATE,		/* the limit has passed: the child was killed */
	CREW_CRASHED,		/* the child ended without an answer */
	CREW_CANCELLED,		/* not begun: cancelled() said so, or no child could be made */
};

#define CREW_ANSWER_MAX ((size_t)64 << 20)	/* bytes; who has more to say has crashed */

struct crew {
	/* In a child, which has a copy of all memory as it was at crew_run(): do the job and return the answer, allocated. */
	char *(*work)(void *context, size_t job);
	/* In the caller's process, once for each job, in the order in which they end. `answer` is "" unless it is CREW_DONE. */
	void (*take)(void *context, size_t job, enum crew_end end, const char *answer);
	void *context;
	unsigned int children;		/* at most so many; 0: one per processor */
	unsigned int limit;		/* milliseconds for one job */
	bool fresh;			/* a new child for each job: what one job may do to its child, no other one suffers from */
	bool (*cancelled)(void);	/* asked now and then; true: no job is begun any more, and SIGTERM is sent to those at
					 * work, who hold it back if they have live_options.cancelled. NULL: never */
};

/* Do jobs 0 to count - 1. When it returns, take() has been called for each, and no child is at work but such as can't be killed. */
void crew_run(const struct crew *crew, size_t count);

/* Why there is no answer: "took longer than 10 s", ... For CREW_DONE "". free() it. */
char *crew_end_text(const struct crew *crew, enum crew_end end) must_check;

#endif
