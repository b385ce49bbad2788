/* unwind_index.h: the .eh_frame_hdr of a slice, by which unwinders find the FDE of a program counter. */
#ifndef STENT_LIVE_UNWIND_INDEX_H
#define STENT_LIVE_UNWIND_INDEX_H

#include "live/link.h"

/* Bytes that unwind_index_write() needs at most. */
uint64_t unwind_index_size(const struct patch *patch);

/*
 * Write that of one image (an index in link->ledger.images): a row for each FDE of the slice, which is linked already, that is for a part
 * of a function of the patch. STATUS_REFUSED: the FDEs can't be read, or two are for the same code.
 */
enum status unwind_index_write(struct link *link, uint64_t image, struct error *error) must_check;

#endif
