/* buffer.h: bytes that grow at their end. */
#ifndef STENT_BASE_BUFFER_H
#define STENT_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

/* Starts zeroed; array_free() it. */
struct buffer {
	uint8_t *item;
	size_t count, room;
};

/* Put `size` bytes at the end. Returns the offset that they are at. */
size_t buffer_append(struct buffer *buffer, const void *from, size_t size);

/* The text with its NUL. */
size_t buffer_append_text(struct buffer *buffer, const char *text);

#endif
