/* row_compile.h: one row of call frame information, in compact form. */
#ifndef STENT_UNWIND_ROW_COMPILE_H
#define STENT_UNWIND_ROW_COMPILE_H

#include "unwind/cfi.h"
#include "unwind/rows.h"

/* All of a row but its start and verdict. Rules that can't be expressed make it ROW_UNRELIABLE. */
struct row row_compile(const struct cfi_row *from, bool signal_frame) must_check;

/* Equal in all but start, verdict and ROW_STARTS_FDE? */
bool row_same(const struct row *one, const struct row *other);

#endif
