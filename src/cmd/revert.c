/*
 * revert.c: take a patch out of a running process.
 */
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/family.h"
#include "cmd/live_all.h"
#include "cmd/live_common.h"
#include "live/live.h"

static const char usage[] =
	"Usage: stent revert [-v] [--timeout SECONDS] NAME -p PID\n"
	"       stent revert [-v] [--timeout SECONDS] NAME -p PID --tree\n"
	"       stent revert [-v] [--timeout SECONDS] NAME --all\n"
	"Takes a patch out of a running process, or out of all that hold it: as apply, in the other direction. Every function gets its\n"
	"original bytes back. Then the memory of the patch is unmapped, if nothing in the process can refer to it any more.\n"
	"Otherwise it stays mapped, and the reason is printed; the same patch uses it again, and the next stent looks again.\n"
	"'stent status' lists the names.\n"
	"\n"
	"  -p, --pid PID          the process\n"
	"      --tree             the process and all that descend from it and hold a patch of that name\n"
	"  -a, --all              all processes that hold a patch of that name, but for process 1. A line is printed for each\n"
	"  -t, --timeout SECONDS  how long to wait for all threads to be out of the new functions (30)\n"
	"      --scope thread     each thread moves when it is outside; the next function that it calls is of the\n"
	"                         other version (this is what is done unless told otherwise)\n"
	"      --scope process    all threads move at one instant, when all are outside\n"
	"      --no-wait          begin, move the threads that are outside, and leave the others as they are\n"
	"      --force            when the time is over, finish although threads are still inside: they go on in code\n"
	"                         that calls the other version. 'stent status' shows it\n"
	"  -s, --search MIB       how much memory to search for suspended coroutines, in programs that can have\n"
	"                         such, while they stand still (256); more than that is refused\n"
	"      --reclaim MIB      how much memory to search, while the process stands still, for pointers into the memory of patches\n"
	"                         that are not in force any more, before that is unmapped (16). Where there is more, it stays\n"
	"  -v, --verbose          name every thread that is waited for, not just some\n"
	"  -h, --help             print this text\n"
	"\n"
	"Children that the process forks meanwhile are brought to the same end: they inherit what is half done.\n"
	"With --tree each process is settled by itself: one that is refused or gives up is as it was, and keeps no\n"
	"other from being done. Do it again to take those that were left. Processes that end meanwhile don't count.\n"
	"\n"
	"Exit codes:\n"
	"  0  done\n"
	"  1  error: there is no such process, no permission, or the system said no\n"
	"  2  refused: the process holds no patch of that name, or it is not safe; nothing was changed\n"
	"  3  nothing to do: the patch is reverted already, and its memory had to stay\n"
	"  4  gave up waiting: the patch is still active; the threads that were in the way are named\n"
	"With --tree and --all: 1 if there was an error in one process, else 2 if one refused, else 4 if stent gave up on one, else 0 if\n"
	"it was taken out of one, else 3.\n"
	"SIGINT (Ctrl-C), SIGTERM and SIGHUP make it give up at once: as 4, and it ends by the signal.\n";

static enum status revert(const struct process *process, const struct live_arguments *arguments, struct live_report *report,
			  struct error *error)
{
	return live_revert(process, arguments->what, &arguments->options, report, error);
}

static const struct live_command command = {
	.name = "revert",
	.usage = usage,
	.needed = "the name of one patch is needed, and one process or --all",
	.run = revert,
};

static bool concerns(const void *what, const struct survey *survey)
{
	for (size_t i = 0; i < survey->ledgers.count; i++)
		if (!survey->ledgers.item[i].lost && !strcmp(survey->ledgers.item[i].name, what))
			return true;
	return false;
}

static enum status change(const void *what, const struct process *process, const struct live_options *wanted,
			  struct live_report *report, struct error *error)
{
	return live_revert(process, what, wanted, report, error);
}

static enum status revert_all(const struct live_arguments *arguments, struct error *error)
{
	const struct live_all all = {
		.arguments = arguments,
		.what = arguments->what,
		.concerns = concerns,
		.change = change,
		.done = "reverted",
	};

	return live_all(&all, error);
}

int cmd_revert(int argc, char **argv)
{
	struct live_arguments arguments;
	struct error error = { 0 };
	enum status status;
	int code;

	if (!live_parse(&command, argc, argv, &arguments, &code))
		return code;
	live_hold_signals();
	status = arguments.all ? revert_all(&arguments, &error) : family_run(&command, &arguments);
	return live_finish(status, &error);
}
