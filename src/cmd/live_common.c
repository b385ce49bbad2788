#include "cmd/live_common.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/outcomes.h"
#include "live/ledger.h"
#include "process/threads.h"

#define TIMEOUT 30000u		/* milliseconds */
#define TIMEOUT_MAX 86400.0	/* seconds */
#define SEARCH (UINT64_C(256) << 20)	/* bytes: tens of milliseconds of standing still */
#define SEARCH_MAX (1u << 24)	/* MiB */
#define TOLD_AFTER 1000u	/* milliseconds */
#define SOME 3u			/* lines a second */
#define RECLAIM (UINT64_C(16) << 20)	/* bytes: as long as a stop of a large process takes */

enum status live_parse_timeout(const char *text, unsigned int *milliseconds, struct error *error)
{
	char *end;
	double seconds = strtod(text, &end);

	/* (A comparison with NaN is false.) */
	if (end == text || *end || !(seconds >= 0 && seconds <= TIMEOUT_MAX))
		return fail(error, "'%s' is not a number of seconds from 0 to %.0f", text, TIMEOUT_MAX);
	*milliseconds = (unsigned int)(seconds * 1000);
	return STATUS_OK;
}

static enum status parse_search(const char *text, uint64_t *bytes, struct error *error)
{
	char *end;
	unsigned long long mebibytes = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || mebibytes > SEARCH_MAX)
		return fail(error, "'%s' is not a number of MiB from 0 to %u", text, SEARCH_MAX);
	*bytes = (uint64_t)mebibytes << 20;
	return STATUS_OK;
}

enum { OPTION_SCOPE = 256, OPTION_RECLAIM, OPTION_NO_WAIT, OPTION_FORCE, OPTION_REPLACE, OPTION_TREE, OPTION_REQUIRE, OPTION_KEYS, OPTION_SIGNATURE };

static const struct option options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "all", no_argument, NULL, 'a' },
	{ "timeout", required_argument, NULL, 't' },
	{ "search", required_argument, NULL, 's' },
	{ "reclaim", required_argument, NULL, OPTION_RECLAIM },
	{ "scope", required_argument, NULL, OPTION_SCOPE },
	{ "no-wait", no_argument, NULL, OPTION_NO_WAIT },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "replace", no_argument, NULL, OPTION_REPLACE },
	{ "require-signature", no_argument, NULL, OPTION_REQUIRE },
	{ "keys", required_argument, NULL, OPTION_KEYS },
	{ "signature", required_argument, NULL, OPTION_SIGNATURE },
	{ "tree", no_argument, NULL, OPTION_TREE },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static enum status parse_scope(const char *text, bool *together, struct error *error)
{
	*together = strcmp(text, "process") == 0;
	if (*together || strcmp(text, "thread") == 0)
		return STATUS_OK;
	return fail(error, "'%s' is no scope: 'thread' and 'process' are", text);
}

/* What is waited for, as it turns out. */
static void print_waiting(const struct process *process, pid_t tid, const char *text)
{
	fprintf(stderr, "stent: process %d (%s): waiting for thread %d: %s\n", process->pid, process->comm, tid, text);
}

/* Some of it: who does not want to hear of every thread may have a thousand of them. */
static void print_some_waiting(const struct process *process, pid_t tid, const char *text)
{
	static uint64_t since;
	static unsigned int printed;
	uint64_t now = clock_now();

	if (now - since > 1000000000u) {
		since = now;
		printed = 0;
	}
	if (++printed <= SOME)
		print_waiting(process, tid, text);
	else if (printed == SOME + 1)
		fprintf(stderr, "stent: process %d (%s): waiting for other threads, too\n", process->pid, process->comm);
}

static enum status parse_option(int option, const char *argument, struct live_arguments *arguments, struct error *error)
{
	switch (option) {
	case 'p':
		if (arguments->pid)
			return fail(error, "one process can be named, not more (--tree takes those that descend from it, --all each one)");
		return cmd_parse_pid(argument, &arguments->pid, error);
	case 'a':
		arguments->all = true;
		return STATUS_OK;
	case 't':
		return live_parse_timeout(argument, &arguments->options.timeout, error);
	case 's':
		return parse_search(argument, &arguments->options.search, error);
	case OPTION_RECLAIM:
		return parse_search(argument, &arguments->options.reclaim, error);
	case OPTION_SCOPE:
		return parse_scope(argument, &arguments->options.together, error);
	case OPTION_NO_WAIT:
		arguments->options.no_wait = true;
		return STATUS_OK;
	case OPTION_REPLACE:
		arguments->options.replace = true;
		return STATUS_OK;
	case OPTION_REQUIRE:
		arguments->signature.require = true;
		return STATUS_OK;
	case OPTION_KEYS:
		arguments->signature.keys = argument;
		return STATUS_OK;
	case OPTION_SIGNATURE:
		arguments->signature.file = argument;
		return STATUS_OK;
	case OPTION_TREE:
		arguments->tree = true;
		return STATUS_OK;
	case OPTION_FORCE:
		arguments->options.force = true;
		return STATUS_OK;
	default:
		arguments->verbose = true;
		arguments->options.waiting = print_waiting;
		return STATUS_OK;
	}
}

/* Signals by which people end a command, but for those that are ignored (nohup). */
static sigset_t ending, mask_before;
static bool held;

bool live_cancelled(void)
{
	sigset_t pending, wanted;

	sigpending(&pending);
	sigandset(&wanted, &pending, &ending);
	return !sigisemptyset(&wanted);
}

void live_hold_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t set;

	sigemptyset(&ending);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct sigaction action;

		/* A signal that is blocked becomes pending although it is ignored (kernel/signal.c, sig_ignored()). */
		if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&ending, signals[i]);
	}
	set = ending;
	/* While stent is stopped, nobody would let go a thread that it has under control and that stops now. */
	sigaddset(&set, SIGTSTP);
	held = sigprocmask(SIG_BLOCK, &set, &mask_before) == 0;
}

struct live_options live_default_options(void)
{
	return (struct live_options){ .timeout = TIMEOUT, .search = SEARCH, .reclaim = RECLAIM, .cancelled = live_cancelled };
}

bool live_parse(const struct live_command *command, int argc, char **argv, struct live_arguments *arguments, int *code)
{
	struct error error = { 0 };
	int option;

	*arguments = (struct live_arguments){ .options = live_default_options() };
	while ((option = getopt_long(argc, argv, "p:at:s:vh", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(command->usage, stdout);
			*code = STATUS_OK;
			return false;
		}
		if (option == '?') {
			*code = cmd_misused_option(command->name);
			return false;
		}
		if (parse_option(option, optarg, arguments, &error) != STATUS_OK) {
			*code = cmd_report(STATUS_ERROR, &error);
			return false;
		}
	}
	if (optind + 1 != argc || !arguments->pid == !arguments->all || (arguments->tree && arguments->all)) {
		*code = cmd_misused(command->name, "%s", command->needed);
		return false;
	}
	/* (Options of apply only; a patch that is in has been judged.) */
	if (!command->new && (arguments->signature.require || arguments->signature.keys || arguments->signature.file)) {
		*code = cmd_misused(command->name, "signatures are looked at by 'stent apply' only");
		return false;
	}
	arguments->what = argv[optind];
	/* (Of many processes the numbers are shown.) */
	if (!arguments->verbose && !arguments->all) {
		arguments->options.waiting = print_some_waiting;
		arguments->options.waiting_after = TOLD_AFTER;
	}
	return true;
}

int live_finish(enum status status, struct error *error)
{
	int code = cmd_report(status, error);

	/* All is done or undone, and said: a signal may end stent now, so that its caller sees that. */
	fflush(stdout);
	if (held)
		sigprocmask(SIG_SETMASK, &mask_before, NULL);
	return code;
}

static void print_blocker(const struct live_blocker *blocker)
{
	printf("  waited for thread %d (%s): %s", blocker->tid, blocker->comm, blocker->text);
	if (blocker->times > 1)
		printf(", %u times", blocker->times);
	putchar('\n');
}

static void print_stop(const struct live_report *report, bool verbose)
{
	size_t shown = verbose ? report->blockers.count : report->blockers.count < 3 ? report->blockers.count : 3;
	char *search;

	if (!report->tries)
		return;
	search = outcome_search_text(report->paused, report->searching, report->searched, report->searched_for, verbose);
	printf("  paused     %.*f ms, %zu thread%s", verbose ? 3 : 2, (double)report->paused / 1e6, report->threads,
	       report->threads == 1 ? "" : "s");
	if (report->tries > 1)
		printf(" (%u tries, the longest %.2f ms)", report->tries, (double)report->longest / 1e6);
	putchar('\n');
	if (search)
		printf("  searched   %s\n", search);
	free(search);
	if (report->walked)
		printf("  stacks     %zu of %zu walked, the others proven free by a scan alone\n", report->walked,
		       report->threads);
	for (size_t i = 0; i < shown; i++)
		print_blocker(&report->blockers.item[i]);
	if (shown < report->blockers.count)
		printf("  and for %zu more (-v names them)\n", report->blockers.count - shown);
}

static void print_memory(const struct live_report *report)
{
	if (report->borrowed)
		printf("  borrowed   %.2f ms of one thread, for system calls\n", (double)report->borrowed / 1e6);
	if (report->unmapped)
		printf("  unmapped   %" PRIu64 " KiB\n", report->unmapped / 1024);
	for (size_t i = 0; i < report->kept.count; i++)
		printf("  memory     %s\n", report->kept.item[i]);
	if (report->reclaiming)
		printf("  paused     %.2f ms more, to see whether that memory is referred to\n", (double)report->reclaiming / 1e6);
}

void live_print_traces(const struct live_report *report, const struct process *process)
{
	if (report->borrowed || report->unmapped || report->kept.count || report->reclaiming)
		printf("process %d (%s)\n", process->pid, process->comm);
	print_memory(report);
}

void live_print_report(const struct live_report *report, const struct process *process, bool verbose)
{
	enum ledger_state state = (enum ledger_state)report->state;

	printf("patch %s is %s in process %d (%s)\n", report->name, ledger_state_name(state), process->pid, process->comm);
	if (state == LEDGER_INSTALLING || state == LEDGER_REVERTING)
		puts("  not done   threads are still in the version that is left: apply or revert it again to finish that");
	printf("  image      %s\n", report->image);
	for (size_t i = 0; i < report->skipped.count; i++)
		printf("  passed by  %s\n", report->skipped.item[i]);
	if (state == LEDGER_REVERTED || state == LEDGER_REVERTING)
		printf("  functions  %zu restored\n", report->redirected);
	else
		printf("  functions  %zu redirected, %zu added\n", report->redirected, report->added);
	if (report->reused)
		puts("  memory     that of an earlier application is used again");
	print_stop(report, verbose);
	print_memory(report);
}
