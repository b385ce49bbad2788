/*
 * named.h: what the symbols of both builds say about their variables, and tables of constants with pointers.
 *
 * Where a variable went can mostly be learned from the code that refers to it (variables.c). Whether one is new, or one before it grew, can't: the
 * addresses look the same. Symbols know (of the images, or of their debug information), because they have names and sizes.
 */
#ifndef STENT_DIFF_NAMED_H
#define STENT_DIFF_NAMED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/memory.h"

struct comparison;
struct image;

enum named_state {
	NAMED_UNKNOWN,	/* several are called so, or code says something else than names do */
	NAMED_PAIRED,	/* the other build has it, with the same size */
	NAMED_RESIZED,	/* the other build has it, with another size */
	NAMED_ALONE,	/* the other build has none of that name: it is new, or gone */
};

struct named_variable {
	const char *name;	/* not owned */
	size_t length;		/* of the name without what compilers append to it (".0", ".lto_priv.0") */
	const char *file;	/* its source, "" for one that is not local to a source; not owned */
	struct range span;
	uint64_t reach;		/* where the last to end of it and those before it ends */
	bool whole;		/* all that anybody does is to read or write it as a whole: it is no array, and nothing asks for its end */
	bool moved;		/* the other build has one of a function's own of that name, but that function is another one */
	enum named_state state;
	uint64_t other;		/* where the other build's begins, of PAIRED and RESIZED */
	uint64_t other_size;
};

struct named_variables {
	struct named_variable *item;	/* sorted by start */
	size_t count, room;
	uint64_t longest;		/* bytes of the largest */
};

/*
 * Fill in comparison->named_old and named_new (array_free() both), after changes_find() and match_evidence(). A name counts for a variable if it is the only
 * one that is called so in its source, in both builds; of several, code must tell which is which. Names that contradict what unchanged code
 * refers to count for nothing.
 */
void named_find(struct comparison *comparison);

/* The variable that the address lies in, a PAIRED one rather than another name of its; NULL when no symbol has it. */
const struct named_variable *named_at(const struct named_variables *variables, uint64_t address);

/* Is it a place that start files (gcc crtstuff.c, glibc start.S) and the linker (ld's default script) have symbols for, and no variable that anybody could
 * make larger? */
bool named_place(const struct image *image, uint64_t address);

/* First one that begins at or behind the address: its index. And the first one that may reach beyond the address, or begins there. */
size_t named_index(const struct named_variables *variables, uint64_t address);
size_t named_index_reaching(const struct named_variables *variables, uint64_t address);

#endif
