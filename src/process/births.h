/*
 * births.h: which processes have been made since, and by whom, in the whole machine.
 *
 * The kernel's records of what is made (PERF_RECORD_FORK in linux/perf_event.h), of all processors (rings.h). They stay in their rings until they are
 * forgotten.
 */
#ifndef STENT_PROCESS_BIRTHS_H
#define STENT_PROCESS_BIRTHS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/memory.h"
#include "process/rings.h"

#define FAMILY_MAX 64	/* that are asked while a process stands still */

struct births_span {
	uint64_t start, middle;	/* in the ring, in bytes since it began */
};

/* All zero: nothing is recorded. */
struct births {
	struct rings rings;
	ARRAY(struct births_span) spans;	/* one for each ring */
};

/* Begin to record. False: it can't be (no permission). births_end() in any case. */
bool births_begin(struct births *births) must_check;
void births_end(struct births *births);

/* Forget what has been recorded so far. A record is made behind the insertion into the lists that /proc shows, and before the process first runs: who is
 * forgotten is there to be found, as long as he lives. */
void births_forget(struct births *births);

/* A span ends here whose children all count as family, because who made them may have ended in it. */
void births_divide(struct births *births);

struct family {
	ARRAY(pid_t) pids;
};

/*
 * Add all processes that have been made by this one since what was forgotten, by these, and so on; and those of the first span. What a stopped thread has
 * made is among them. False: not known, or more than FAMILY_MAX. array_free(&family->pids) in any case. It holds if rings_are_whole() is true behind it.
 */
bool births_list(const struct births *births, pid_t pid, struct family *family) must_check;

#endif
