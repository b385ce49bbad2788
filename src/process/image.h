/*
 * image.h: the ELF images in a process, read from its memory.
 *
 * No path is trusted: a file may have been replaced, or lie in another mount namespace. What counts is the
 * ELF header, the program headers and the build-id that stand in the memory of the process. All of it may be
 * hostile and is checked against the mappings.
 */
#ifndef STENT_PROCESS_IMAGE_H
#define STENT_PROCESS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "image/build_id.h"
#include "process/maps.h"
#include "process/process.h"

struct mapped_image {
	char *name;		/* last part of the mapping's name, for messages; owned */
	struct build_id id;	/* size 0: it has none */
	uint16_t machine;
	bool fixed_address;	/* ET_EXEC */
	uint64_t bias;		/* run-time address - link-time address */
	struct range span;	/* run-time, all PT_LOADs, page aligned */
	ARRAY(struct range) code;	/* run-time, executable PT_LOADs: exactly p_memsz */
	uint64_t eh_frame;	/* run-time start of .eh_frame, 0 when PT_GNU_EH_FRAME doesn't say */
	uint64_t eh_frame_end;	/* end of the segment that holds it: its size is not known, a terminator ends it */
};

struct mapped_images {
	struct mapped_image *item;	/* sorted by span.start */
	size_t count, room;
};

/* All images that have an executable segment. What can't be read as an image is none. Free with images_free(). */
void images_read(const struct process *process, const struct maps *maps, struct mapped_images *images);
void images_free(struct mapped_images *images);

/* Lower-case hexadecimal digits of the build-id, or "none". Returns out. */
const char *build_id_text(const struct build_id *id, char out[2 * BUILD_ID_MAX + 5]);

#endif
