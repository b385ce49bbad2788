/* landing.h: landing pads by the calls that may be left for them (image/lsda.h). */
#ifndef STENT_UNWIND_LANDING_H
#define STENT_UNWIND_LANDING_H

#include "base/memory.h"
#include "image/image.h"

struct landing_pad {
	struct range calls;	/* code whose calls may be left for the pad */
	uint64_t pad;
};

struct landing_pads {
	struct landing_pad *item;	/* by calls.start */
	size_t count, room;
};

/* Read the area at `lsda` of the function that begins at `start`. What can't be read ends the list: a
 * landing pad that is missing is code that nothing is known to lead to. Free with array_free(). */
void landing_pads_read(const struct image *image, uint64_t lsda, uint64_t start, struct landing_pads *pads);

/* The pad for a call instruction, or 0. */
uint64_t landing_pad_find(const struct landing_pads *pads, uint64_t call);

#endif
