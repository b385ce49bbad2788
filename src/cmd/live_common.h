/* live_common.h: what apply and revert share. */
#ifndef STENT_CMD_LIVE_COMMON_H
#define STENT_CMD_LIVE_COMMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "cmd/policy.h"
#include "live/live.h"

struct live_arguments {
	const char *what;	/* the one that is no option: a file, or the name of a patch */
	const struct bundle *bundle;	/* that was read from the file; NULL: it is a name */
	pid_t pid;		/* 0: all */
	bool all;
	bool tree;		/* the process and all that descend from it */
	bool verbose;
	struct signature_wish signature;	/* of a patch to apply */
	struct live_options options;
};

struct live_command {
	const char *name;
	const char *usage;
	const char *needed;	/* behind "stent: ", when there is another number of arguments */
	bool new;		/* the version that threads go to */
	enum status (*run)(const struct process *process, const struct live_arguments *arguments, struct live_report *report,
			   struct error *error);
};

/* Read the command line. False: all is said, and *code is the exit code. */
bool live_parse(const struct live_command *command, int argc, char **argv, struct live_arguments *arguments,
		int *code) must_check;

/* What is done unless the user wants something else; cancelled() is of use after live_hold_signals(). */
struct live_options live_default_options(void);

/* Seconds, as text. STATUS_ERROR: it is none. */
enum status live_parse_timeout(const char *text, unsigned int *milliseconds, struct error *error) must_check;

/*
 * Before a process is touched: hold back SIGINT, SIGTERM, SIGHUP and SIGTSTP, so that none of them ends or stops stent half-way. The
 * first three are a reason for options.cancelled() to be true. live_finish() follows.
 */
void live_hold_signals(void);

/* Print the error as cmd_report() does, and let the signals that came meanwhile have their effect: it may not return. */
int live_finish(enum status status, struct error *error) must_check;

/* One of the signals above has come. */
bool live_cancelled(void);

/* What was done to the process, how long it stood still, and what for. */
void live_print_report(const struct live_report *report, const struct process *process, bool verbose);

/* Where it failed: what a thread made system calls for, and memory of patches that are not in force any more; nothing if there is none of these. */
void live_print_traces(const struct live_report *report, const struct process *process);

#endif
