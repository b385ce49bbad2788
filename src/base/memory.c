#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(void)
{
	fputs("stent: out of memory\n", stderr);
	exit(STATUS_ERROR);
}

void *memory_zeroed(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

void *memory_resize(void *old, size_t count, size_t size)
{
	void *memory = reallocarray(old, count ? count : 1, size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

void *memory_copy(const void *from, size_t size)
{
	void *copy = memory_zeroed(size, 1);

	if (size)
		memcpy(copy, from, size);
	return copy;
}

void *memory_grow(void *old, size_t *room, size_t size)
{
	size_t larger = *room ? *room * 2 : 16;

	if (larger < *room)
		out_of_memory();
	*room = larger;
	return memory_resize(old, larger, size);
}

char *text_format_list(const char *format, va_list arguments)
{
	char *text;

	if (vasprintf(&text, format, arguments) < 0)
		out_of_memory();
	return text;
}

char *text_format(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	return text;
}

char *text_copy(const char *text)
{
	return memory_copy(text, strlen(text) + 1);
}
