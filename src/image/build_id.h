/* build_id.h: the identity of an image: the note NT_GNU_BUILD_ID that the linker made over its content. */
#ifndef STENT_IMAGE_BUILD_ID_H
#define STENT_IMAGE_BUILD_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BUILD_ID_MAX 64

struct build_id {
	uint8_t size;		/* 0: none */
	uint8_t bytes[BUILD_ID_MAX];
};

#define BUILD_ID_NOTES_MAX 65536	/* bytes of one note segment that are read */

/* Find it among notes. False: it is not there, and *id is as it was. */
bool build_id_parse(const uint8_t *notes, size_t size, struct build_id *id);

/* That of a file, of which little is read. False, with size 0: it has none, or is no 64-bit ELF file, or can't be read. */
bool build_id_read(int file, struct build_id *id);

static inline bool build_id_equal(const struct build_id *one, const struct build_id *other)
{
	return one->size == other->size && memcmp(one->bytes, other->bytes, one->size) == 0;
}

#endif
