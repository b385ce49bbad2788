/* live_all.h: apply and revert in every process that they concern. */
#ifndef STENT_CMD_LIVE_ALL_H
#define STENT_CMD_LIVE_ALL_H

#include "cmd/live_common.h"
#include "live/survey.h"

struct live_all {
	const struct live_arguments *arguments;
	const void *what;	/* for these two: */
	bool (*concerns)(const void *what, const struct survey *survey);
	enum status (*change)(const void *what, const struct process *process, const struct live_options *options,
			      struct live_report *report, struct error *error);
	const char *done;	/* what a process is then: "patched" */
};

/*
 * Do it and print a line for each process. A process that is forked meanwhile is found by another look. Returns outcomes_status() of
 * them (outcomes.h), or STATUS_ERROR when the processes can't be listed.
 */
enum status live_all(const struct live_all *all, struct error *error) must_check;

#endif
