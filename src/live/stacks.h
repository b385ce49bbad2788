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

/* The memory that a thread's frames are in. */
struct stack {
	struct range range;	/* as stack_find() says, or its lower part, which all frames are in; empty: none */
	uint64_t end;		/* as stack_find() says */
	const char *why;	/* it is not known to be the thread's whole stack, or can't be read: then there are no bytes. Or NULL */
	bool borrowed;		/* only the exact walk can prove that it is the thread's own */
	uint8_t *bytes;		/* of the range */
};

/* Stacks that are read together. */
#define STACKS_AT_ONCE 64
struct stacks {
	struct stack item[STACKS_AT_ONCE];
	uint8_t *bytes;		/* owned; for those that are read next, too */
	size_t room;
	/* Where threads of the process begin, as the exact walk of one has shown: the return address to the code that ends a thread, and
	 * how far below the control block its word ends. 0: not known. */
	uint64_t entry, entry_below;
	size_t sought;		/* how many threads have been looked at for that */
};

struct stacks *stacks_new(void);
void stacks_free(struct stacks *stacks);	/* may be NULL */

static inline size_t stack_words(const struct stack *stack)
{
	return (stack->range.end - stack->range.start) / sizeof(uint64_t);
}

/* (The buffer is aligned, and so is each piece of it: stack_find() and mappings are.) */
static inline const uint64_t *stack_first_word(const struct stack *stack)
{
	return (const uint64_t *)(const void *)stack->bytes;
}

/* Code that is being left. */
struct stack_check {
	const struct survey *survey;	/* with its unwind data */
	const struct arch *arch;
	ARRAY(struct range) ranges;
	ARRAY(const char *) names;	/* of each range; not owned */
	struct scan_set set, restorers;
	struct scan_set any;	/* both, and those of another check, for one look that mostly answers all (stack_check_join()); or none */
	ARRAY(struct range) tables;	/* writable memory of stent's own that leads there, and holds no return address */
	/* Of the last walk, and of the last look: memory that is used again and again. */
	struct unwind_trace *trace;
	struct stacks *stacks;
};

void stack_check_add(struct stack_check *check, struct range range, const char *name);
void stack_check_ready(struct stack_check *check);	/* after the last one is added */
void stack_check_free(struct stack_check *check);

/* When both are ready: stack_is_clear() of `check` is to answer for the other one, too. */
void stack_check_join(struct stack_check *check, const struct stack_check *other);

/* Name of the range that holds an address, or that ends there; "?" when there is none. */
const char *stack_check_name(const struct stack_check *check, uint64_t address);

/* `maps`: the mappings as they are now, with all threads stopped. */
void stack_check_thread(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
			struct stack_result *result);

/*
 * The same, where many threads are looked at: read the stacks of the first of these threads into check->stacks, one each, and return of how
 * many (at least 1, at most STACKS_AT_ONCE); then ask of each, by this check or by others. Threads that are not stopped have none.
 */
size_t stacks_read(const struct stack_check *check, const struct maps *maps, const struct thread *threads, size_t count);
void stack_check_read(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
		      const struct stack *stack, struct stack_result *result);

/*
 * Look at the stacks of threads that run, as far as that can be done from outside: what they tell is not known to hold any more a moment later,
 * and nothing is made of it. But then they, and what it takes to look at them, are in the processor's caches when the threads are stopped.
 */
void stacks_rehearse(const struct stack_check *check, const struct threads *threads);

/* Of a thread that another check has found free without a walk: is it free for this one, too, without a walk? */
bool stack_passes(const struct stack_check *check, const struct thread *thread, const struct stack *stack);

/* Is it free for both of two joined checks, without a walk? False: not known; they are to be asked. */
bool stack_is_clear(const struct stack_check *check, const struct thread *thread, const struct stack *stack);

/*
 * The memory that a thread's frames are in: from the red zone below its stack pointer to the end of [stack], or to the thread's control
 * block. Returns NULL, or why that is not known to be all of the thread's stack (a static string); *stack is empty when there is no memory at all.
 */
const char *stack_find(const struct survey *survey, const struct maps *maps, const struct thread *thread, struct range *stack);

/*
 * Where the memory begins that was given to the thread for its stack, which stack_find() has found: the program may have given it the upper part of
 * something larger, with more of its own below. *stack's own start where nothing says it.
 */
uint64_t stack_bottom(const struct maps *maps, const struct thread *thread, struct range stack);

/* Is the process's first thread on a stack that is not the one it was given, as stack_find() may find it? */
bool stack_is_borrowed(const struct survey *survey, const struct maps *maps, const struct thread *thread, struct range stack);

/*
 * Walk a stopped thread's stack. `bytes`: those of *stack, if they have been read, else NULL; `doubt`: what stack_find() said.
 * It reads the target's memory, and nothing else is asked of it.
 */
void stack_walk(const struct survey *survey, const struct maps *maps, const struct arch *arch, const struct thread *thread,
		struct range stack, const char *doubt, const uint8_t *bytes, struct unwind_trace *trace);

/* Why a trace that is not proven is not, with the kind of memory that the chain ended in, cut at `room`. */
void stack_reason(const struct maps *maps, const struct unwind_trace *trace, char *out, size_t room);

#endif
