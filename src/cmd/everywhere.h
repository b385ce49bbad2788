/*
 * everywhere.h: what is asked of all processes: a child of stent's looks at one after the other (process/crew.h), and answers with
 * a JSON object for each.
 */
#ifndef STENT_CMD_EVERYWHERE_H
#define STENT_CMD_EVERYWHERE_H

#include <jansson.h>

#include "live/machine.h"
#include "process/crew.h"

struct everywhere {
	/* In a child: what there is to say of a process, for which *answer (its pid and name are in it) is what will be printed. */
	void (*look)(void *context, const struct process *process, struct survey *survey, json_t *answer);
	void *context;
	pid_t tree;			/* only this process, and those that descend from it; 0: all */
	unsigned int limit;		/* milliseconds for one process */
	bool (*cancelled)(void);	/* as in struct crew */
	bool progress;			/* show how far it has come, if stderr is a terminal */

	/* Set by everywhere_look(). */
	size_t seen;			/* processes that were looked at */
	json_t *found;			/* array, by pid: answers that say more than pid and name */
	json_t *unseen;			/* array, by pid: { pid, comm, why: [lines] } of those that could not be looked at */
};

/* Look at them. STATUS_ERROR: they can't be listed, or there is no process `tree`. everywhere_free() in any case. */
enum status everywhere_look(struct everywhere *everywhere, struct error *error) must_check;
void everywhere_free(struct everywhere *everywhere);

/* Print the first few of those that could not be looked at, to stderr. */
void everywhere_print_unseen(const struct everywhere *everywhere);

/* The lines of an error, made printable, as an array; the error is cleared. */
json_t *everywhere_lines(struct error *error) must_check;

/* A string of an object, "" when it has none of that name. */
const char *everywhere_text(const json_t *object, const char *name);

#endif
