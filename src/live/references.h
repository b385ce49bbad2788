/*
 * references.h: can anything in a process still refer to memory that is to be unmapped?
 *
 * With all threads stopped, every place is searched in which a program can keep an address: all registers of all threads, vectors
 * included, and all memory that is not as a file has it, whatever its protection, also what is shared. What counts is any 8 bytes, aligned or not,
 * that are an address of the memory or of the page behind it; an aligned word also if a program has put something into its upper 16 bits, or
 * if the C library has hidden it (atexit(3)). Below a thread's stack pointer nothing is kept: that part of a stack is passed by where the
 * exact walk proves that it is one and the thread's control block says where it begins. So is memory of stent's own.
 *
 * References don't come out of nothing: where there is none with all threads stopped, no program can make one later. What a search of
 * memory does not see is what the kernel holds for the process (held.h).
 */
#ifndef STENT_LIVE_REFERENCES_H
#define STENT_LIVE_REFERENCES_H

#include "live/survey.h"
#include "process/threads.h"
#include "unwind/scan.h"

/* Memory that is to be unmapped. What refers to an owner's memory from within it does not count. */
struct reference_target {
	struct range range;
	size_t owner;
};

struct references {
	const struct survey *survey;	/* with its unwind data, for the threads' stacks */
	const struct arch *arch;
	const struct maps *maps;	/* as they are now */
	ARRAY(struct reference_target) targets;
	ARRAY(struct range) passed_by;	/* memory that is not searched */
	uint64_t limit;			/* bytes to be searched at most */
	bool passing;			/* something that was found is in a register or on a thread's stack: it may be gone in a moment */
	ARRAY(char *) why;		/* by owner: what may refer to its memory, or NULL: nothing does. Owned */
};

/* Would a search read no more than `limit` bytes? And are some of them swapped out? The process may be running. */
bool references_fit(const struct process *process, const struct maps *maps, const struct range *passed_by, size_t count, uint64_t limit,
		    bool *swapped) must_check;

/* Search, with all threads stopped and `threads` being all of them. Fills in why[], for as many owners as targets name. */
void references_search(struct references *references, const struct threads *threads);

/* The owner of a value that is no word in memory (one that the kernel holds), or SIZE_MAX. */
size_t references_owner(const struct references *references, uint64_t value) must_check;

/* Is there an owner whose memory nothing has been found to refer to? */
bool references_open(const struct references *references) must_check;

/* Say that an owner's memory may be referred to, unless a reason is known already. Takes `why`, which was allocated. */
void references_note(struct references *references, size_t owner, char *why);

void references_free(struct references *references);

#endif
