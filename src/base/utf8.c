#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

/* U+0080 to U+009F, which a terminal may obey like the control characters of ASCII. */
static bool is_control(const uint8_t *at, size_t length)
{
	return length == 1 ? *at < ' ' || *at == 0x7f : at[0] == 0xc2 && at[1] < 0xa0;
}

char *utf8_make_printable(char *text)
{
	uint8_t *at = (uint8_t *)text, *end = at + strlen(text), *to = at;

	while (at < end) {
		size_t length = utf8_length(at, end);

		if (!length || is_control(at, length)) {
			*to++ = '?';
			at += length ? length : 1;
			continue;
		}
		memmove(to, at, length);
		to += length;
		at += length;
	}
	*to = '\0';
	return text;
}
