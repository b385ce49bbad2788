/*
 * apply.c: put a patch into a running process, and say what that took.
 */
#include "cmd/cmd.h"
#include "cmd/family.h"
#include "cmd/live_all.h"
#include "cmd/live_common.h"
#include "live/live.h"
#include "patch/bundle.h"

static const char usage[] =
	"Usage: stent apply [-v] [--timeout SECONDS] FILE -p PID\n"
	"       stent apply [-v] [--timeout SECONDS] FILE -p PID --tree\n"
	"       stent apply [-v] [--timeout SECONDS] FILE --all\n"
	"Puts a patch into a running process, or into all that it is for. The process is recognised by the build-id in its memory, and\n"
	"the code at every place that is to be changed is compared with the old build first. All threads are\n"
	"stopped for some milliseconds; when none of them is in a function that the patch replaces, all\n"
	"calls lead to the new code from then on. Otherwise those that are outside run the new code, and each\n"
	"of the others does when it has left. A patch of several images goes into all that the process maps, at once.\n"
	"\n"
	"  -p, --pid PID          the process\n"
	"      --tree             the process and all that descend from it and have mapped the old build\n"
	"  -a, --all              all processes that have mapped the old build, but for process 1 and stent's own; those that\n"
	"                         are forked meanwhile, too. A line is printed for each\n"
	"  -t, --timeout SECONDS  how long to wait for all threads to be out of the old functions (30)\n"
	"      --scope thread     each thread moves when it is outside; the next function that it calls is of the\n"
	"                         other version (this is what is done unless told otherwise)\n"
	"      --scope process    all threads move at one instant, when all are outside\n"
	"      --replace          take out all other patches of the image in the same transition\n"
	"      --no-wait          begin, move the threads that are outside, and leave the others as they are\n"
	"      --force            when the time is over, finish although threads are still inside: they go on in code\n"
	"                         that calls the other version. 'stent status' shows it\n"
	"  -s, --search MIB       how much memory to search for suspended coroutines, in programs that can have\n"
	"                         such, while they stand still (256); more than that is refused\n"
	"      --reclaim MIB      how much memory to search, while the process stands still, for pointers into the memory of patches\n"
	"                         that are not in force any more, before that is unmapped (16). Where there is more, it stays\n"
	"      --require-signature    apply the patch only if it has a signature that holds, by one of the keys; the machine's\n"
	"                         policy (/etc/stent/policy) may ask for that, too\n"
	"      --keys FOLDER      where the keys are, minisign's *.pub (/etc/stent/keys); asks for a signature, too\n"
	"      --signature FILE   the signature (by default the patch's name with .minisig behind it); likewise\n"
	"  -v, --verbose          name every thread that is waited for, not just some\n"
	"  -h, --help             print this text\n"
	"\n"
	"Children that the process forks meanwhile are brought to the same end: they inherit what is half done.\n"
	"With --tree each process is settled by itself: one that is refused or gives up is as it was, and keeps no\n"
	"other from being done. Do it again to take those that were left. Processes that end meanwhile don't count.\n"
	"\n"
	"Exit codes:\n"
	"  0  done\n"
	"  1  error: the file is damaged, there is no such process, no permission, or the system said no\n"
	"  2  refused: not safe; nothing was changed, and the reasons were printed\n"
	"  3  nothing to do: the patch is there already, or the process runs the new build\n"
	"  4  gave up waiting, and took everything back; the threads that were in the way are named\n"
	"With --tree and --all: 1 if there was an error in one process, else 2 if one refused, else 4 if stent gave up on one, else 0 if\n"
	"one was patched, else 3 (no process has mapped the old build, or all that have are patched already).\n"
	"SIGINT (Ctrl-C), SIGTERM and SIGHUP make it give up at once: as 4, and it ends by the signal.\n";

static enum status apply(const struct process *process, const struct live_arguments *arguments, struct live_report *report,
			 struct error *error)
{
	return live_apply(process, arguments->bundle, &arguments->options, report, error);
}

static const struct live_command command = {
	.name = "apply",
	.usage = usage,
	.needed = "one patch file is needed, and one process or --all",
	.new = true,
	.run = apply,
};

static bool concerns(const void *what, const struct survey *survey)
{
	const struct bundle *bundle = what;

	for (size_t i = 0; i < survey->images.count; i++)
		for (size_t j = 0; j < bundle->count; j++)
			if (build_id_equal(&survey->images.item[i].id, &bundle->item[j].old_id))
				return true;
	return false;
}

static enum status change(const void *what, const struct process *process, const struct live_options *wanted,
			  struct live_report *report, struct error *error)
{
	return live_apply(process, what, wanted, report, error);
}

static enum status apply_to_all(const struct bundle *bundle, const struct live_arguments *arguments, struct error *error)
{
	const struct live_all all = {
		.arguments = arguments,
		.what = bundle,
		.concerns = concerns,
		.change = change,
		.done = "patched",
	};

	return live_all(&all, error);
}

int cmd_apply(int argc, char **argv)
{
	struct live_arguments arguments;
	struct bundle bundle = { 0 };
	struct error error = { 0 };
	enum status status;
	int code;

	if (!live_parse(&command, argc, argv, &arguments, &code))
		return code;
	status = policy_read_patch(arguments.what, &arguments.signature, &bundle, &error);
	if (status == STATUS_OK) {
		arguments.bundle = &bundle;
		live_hold_signals();
		status = arguments.all ? apply_to_all(&bundle, &arguments, &error) : family_run(&command, &arguments);
	}
	bundle_free(&bundle);
	return live_finish(status, &error);
}
