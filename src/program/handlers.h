/*
 * handlers.h: what happens to an exception that comes by a range of code: its personality routine, landing pads and types.
 *
 * All of that stands in unwind tables, which lie at other places in each build and refer to each other. For two builds' handlers to be the
 * same, the numbers in `area` must be (relative to the code's start), and the references must lead to matched items, one by one.
 */
#ifndef STENT_PROGRAM_HANDLERS_H
#define STENT_PROGRAM_HANDLERS_H

#include "image/lsda.h"
#include "program/program.h"

/* A field of the unwind tables that leads to code or data. */
struct handler_ref {
	uint64_t where;		/* address of the field */
	uint64_t target;	/* 0: it leads nowhere */
	uint8_t encoding;	/* DW_EH_PE_* (image/dwarf_bytes.h); indirect: the target is a pointer to what is meant */
};

struct handlers {
	struct lsda area;	/* nothing in it: the code has none */
	struct handler_ref entry;	/* of the FDE, to the area; where is 0 if there is none */
	ARRAY(struct handler_ref) refs;	/* the personality routine, then the types, in the order of area.types */
};

/* Read those of a range that has some. Returns NULL, or a static string that says what can't be read. Free with handlers_free() in any case. */
const char *handlers_read(const struct program *program, const struct code_range *range, struct handlers *handlers) must_check;
void handlers_free(struct handlers *handlers);

#endif
