#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum status error_add(struct error *error, enum status status, const char *format, ...)
{
	va_list arguments;
	char *line;

	if (!error)
		return status;

	va_start(arguments, format);
	line = text_format_list(format, arguments);
	va_end(arguments);

	size_t length = strlen(line);
	size_t separator = error->text ? 1 : 0;

	error->text = memory_resize(error->text, error->length + separator + length + 1, 1);
	if (separator)
		error->text[error->length] = '\n';
	memcpy(error->text + error->length + separator, line, length + 1);
	error->length += separator + length;
	free(line);
	return status;
}

void error_clear(struct error *error)
{
	free(error->text);
	error->text = NULL;
	error->length = 0;
}
