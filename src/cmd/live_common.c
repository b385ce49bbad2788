#include "cmd/live_common.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"

#define TIMEOUT_MAX 86400.0	/* seconds */

static enum status parse_timeout(const char *text, unsigned int *milliseconds, struct error *error)
{
	char *end;
	double seconds = strtod(text, &end);

	/* (A comparison with NaN is false.) */
	if (end == text || *end || !(seconds >= 0 && seconds <= TIMEOUT_MAX))
		return fail(error, "'%s' is not a number of seconds from 0 to %.0f", text, TIMEOUT_MAX);
	*milliseconds = (unsigned int)(seconds * 1000);
	return STATUS_OK;
}

enum status live_parse_option(int option, const char *argument, struct live_arguments *arguments, struct error *error)
{
	switch (option) {
	case 'p':
		return cmd_parse_pid(argument, &arguments->pid, error);
	case 't':
		return parse_timeout(argument, &arguments->options.timeout, error);
	default:
		arguments->verbose = true;
		return STATUS_OK;
	}
}

static void print_blocker(const struct live_blocker *blocker)
{
	printf("  waited for thread %d (%s): %s", blocker->tid, blocker->comm, blocker->text);
	if (blocker->times > 1)
		printf(", %u times", blocker->times);
	putchar('\n');
}

void live_print_stop(const struct live_report *report, bool verbose)
{
	size_t shown = verbose ? report->blockers.count : report->blockers.count < 3 ? report->blockers.count : 3;

	if (!report->tries)
		return;
	printf("  paused     %.2f ms, %zu thread%s", (double)report->paused / 1e6, report->threads,
	       report->threads == 1 ? "" : "s");
	if (report->tries > 1)
		printf(" (%u tries, the longest %.2f ms)", report->tries, (double)report->longest / 1e6);
	putchar('\n');
	if (report->walked)
		printf("  stacks     %zu of %zu walked, the others proven free by a scan alone\n", report->walked,
		       report->threads);
	for (size_t i = 0; i < shown; i++)
		print_blocker(&report->blockers.item[i]);
	if (shown < report->blockers.count)
		printf("  and for %zu more (-v names them)\n", report->blockers.count - shown);
}
