#include "base/buffer.h"

#include <string.h>

size_t buffer_append(struct buffer *buffer, const void *from, size_t size)
{
	size_t offset = buffer->count;

	if (size > buffer->room - buffer->count) {
		buffer->room = (buffer->count + size) * 2;
		buffer->item = memory_resize(buffer->item, buffer->room, 1);
	}
	if (size)
		memcpy(buffer->item + offset, from, size);
	buffer->count += size;
	return offset;
}

size_t buffer_append_text(struct buffer *buffer, const char *text)
{
	return buffer_append(buffer, text, strlen(text) + 1);
}
