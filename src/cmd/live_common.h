/* live_common.h: what apply and revert share. */
#ifndef STENT_CMD_LIVE_COMMON_H
#define STENT_CMD_LIVE_COMMON_H

#include <stdbool.h>

#include "base/error.h"
#include "live/live.h"

#define LIVE_TIMEOUT 10000u	/* milliseconds */

struct live_arguments {
	pid_t pid;		/* 0: not given */
	bool verbose;
	struct live_options options;
};

/* Take one option of getopt_long(): p, t or v. STATUS_ERROR: its argument is not what it should be. */
enum status live_parse_option(int option, const char *argument, struct live_arguments *arguments,
			      struct error *error) must_check;

/* How long the process stood still, and what for. */
void live_print_stop(const struct live_report *report, bool verbose);

#endif
