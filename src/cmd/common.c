#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "cmd/cmd.h"

#define LINES_MAX 40	/* of one report: who reads more has seen enough */

static size_t count_lines(const char *text)
{
	size_t lines = text ? 1 : 0;

	for (; text && *text; text++)
		lines += *text == '\n';
	return lines;
}

int cmd_report(enum status status, struct error *error)
{
	char *rest = error->text, *line;

	/* What goes to a pipe or a file together is to stay in order. */
	fflush(stdout);
	for (size_t lines = 0; (line = strsep(&rest, "\n")); lines++) {
		if (lines == LINES_MAX) {
			fprintf(stderr, "stent: ... and %zu more\n", count_lines(rest) + 1);
			break;
		}
		/* Names of files and mappings are in it, which others have chosen. */
		fprintf(stderr, "stent: %s\n", utf8_make_printable(line));
	}
	error_clear(error);
	return (int)status;
}

int cmd_misused(const char *command, const char *format, ...)
{
	va_list arguments;
	char *line;

	va_start(arguments, format);
	line = text_format_list(format, arguments);
	va_end(arguments);
	fprintf(stderr, "stent: %s\n", line);
	free(line);
	return cmd_misused_option(command);
}

int cmd_misused_option(const char *command)
{
	fprintf(stderr, "stent: try 'stent %s --help'\n", command);
	return STATUS_ERROR;
}

enum status cmd_print_json(json_t *object, struct error *error)
{
	bool failed = json_dumpf(object, stdout, JSON_INDENT(2)) && !ferror(stdout);

	json_decref(object);
	if (failed)
		return fail(error, "no memory for the JSON form");
	putchar('\n');
	return STATUS_OK;
}

enum status cmd_parse_pid(const char *text, pid_t *pid, struct error *error)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < 1 || value > INT_MAX)
		return fail(error, "'%s' is not a process id", text);
	*pid = (pid_t)value;
	return STATUS_OK;
}
