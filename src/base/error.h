/*
 * error.h: how a function says that something went wrong.
 *
 * The statuses are the exit codes of the command (docs/design.md, "What a user does"). A function
 * that can fail returns one and, unless it is STATUS_OK, has appended one or more lines to the
 * caller's `struct error`. Each line names the object it speaks of (pid, tid, image, function).
 */
#ifndef STENT_BASE_ERROR_H
#define STENT_BASE_ERROR_H

#include <stddef.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(text, first) __attribute__((format(printf, text, first)))

enum status {
	STATUS_OK = 0,
	STATUS_ERROR = 1,	/* bad arguments, unreadable or damaged input, the system refused a call */
	STATUS_REFUSED = 2,	/* not safe; nothing was changed; the lines say why */
	STATUS_NOTHING = 3,	/* there is nothing to do */
	STATUS_GAVE_UP = 4,	/* waited until the timeout, rolled back */
};

struct error {
	char *text;		/* lines without a trailing newline, or NULL; owned */
	size_t length;
};

/* Append one line to error->text, unless it is the last one already (error may be NULL: the line is dropped). Returns `status`, so
 * that a caller can write `return error_add(error, STATUS_REFUSED, ...)`. */
enum status error_add(struct error *error, enum status status, const char *format, ...) printf_like(3, 4);

/* Shorthands; evaluate to the status. */
#define fail(error, ...) error_add((error), STATUS_ERROR, __VA_ARGS__)
#define refuse(error, ...) error_add((error), STATUS_REFUSED, __VA_ARGS__)

/* Free the text and make the error empty again. */
void error_clear(struct error *error);

#endif
