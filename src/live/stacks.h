/*
 * stacks.h: is a stopped thread free of the code that is being left?
 *
 * First the conservative scan of the whole stack and all registers; only where that finds an address does the exact
 * walk decide. What neither can prove is not free.
 */
#ifndef STENT_LIVE_STACKS_H
#define STENT_LIVE_STACKS_H

#include "arch/arch.h"
#include "live/survey.h"
#include "process/threads.h"
#include "unwind/scan.h"

enum stack_verdict {
	STACK_FREE,
	STACK_INSIDE,		/* of a function, which the text names */
	STACK_UNRELIABLE,	/* not to be told; the text says why */
};

struct stack_result {
	enum stack_verdict verdict;
	bool walked;		/* the scan alone did not decide */
	char text[256];
};

/* Code that is being left. */
struct stack_check {
	const struct survey *survey;	/* with its unwind tables */
	const struct arch *arch;
	ARRAY(struct range) ranges;
	ARRAY(const char *) names;	/* of each range; not owned */
	struct scan_set set;
};

void stack_check_add(struct stack_check *check, struct range range, const char *name);
void stack_check_ready(struct stack_check *check);	/* after the last one is added */
void stack_check_free(struct stack_check *check);

/* `maps`: the mappings as they are now, with all threads stopped. */
void stack_check_thread(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
			struct stack_result *result);

#endif
