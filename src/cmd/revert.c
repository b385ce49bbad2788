/*
 * revert.c: take a patch out of a running process.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/live_common.h"
#include "live/live.h"

static const char usage[] =
	"Usage: stent revert [-v] [--timeout SECONDS] NAME -p PID\n"
	"Takes a patch out of a running process: as apply, in the other direction. Every function gets its\n"
	"original bytes back. The memory of the patch stays mapped, because the program may have kept\n"
	"pointers into its data; it is used again when the same patch is applied again. 'stent status'\n"
	"lists the names.\n"
	"\n"
	"  -p, --pid PID          the process\n"
	"  -t, --timeout SECONDS  how long to wait for all threads to be out of the new functions (30)\n"
	"      --scope thread     each thread moves when it is outside; the next function that it calls is of the\n"
	"                         other version (this is what is done unless told otherwise)\n"
	"      --scope process    all threads move at one instant, when all are outside\n"
	"      --no-wait          begin, move the threads that are outside, and leave the others as they are\n"
	"      --force            when the time is over, finish although threads are still inside: they go on in code\n"
	"                         that calls the other version. 'stent status' shows it\n"
	"  -s, --search MIB       how much memory to search for suspended coroutines, in programs that can have\n"
	"                         such, while they stand still (256); more than that is refused\n"
	"  -v, --verbose          name every thread that was waited for\n"
	"  -h, --help             print this text\n"
	"\n"
	"Exit codes:\n"
	"  0  done\n"
	"  1  error: there is no such process, no permission, or the system said no\n"
	"  2  refused: the process holds no patch of that name, or it is not safe; nothing was changed\n"
	"  3  nothing to do: the patch is reverted already\n"
	"  4  gave up waiting: the patch is still active; the threads that were in the way are named\n"
	"SIGINT (Ctrl-C), SIGTERM and SIGHUP make it give up at once: as 4, and it ends by the signal.\n";

static const struct live_command command = {
	.name = "revert",
	.usage = usage,
	.needed = "the name of one patch and one process are needed",
};

static void print_report(const struct live_report *report, const struct process *process, bool verbose)
{
	printf("patch %s is reverted in process %d (%s)\n", report->name, process->pid, process->comm);
	printf("  image      %s\n", report->image);
	printf("  functions  %zu restored\n", report->redirected);
	live_print_stop(report, verbose);
}

int cmd_revert(int argc, char **argv)
{
	struct live_arguments arguments;
	struct live_report report = { 0 };
	struct process process;
	struct error error = { 0 };
	enum status status;
	int code;

	if (!live_parse(&command, argc, argv, &arguments, &code))
		return code;
	live_hold_signals();
	status = process_open(arguments.pid, PROCESS_CHANGE, &process, &error);
	if (status == STATUS_OK)
		status = live_revert(&process, arguments.what, &arguments.options, &report, &error);
	if (status == STATUS_OK)
		print_report(&report, &process, arguments.verbose);
	process_close(&process);
	live_report_free(&report);
	return live_finish(status, &error);
}
