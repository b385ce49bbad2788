/*
 * stack.h: a step's view of a thread, that is its registers and the one part of memory that it trusts.
 */
#ifndef STENT_UNWIND_STACK_H
#define STENT_UNWIND_STACK_H

#include "unwind/walk.h"

enum {
	REGISTER_FRAME_POINTER = 6,	/* rbp */
	REGISTER_STACK_POINTER = 7,	/* rsp */
	REGISTER_RETURN_ADDRESS = 16,	/* in a frame's own registers: its pc */
};

struct unwind_state {
	uint64_t registers[UNWIND_REGISTERS];
	bool known[UNWIND_REGISTERS];
	struct range stack;
	struct unwind_memory memory;
};

/* One aligned-or-not word of the thread's stack; false outside of it, and where memory can't be read. */
static inline bool unwind_read_stack(const struct unwind_state *state, uint64_t address, uint64_t *word)
{
	if (address < state->stack.start || address >= state->stack.end || state->stack.end - address < sizeof(*word))
		return false;
	return state->memory.read(state->memory.context, address, word, sizeof(*word));
}

#endif
