/*
 * validate.h: compare what an image's unwind data claims with what its instructions do.
 *
 * The idea of objtool (tools/objtool/check.c): follow the instructions of every function along every
 * path, and compute the CFA and where the caller's registers are, independently of the unwind data. A row
 * is exact when all of its code was reached and every path that was found agrees with it.
 */
#ifndef STENT_UNWIND_VALIDATE_H
#define STENT_UNWIND_VALIDATE_H

#include "base/memory.h"
#include "image/image.h"
#include "unwind/rows.h"

/* Where a path first has another frame than its row claims. What follows on that path is contradicted too,
 * until a row agrees again, but is not listed. */
struct contradiction {
	uint64_t address;	/* of the instruction that has this frame before it is executed */
	uint64_t from;		/* of the one before it on that path; the same for an entry */
	uint64_t fde;		/* start of its FDE's code */
	char subject[16];	/* "CFA", "return address", or a register's name */
	char claimed[32], computed[32];	/* as text: "rsp+16", "at CFA-24", "in rbx" */
};

struct validation {
	size_t fdes, fdes_exact, fdes_contradicted;	/* the others have a row that is unverifiable */
	size_t rows, exact, unverifiable, contradicted;	/* ROW_NONE is not counted */
	size_t reasons[REASON_COUNT];	/* of the unverifiable ones */
	uint64_t text;		/* bytes of executable sections, without the stubs for imports */
	uint64_t uncovered;	/* of them: neither in an FDE nor padding */
	ARRAY(struct contradiction) contradictions;	/* by address */
	ARRAY(uint64_t) switches;	/* sorted: where routines that leave their stack for another one, to be continued on it later,
					 * load the stack pointer */
};

/*
 * Set verdict and reason of every row that rows_build() made of the image's .eh_frame, with rows->text
 * in link-time addresses. A row of which only a part was reached may become several. Never fails: what can't be verified says so. Free with validation_free().
 */
void validate_image(const struct image *image, struct rows *rows, struct validation *validation);
void validation_free(struct validation *validation);

#endif
