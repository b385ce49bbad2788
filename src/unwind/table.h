/*
 * table.h: look an address up in the FDEs of one image.
 */
#ifndef STENT_UNWIND_TABLE_H
#define STENT_UNWIND_TABLE_H

#include "unwind/walk.h"

/* The one FDE whose code holds the address. NULL, or a static string that says why there is none; an
 * address that two FDEs claim has none. */
const char *unwind_table_find(const struct unwind_table *table, uint64_t address, struct eh_fde *fde) must_check;

#endif
