/*
 * memory.h: allocation that does not fail, growing arrays, formatted strings.
 *
 * Running out of memory ends the program with exit code 1 and a message. That is safe at any time:
 * every step that touches a process is crash-consistent (docs/design.md), and the kernel resumes
 * the threads of a tracer that ends.
 */
#ifndef STENT_BASE_MEMORY_H
#define STENT_BASE_MEMORY_H

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"

/* Zeroed memory for `count` items of `size` bytes; never NULL; free() it. Ends the program when the
 * product overflows or there is no memory. */
void *memory_zeroed(size_t count, size_t size) must_check;

/* realloc() to `count` items of `size` bytes; never NULL. New bytes are not initialised. */
void *memory_resize(void *old, size_t count, size_t size) must_check;

/* A copy of `size` bytes; free() it. */
void *memory_copy(const void *from, size_t size) must_check;

/* A formatted string; free() it. */
char *text_format(const char *format, ...) must_check printf_like(1, 2);
char *text_format_list(const char *format, va_list arguments) must_check printf_like(1, 0);
char *text_copy(const char *text) must_check;

/*
 * A growing array is a struct with the members `item` (pointer), `count` and `room`:
 *	ARRAY(struct range) ranges = {0};
 *	*array_add(&ranges) = (struct range){ 1, 2 };
 *	array_free(&ranges);
 */
#define ARRAY(type) struct { type *item; size_t count; size_t room; }

/* Pointer to a new last item, not initialised; valid until the next array_add(). */
#define array_add(array)                                                                            \
	((array)->count == (array)->room                                                            \
		 ? ((array)->item = memory_grow((array)->item, &(array)->room, sizeof(*(array)->item))) \
		 : (array)->item,                                                                   \
	 (array)->item + (array)->count++)

#define array_free(array) (free((array)->item), (array)->item = NULL, (array)->count = (array)->room = 0)

/* Used by array_add(): at least doubles *room. */
void *memory_grow(void *old, size_t *room, size_t size) must_check;

#endif
