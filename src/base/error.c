#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* What is tried again and again fails again and again, and is said once. */
static bool is_last_line(const struct error *error, const char *line)
{
	const char *end = error->text ? memrchr(error->text, '\n', error->length) : NULL;

	return error->text && strcmp(end ? end + 1 : error->text, line) == 0;
}

static void append_line(struct error *error, const char *line)
{
	size_t length = strlen(line), separator = error->text ? 1 : 0;

	error->text = memory_resize(error->text, error->length + separator + length + 1, 1);
	if (separator)
		error->text[error->length] = '\n';
	memcpy(error->text + error->length + separator, line, length + 1);
	error->length += separator + length;
}

enum status error_add(struct error *error, enum status status, const char *format, ...)
{
	va_list arguments;
	char *line;

	if (!error)
		return status;

	va_start(arguments, format);
	line = text_format_list(format, arguments);
	va_end(arguments);
	if (!is_last_line(error, line))
		append_line(error, line);
	free(line);
	return status;
}

void error_clear(struct error *error)
{
	free(error->text);
	error->text = NULL;
	error->length = 0;
}
