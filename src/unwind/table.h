/*
 * table.h: look an address up in the FDEs of one image.
 */
#ifndef STENT_UNWIND_TABLE_H
#define STENT_UNWIND_TABLE_H

#include "image/eh_frame.h"
#include "unwind/walk.h"

/* The FDEs of one image, sorted for look-up. */
struct unwind_table;

/* Index the section's FDEs. The table keeps pointing into section->data. Never NULL; an unreadable section gives a table that
 * finds nothing. Free with unwind_table_free(). */
struct unwind_table *unwind_table_build(const struct eh_frame *section) must_check;
void unwind_table_free(struct unwind_table *table);

/* The one FDE whose code holds the address. NULL, or a static string that says why there is none; an
 * address that two FDEs claim has none. */
const char *unwind_table_find(const struct unwind_table *table, uint64_t address, struct eh_fde *fde) must_check;

#endif
