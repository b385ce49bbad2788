/* symbol_versions.h: names of symbol versions (LSB Core 5.0, 10.7), for image.c. */
#ifndef STENT_IMAGE_SYMBOL_VERSIONS_H
#define STENT_IMAGE_SYMBOL_VERSIONS_H

#include <libelf.h>

#include "image/image.h"

/* Version of each dynamic symbol of one image. */
struct symbol_versions {
	Elf_Data *numbers;		/* .gnu.version, or NULL */
	ARRAY(const char *) names;	/* by number; NULL where there is none. In the file's view */
};

/* Read the tables of the image's file; what is damaged is left out. Free with symbol_versions_free(). */
void symbol_versions_read(const struct image *image, struct symbol_versions *versions);
void symbol_versions_free(struct symbol_versions *versions);

/* Name of the version of dynamic symbol `index`, NULL when it has none. */
const char *symbol_versions_name(const struct symbol_versions *versions, size_t index);

#endif
