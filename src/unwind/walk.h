/*
 * walk.h: the exact answer to "which functions may this thread return to?"
 *
 * A walk is proof only if every frame was taken by a row that the validator found exact, over memory inside
 * the thread's own stack, with return addresses that follow a call, and the chain ended at a known thread
 * entry. Anything else is unproven, with a reason. This is the contract of the kernel's reliable stack traces
 * (Documentation/livepatch/reliable-stacktrace.rst): either the trace has every function that the thread may
 * return to, or it says that it may not.
 *
 * A walk goes on behind a doubt as well as it can, for people who want to see the frames.
 */
#ifndef STENT_UNWIND_WALK_H
#define STENT_UNWIND_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "unwind/rows.h"

/* One executable mapping. Sorted arrays of these, by code.start, not overlapping; nothing in it is owned. */
struct unwind_module {
	struct range code;		/* run-time addresses */
	uint64_t bias;			/* run-time address - address in `rows` */
	const struct rows *rows;	/* NULL: `why` there are none (a static string) */
	const char *why;
	const uint8_t *text;		/* the bytes of `code` as its builder wrote them, without redirected entries */
	const struct range *altered;	/* sorted: parts of `code` whose bytes in the process are others, so that */
	size_t altered_count;		/* rows say nothing of them */
	const char *name;
};

/* The target's memory. */
struct unwind_memory {
	/* Read `size` bytes at `address`; false when they cannot all be read. */
	bool (*read)(void *context, uint64_t address, void *out, size_t size);
	/* The memory around `pointer` that may be another stack, which a signal's frame leads to; false when there is none. */
	bool (*find_stack)(void *context, uint64_t pointer, struct range *stack);
	void *context;
};

/* A stopped thread. */
struct unwind_start {
	uint64_t registers[FRAME_ALL_REGISTERS];	/* [16]: the program counter */
	struct range stack;	/* from at most the stack pointer to the top; nothing outside is read */
	const char *doubt;	/* why that is not known to be the thread's whole stack, or NULL */
	uint64_t base;		/* the stack pointer that the thread began with; 0 when it is not known */
	const uint8_t *bytes;	/* of stack, from stack.start on, that have been read already; may be NULL */
	size_t size;
};

struct unwind_frame {
	uint64_t pc;
	uint64_t cfa;		/* 0 for the last one of a trace: a thread's entry, or where the walk stopped */
	const struct unwind_module *module;	/* NULL: pc is in none, the walk stopped here */
	const char *doubt;	/* why this frame proves nothing (a static string), or NULL */
	bool after_call;	/* pc is a return address: the frame is in the function that holds pc - 1.
				 * False for the first frame and for one that a signal interrupted. */
};

/* A stack can't hold more frames than words; this bounds what a walk takes in time and memory. */
#define UNWIND_FRAMES_MAX (1u << 20)
#define UNWIND_WINDOW 16384	/* bytes of the stack that are read at a time */

struct unwind_trace {
	ARRAY(struct unwind_frame) frames;
	bool ended;		/* at a thread's entry, or at its base */
	const char *doubt;	/* the first doubt of all, or why the chain did not end; NULL: proven */
	size_t doubtful;	/* index of the frame it is about */
	uint8_t window[UNWIND_WINDOW];	/* private to the walk */
};

/*
 * Walk into a trace that was zeroed before its first use, and is used again for the next thread. Never fails: what can't
 * be walked is not proven. Free with unwind_trace_free().
 */
void unwind_walk(const struct unwind_module *modules, size_t count, const struct arch *arch,
		 const struct unwind_start *start, const struct unwind_memory *memory, struct unwind_trace *trace);
void unwind_trace_free(struct unwind_trace *trace);

/* Proof: the trace has every frame of the thread. */
static inline bool unwind_trace_proven(const struct unwind_trace *trace)
{
	return !trace->doubt;
}

/* The doubt with its place, "0x7f.. in libx.so: ...", cut at `room`. Only for a trace that is not proven. */
void unwind_trace_reason(const struct unwind_trace *trace, char *out, size_t room);

/* Is any frame of the trace inside one of the ranges? Ranges are half-open run-time addresses; a frame after_call
 * counts where pc - 1 or pc lies. *frame is the index of the outermost one. */
bool unwind_trace_hits(const struct unwind_trace *trace, const struct range *ranges, size_t count, size_t *frame);

/* The module that holds the address, or NULL. */
const struct unwind_module *unwind_module_find(const struct unwind_module *modules, size_t count, uint64_t address);

#endif
