/* build_id.h: the identity of an image: the note NT_GNU_BUILD_ID that the linker made over its content. */
#ifndef STENT_IMAGE_BUILD_ID_H
#define STENT_IMAGE_BUILD_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BUILD_ID_MAX 64

struct build_id {
	uint8_t size;		/* 0: none */
	uint8_t bytes[BUILD_ID_MAX];
};

static inline bool build_id_equal(const struct build_id *one, const struct build_id *other)
{
	return one->size == other->size && memcmp(one->bytes, other->bytes, one->size) == 0;
}

#endif
