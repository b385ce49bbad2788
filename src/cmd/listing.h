/*
 * listing.h: the old and the new code of one function side by side.
 */
#ifndef STENT_CMD_LISTING_H
#define STENT_CMD_LISTING_H

#include "cmd/old_code.h"

/* An instruction. */
struct listing_side {
	uint64_t address;	/* of the old image, or of the new one */
	char *text;		/* NULL: there is none on this side; owned */
	char *names;		/* what it refers to, or NULL; owned */
};

struct listing_row {
	char mark;		/* ' ' the same, '|' another one, '<' only old, '>' only new */
	struct listing_side old, new;
};

struct listing {
	ARRAY(struct listing_row) rows;
};

/* The function's code; new code only where the patch has it. Free with listing_free(). */
void listing_make(const struct patch *patch, const struct patch_function *function, const struct old_code *old, struct listing *listing);
void listing_free(struct listing *listing);

/* Print it to stdout, in two columns. */
void listing_print(const struct listing *listing);

#endif
