/*
 * walk.h: the exact answer to "which functions may this thread return to?"
 *
 * A walk is proof only if every step was taken by a rule that is known, over memory inside the
 * thread's stack, with return addresses that follow a call, and the chain ended at a known thread
 * entry (undefined return address, x86-64 psABI 4.2.4). Anything else is UNWIND_UNRELIABLE with a
 * reason: see KERNEL reliable-stacktrace.rst, whose contract this follows.
 */
#ifndef STENT_UNWIND_WALK_H
#define STENT_UNWIND_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "base/bytes.h"
#include "image/eh_frame.h"

#define UNWIND_REGISTERS 17	/* x86-64 DWARF numbers: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp,
				 * 7 rsp, 8-15 r8-r15, 16 return address (psABI figure 3.36) */

/* Code that has unwind data. Sorted arrays of these, by code.start, not overlapping. */
struct unwind_module {
	struct range code;		/* run-time addresses of one executable mapping */
	const struct unwind_table *table;	/* NULL: code without unwind data, a frame there is unreliable */
	const char *name;		/* for reasons */
};

/* The FDEs of one image, sorted for look-up; built before anything is stopped. */
struct unwind_table;

/* Index the section's FDEs. `code` bytes for the check of call instructions come through the memory
 * reader at walk time. section.address is the run-time address, and the table keeps pointing into
 * section->data, which must live as long. Never NULL; an unreadable section gives a table that finds
 * nothing. Free with unwind_table_free(). */
struct unwind_table *unwind_table_build(const struct eh_frame *section) must_check;
void unwind_table_free(struct unwind_table *table);

/* Reads `size` bytes of the target at `address`; false when they cannot all be read. */
struct unwind_memory {
	bool (*read)(void *context, uint64_t address, void *out, size_t size);
	void *context;
};

struct unwind_start {
	uint64_t registers[UNWIND_REGISTERS];
	bool known[UNWIND_REGISTERS];
	uint64_t pc;
	struct range stack;		/* the thread's stack: nothing outside is read or trusted as a CFA */
};

struct unwind_frame {
	uint64_t pc;
	uint64_t cfa;		/* 0 for the last one of a trace: a thread's entry, or where the walk stopped */
	bool after_call;	/* pc is a return address: the frame is in the function that holds pc - 1.
				 * False for the first frame and for one that a signal interrupted. */
	const struct unwind_module *module;	/* NULL: pc is in none, the walk stopped here */
};

#define UNWIND_FRAMES_MAX 4096

struct unwind_trace {
	struct unwind_frame *frame;
	size_t count;
	bool complete;		/* proof: the chain ended at a thread's entry */
	char reason[160];	/* why not complete */
};

/* Walk. Never fails: what can't be walked is not complete. Free with unwind_trace_free(). */
void unwind_walk(const struct unwind_module *modules, size_t count, const struct arch *arch,
		 const struct unwind_start *start, struct unwind_memory memory, struct unwind_trace *trace);
void unwind_trace_free(struct unwind_trace *trace);

/* Is any frame of the trace inside one of the ranges? Ranges are half-open run-time addresses; a frame after_call
 * counts where pc - 1 or pc lies. */
bool unwind_trace_hits(const struct unwind_trace *trace, const struct range *ranges, size_t count, uint64_t *hit);

#endif
