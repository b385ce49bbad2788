/*
 * frame_state.h: what is known of the registers and the stack at one instruction (objtool: struct cfi_state).
 */
#ifndef STENT_UNWIND_FRAME_STATE_H
#define STENT_UNWIND_FRAME_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arch/arch.h"
#include "unwind/rows.h"
#include "arch/frame.h"

enum value_kind {
	VALUE_UNKNOWN,		/* nothing is known: it may be anything, a caller's value too. `number` is VALUE_BROKEN when a
				 * function that was called has not given it back, on some path, VALUE_STALE when it is a copy,
				 * VALUE_FETCHED when it was, perhaps, in memory that is no frame of the function's, or is a callee's result */
	VALUE_COMPUTED,		/* the function's own value, none of the below */
	VALUE_CALLER,		/* the caller's value of register `number`; 16: the return address */
	VALUE_STACK,		/* address on the stack: base `number` + offset */
	VALUE_DERIVED,		/* computed from an address on the stack, by an amount that is not known */
	VALUE_CONSTANT,		/* address of the image: its start + offset */
	VALUE_ENTRY,		/* word of `number` bytes out of the jump table at the image's start + offset */
	VALUE_TARGET,		/* the address that such a word of `number` bytes stands for */
};

#define VALUE_BROKEN 1

/*
 * A copy of the caller's value, kept beside the place that the rows name. A store through a computed pointer may hit that
 * place unseen. That does no harm where the code restores the register from there, too: then what a walk reads is what the
 * caller gets. It does where the code restores it from a copy.
 */
#define VALUE_STALE 2
#define VALUE_FETCHED 3

/* Bases of VALUE_STACK: the CFA, and one for each place where the stack pointer is aligned, which is an
 * unknown distance below the CFA. */
#define BASE_CFA 0

struct value {
	uint8_t kind, number;
	uint16_t loaded;	/* 0 or 1. VALUE_STACK: it was in memory, where others may have changed it. That is good enough for a
				 * frame pointer, which nobody changes, and not to know which word a store through it hits. VALUE_CALLER:
				 * the register was restored from where it had been saved */
	int32_t offset;
};

/* All of it counts, and none is padding. */
static inline bool value_equal(struct value one, struct value other)
{
	return !memcmp(&one, &other, sizeof(one));
}

static inline bool value_is_unknown(struct value value, uint8_t number)
{
	return value.kind == VALUE_UNKNOWN && value.number == number;
}

static inline bool value_is_on_stack(struct value value)
{
	return value.kind == VALUE_STACK || value.kind == VALUE_DERIVED;
}

#define FRAME_REGISTERS 16
#define FRAME_SLOTS 20

/* A word of the stack with a value that matters. */
struct frame_slot {
	uint32_t base;
	int32_t offset;
	struct value value;
};

struct frame_state {
	struct value reg[FRAME_REGISTERS];
	uint8_t slots;
	bool lossy;		/* slots were given up for lack of room or because paths differ */
	bool doubtful;		/* the path is not certain: it passed a call that may not return, or a guessed target */
	int32_t aligned_at;	/* what any BASE but the CFA is, at the highest, counted from the CFA; INT32_MIN: there is none */
	uint32_t written;	/* registers changed since it was last cleared, and the bits below */
	uint32_t held;		/* the row, by its number, whose claim held when `written` was last cleared; or FRAME_NO_ROW */
	struct frame_slot slot[FRAME_SLOTS];	/* in no order, no two at one place; those behind `slots` have no value */
};

#define FRAME_NO_ROW UINT32_MAX
#define FRAME_SLOTS_WRITTEN (UINT32_C(1) << 31)
#define FRAME_CALLER_WRITTEN (UINT32_C(1) << 30)	/* one of them got a caller's value */

/* All that has a value; mostly few of the slots. (One memcpy() of a size that is not known takes longer than these.) */
static inline void frame_state_copy(struct frame_state *to, const struct frame_state *from)
{
	memcpy(to, from, offsetof(struct frame_state, slot));
	for (unsigned int i = 0; i < from->slots; i++)
		to->slot[i] = from->slot[i];
}

/* A function's entry, behind the call. */
void frame_state_enter(struct frame_state *state);

/* Any place of a function that may have a frame pointer: no ground for a verdict. */
void frame_state_guess(struct frame_state *state);

/*
 * Execute one instruction that is no branch. `origin`: the image's start, which constants are counted
 * from. `align`: the number that stands for this instruction, 1 to 255, should it align the stack pointer.
 */
void frame_state_apply(struct frame_state *state, const struct insn_effect *effect, uint64_t origin, uint8_t align);

/*
 * What instructions have to do with a switch of stacks. A routine that leaves its stack for another one, to be continued there
 * later, puts its own stack pointer away and loads another. longjmp() and the arrival of an exception only load, setjmp() and whoever
 * passes the address of a variable only put away; what a function does to get room on its own stack, to align it
 * and to leave it comes from the stack itself.
 */
enum stack_use {
	STACK_GIVEN = 1,	/* the stack pointer becomes an argument, or comes from where an argument or a fixed address leads */
	STACK_COMPUTED = 2,	/* it becomes some value of the function's own, or what it fetched */
	STACK_STORED = 4,	/* an address of the function's stack is stored elsewhere */
	STACK_COPIED = 8,	/* the stack pointer is copied into another register than the frame pointer */
};

/* Bits of enum stack_use. */
unsigned int frame_state_stack_use(const struct frame_state *state, const struct insn_effect *effect);

/* Does code that has all of these uses switch stacks? */
static inline bool stack_use_switches(unsigned int uses)
{
	return (uses & STACK_GIVEN && uses & (STACK_STORED | STACK_COPIED)) || (uses & STACK_COMPUTED && uses & STACK_STORED);
}

/* What a callee leaves, that returns: nothing is known of registers that it need not preserve, which a local function may
 * have left alone, nor of the stack below the stack pointer. */
void frame_state_call(struct frame_state *state);

/* A function that was called does not give the register back. */
void frame_state_break(struct frame_state *state, unsigned int number);
/* Of the registers (as bits) that hold the caller's value of one of those `numbers` (as bits), the others than were restored
 * hold copies. */
void frame_state_settle(struct frame_state *state, uint32_t numbers, uint32_t registers);

/* Is it about to return to its caller, by its stack pointer, with a copy in a register that the caller relies on? */
bool frame_state_returns_copy(const struct frame_state *state);

/* From here on the register counts as leading to the function's stack. */
void frame_state_derive(struct frame_state *state, unsigned int number);

/* The push of a return address, seen from the code that goes on behind it. */
void frame_state_push(struct frame_state *state);

/* Would a merge with the other one change nothing, because it is the same? False also when that is not seen at once. */
bool frame_state_repeats(const struct frame_state *state, const struct frame_state *other, bool doubtful);

/* Keep what both know. True when that is less than `state` knew. `doubtful`: of the other one, whatever it says itself. */
bool frame_state_merge(struct frame_state *state, const struct frame_state *other, bool doubtful);

static inline bool frame_slot_is_at(const struct frame_slot *slot, uint32_t base, int32_t offset)
{
	return slot->base == base && slot->offset == offset;
}

/* The word at base + offset; VALUE_UNKNOWN when nothing is known of it. */
static inline struct value frame_state_load(const struct frame_state *state, uint32_t base, int32_t offset)
{
	unsigned int pushed = (unsigned int)(-(int64_t)offset / 8 - 1);

	/* Mostly as many words were pushed before. */
	if (pushed < state->slots && frame_slot_is_at(&state->slot[pushed], base, offset))
		return state->slot[pushed].value;
	for (unsigned int i = 0; i < state->slots; i++)
		if (frame_slot_is_at(&state->slot[i], base, offset))
			return state->slot[i].value;
	return (struct value){ .kind = VALUE_UNKNOWN };
}

/* What a load from a table gives: VALUE_ENTRY, VALUE_TARGET, or nothing that is known. */
struct value frame_state_table(const struct frame_state *state, const struct insn_effect *effect, uint64_t origin);

/* A row's claim, compared with the state. */
enum claim_verdict { CLAIM_HOLDS, CLAIM_UNVERIFIABLE, CLAIM_CONTRADICTED };

struct claim_result {
	uint8_t verdict;	/* enum claim_verdict */
	uint8_t reason;		/* CLAIM_UNVERIFIABLE: enum row_reason */
	uint8_t subject;	/* CLAIM_CONTRADICTED: register 0-15, 16 return address, SUBJECT_CFA */
};

#define SUBJECT_CFA 17

/* ROW_NONE, ROW_UNRELIABLE, ROW_END and ROW_SIGNAL claim nothing that a state could contradict. */
struct claim_result claim_check(const struct frame_state *state, const struct row *row, uint64_t address);

/* The claim holds: where the row says that registers were saved, there the caller's values are. Those in the registers are copies, unless
 * they were restored. `registers`: as state->written; UINT32_MAX: all of them, and the slots. */
void claim_settle(struct frame_state *state, const struct row *row, uint32_t registers);

/* What a contradicted claim says, and what is so, as text. */
struct contradiction;
void claim_describe(const struct frame_state *state, const struct row *row, uint64_t address, uint8_t subject,
		    struct contradiction *out);

#endif
