/* pairing.h: which file of the new packages takes the place of which one of the old. */
#ifndef STENT_DIFF_PAIRING_H
#define STENT_DIFF_PAIRING_H

#include "image/package.h"

#define NO_FILE SIZE_MAX

struct pairing {
	size_t *new_of;		/* per old file: index of its counterpart, or NO_FILE; owned */
	size_t *old_of;		/* per new file; owned */
};

void pairing_make(const struct packages *old, const struct packages *new, struct pairing *pairing);
void pairing_free(struct pairing *pairing);

/* The soname of a library. free() it. NULL: the file is none, or can't be read. */
char *pairing_soname(const struct package_file *file) must_check;

#endif
