/* utf8.h: sequences of UTF-8 (RFC 3629). */
#ifndef STENT_BASE_UTF8_H
#define STENT_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the sequence that begins at `at`, which is before `end`; 0 if it is none (cut off, overlong, a surrogate, above U+10FFFF). */
static inline size_t utf8_length(const uint8_t *at, const uint8_t *end)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t length;

	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (length > (size_t)(end - at))
		return 0;
	if (at[0] == 0xe0)
		low = 0xa0;
	else if (at[0] == 0xed)
		high = 0x9f;
	else if (at[0] == 0xf0)
		low = 0x90;
	else if (at[0] == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

/*
 * Put '?' in the place of every control character and of what is no UTF-8, because the text comes from a program that may mean
 * harm, and goes to a terminal or into JSON. It becomes no longer. Returns the text.
 */
char *utf8_make_printable(char *text);

#endif
