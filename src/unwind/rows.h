/*
 * rows.h: the unwind data of one image as sorted rows of fixed size, for look-up in constant time.
 *
 * What the kernel's ORC tables are to DWARF (tools/objtool/orc_gen.c), with the difference that a row
 * is a claim of the file's .eh_frame until the validator has compared it with the instructions.
 * Every address of the text has exactly one row; where no FDE covers it, that is a ROW_NONE, so that
 * nothing inherits the row before it.
 */
#ifndef STENT_UNWIND_ROWS_H
#define STENT_UNWIND_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/frame.h"
#include "base/bytes.h"
#include "image/eh_frame.h"

/* How the CFA is found. `register` below is a DWARF number. */
enum row_kind {
	ROW_NONE,		/* no unwind data for this code */
	ROW_REGISTER,		/* value of the register + offset */
	ROW_INDIRECT,		/* word at value of the register + offset: gcc's realigned stacks */
	ROW_STUB,		/* the linker's rule for the PLT: value of the register + 8, and 8 more from byte
				 * `offset` of every 16 on, where the stub has pushed its index */
	ROW_SIGNAL,		/* the kernel's signal frame, sigcontext at value of the register + offset: all
				 * registers are in it, at frame_signal_slot[]; the CFA is the stack pointer there */
	ROW_END,		/* no caller: the return address is undefined (psABI 4.2.4) */
	ROW_UNRELIABLE,		/* `reason` says why the unwind data can't be used */
};

/* What is known of a row's truth. Only an exact one proves anything. */
enum row_verdict {
	ROW_UNCHECKED,
	ROW_EXACT,		/* every instruction has the frame that the row claims, on every path */
	ROW_UNVERIFIABLE,	/* `reason` says why */
	ROW_CONTRADICTED,	/* some path leads here with another frame */
};

/* Why a row is ROW_UNRELIABLE, or ROW_UNVERIFIABLE. */
enum row_reason {
	REASON_NONE,
	/* of the unwind data */
	REASON_DISPUTED,
	REASON_PROGRAM,
	REASON_NO_CFA,
	REASON_CFA_REGISTER,
	REASON_CFA_EXPRESSION,
	REASON_RETURN_RULE,
	REASON_SAVED_RULE,
	REASON_STACK_RULE,
	/* of the validation */
	REASON_NOT_REACHED,
	REASON_STACK_POINTER,
	REASON_FRAME,
	REASON_SAVES,
	REASON_INDIRECT_JUMP,
	REASON_UNDECODED,
	REASON_BEHIND,
	REASON_UNCERTAIN_PATH,
	REASON_ENTRY,
	REASON_SIGNAL_CODE,
	REASON_TOO_LARGE,
	REASON_COUNT,
};

/* A line for a person; static. */
const char *row_reason_text(enum row_reason reason);

enum {
	ROW_STARTS_FDE = 1,	/* the first row of an FDE */
	ROW_SAVED_AT_FRAME = 2,	/* saved[] counts from the value of the frame pointer, not from the CFA */
	ROW_RETURN_IN_REGISTER = 4,	/* `return_at` is a register's number */
};

/* Values of saved[] that are no word of the stack. */
#define ROW_SAME INT8_MAX	/* the register still has the caller's value */
#define ROW_LOST (INT8_MAX - 1)	/* the caller's value is nowhere */

struct row {
	uint32_t start;		/* from rows->text.start; the row ends where the next one starts */
	int32_t offset;
	uint8_t kind;		/* enum row_kind */
	uint8_t base;		/* DWARF number of the register */
	uint8_t flags;
	uint8_t verdict;	/* enum row_verdict */
	uint8_t reason;		/* enum row_reason */
	int8_t return_at;	/* the return address: word of the stack, counted from the CFA (-1) */
	int8_t saved[FRAME_SAVED];	/* of frame_saved_register[]: word of the stack, counted from the CFA (-2: 16 bytes below it) */
};

struct rows {
	struct range text;
	struct row *item;	/* sorted by start; [0].start is 0; the last one is a ROW_NONE at the text's end */
	uint32_t count;
	uint32_t *index;	/* per ROWS_STEP bytes of text: the row of the first of them */
	size_t fdes;		/* that the rows are made of */
	const char *damage;	/* what is wrong with the section, a static string, or NULL: then no row is any good */
};

#define ROWS_STEP 64

/*
 * Compile the section. `text` holds all code that the rows are wanted for, in the section's address
 * space; FDEs beyond it are passed over. Never NULL. Damage at any place makes all of the text a
 * ROW_NONE, because what claims the same code may be lost; so does a text of 4 GiB or more.
 * Free with rows_free(), which takes NULL.
 */
struct rows *rows_build(const struct eh_frame *section, struct range text) must_check;
void rows_free(struct rows *rows);

/* Make the index that rows_find() needs, for rows that come from elsewhere; rows->index is NULL before. */
void rows_index(struct rows *rows);

/* The row for an address; NULL when it is outside of the text. */
const struct row *rows_find(const struct rows *rows, uint64_t address);

/* First address behind the row, which is not the last one. */
static inline uint64_t row_end(const struct rows *rows, const struct row *row)
{
	return rows->text.start + row[1].start;
}

#endif
