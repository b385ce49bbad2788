/*
 * alternatives.h: has the code that stands for a redirected entry the frame that the entry has?
 *
 * At one address of the program there are two alternatives: the instructions of the image, and the jump with what it leads to. The
 * kernel has one set of ORC rows for both, and objtool takes it only if all alternatives of an address have the same frame
 * (tools/objtool/check.c, propagate_alt_cfi(): "stack layout conflict in alternatives"). Likewise here:
 *
 * - The jump is one instruction, at the first displaced byte, and has the frame of the row there. Behind its first byte no instruction
 *   begins any more: the rows of the displaced ones hold for the image's own code only, and say nothing of an entry that is a jump
 *   (struct unwind_module, altered).
 * - A dispatcher, and the lookup, move the stack pointer, and leave with all as they found it (struct arch, write_dispatcher).
 * - In the displaced copy each instruction has the frame that the row of its original describes, and the jump back that of
 *   the row behind the displaced ones. So whoever comes back from the copy has the frame that the rows there claim.
 *
 * The region of a patch has no rows of its own: a walk that meets a thread in a dispatcher or a copy is never a proof.
 */
#ifndef STENT_UNWIND_ALTERNATIVES_H
#define STENT_UNWIND_ALTERNATIVES_H

#include <stdint.h>

#include "arch/arch.h"
#include "unwind/rows.h"

struct alternatives {
	const struct arch *arch;
	const struct rows *rows;	/* validated, of the image that the entry is in; NULL: there are none */
	uint64_t rows_bias;		/* address in the process - address in `rows` */
	uint64_t entry;			/* of the function, in the process */
	const uint8_t *code;		/* its bytes as the image has them, at least plan->offset + plan->span */
	const struct entry_plan *plan;
	const struct entry_copy *copy;	/* by arch->copy_entry() ... */
	uint64_t at;			/* ... for this address */
};

enum alternatives_verdict {
	ALTERNATIVES_AGREE,	/* one frame for both, and it is the one that exact rows claim */
	ALTERNATIVES_UNPROVEN,	/* one frame for both, but the rows of the original are not exact: a walk proves nothing there, by these
				 * rows' own verdicts */
	ALTERNATIVES_CONFLICT,	/* not one frame: the entry must not be redirected */
};

/* *why: a static string, NULL if they agree. */
enum alternatives_verdict alternatives_compare(const struct alternatives *alternatives, const char **why);

#endif
