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
	/* STACK_INSIDE, where every frame up to there is proven: where the outermost frame that is inside returns to, and the stack
	 * pointer as it is then. 0: not known. */
	uint64_t exit, exit_stack;
	char text[256];
};

/* Code that is being left. */
struct stack_check {
	const struct survey *survey;	/* with its unwind data */
	const struct arch *arch;
	ARRAY(struct range) ranges;
	ARRAY(const char *) names;	/* of each range; not owned */
	struct scan_set set;
	ARRAY(struct range) tables;	/* writable memory of stent's own that leads there, and holds no return address */
	struct unwind_trace *trace;	/* of the last walk; memory that is used again and again */
};

void stack_check_add(struct stack_check *check, struct range range, const char *name);
void stack_check_ready(struct stack_check *check);	/* after the last one is added */
void stack_check_free(struct stack_check *check);

/* Name of the range that holds an address, or that ends there; "?" when there is none. */
const char *stack_check_name(const struct stack_check *check, uint64_t address);

/* `maps`: the mappings as they are now, with all threads stopped. */
void stack_check_thread(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
			struct stack_result *result);

/*
 * The memory that a thread's frames are in: from the red zone below its stack pointer to the end of its mapping. Returns NULL,
 * or why that is not known to be all of the thread's stack (a static string); *stack is empty when there is no memory at all.
 */
const char *stack_find(const struct survey *survey, const struct maps *maps, const struct thread *thread, struct range *stack);

/*
 * Walk a stopped thread's stack. `bytes`: those of *stack, if they have been read, else NULL; `doubt`: what stack_find() said.
 * It reads the target's memory, and nothing else is asked of it.
 */
void stack_walk(const struct survey *survey, const struct maps *maps, const struct arch *arch, const struct thread *thread,
		struct range stack, const char *doubt, const uint8_t *bytes, struct unwind_trace *trace);

/* Why a trace that is not proven is not, with the kind of memory that the chain ended in, cut at `room`. */
void stack_reason(const struct maps *maps, const struct unwind_trace *trace, char *out, size_t room);

#endif
