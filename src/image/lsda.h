/*
 * lsda.h: where exceptions come to land: a language-specific data area, which an FDE names.
 *
 * Source of the format: Itanium C++ ABI, exception handling tables, as gcc's libgcc/unwind-pe.h and
 * libstdc++-v3/libsupc++/eh_personality.cc read them. Rust, D, Ada and Go's gccgo use the same. The bytes may be hostile.
 */
#ifndef STENT_IMAGE_LSDA_H
#define STENT_IMAGE_LSDA_H

#include "image/image.h"

/* Calls that may be left by an exception. */
struct lsda_call {
	struct range code;
	uint64_t pad;		/* where it lands, 0: nowhere */
	bool cleanup;		/* only destructors run there: the call has no actions */
	uint32_t first, count;	/* of lsda->actions: the filters, in the order in which they are asked. A negative one, an
				 * exception specification, is followed by its types' numbers and a 0 */
};

/* A field of the type table. */
struct lsda_type {
	int64_t number;		/* the filter that stands for it */
	uint64_t where;		/* address of the field */
	uint64_t target;	/* address of the type or, if indirect, of a pointer to it; 0: every type (catch (...)) */
};

struct lsda {
	ARRAY(struct lsda_call) calls;	/* in the table's order */
	ARRAY(int64_t) actions;
	ARRAY(struct lsda_type) types;	/* those that actions name, sorted by number */
	uint8_t type_encoding;		/* DW_EH_PE_* (dwarf_bytes.h) */
};

/*
 * Read the area at `address`, of code that begins at `start`. Returns NULL, or a static string that says what can't be read; then
 * the list of calls ends there, and that of types is empty. Free with lsda_free() in any case.
 */
const char *lsda_read(const struct image *image, uint64_t address, uint64_t start, struct lsda *lsda) must_check;
void lsda_free(struct lsda *lsda);

#endif
