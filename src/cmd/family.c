#include "cmd/family.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "process/relatives.h"

#define NAP 5000000	/* ns between two looks at the foreman */

int family_to_foreman = -1;

/* Of the stent that was started. */
static struct {
	const struct live_command *command;
	const struct live_arguments *arguments;
	pid_t foreman;		/* 0: none */
	char *failed;		/* why there is none although there should be */
} family;

int outcome_worse(int one, int other)
{
	static const int rank[] = {
		[OUTCOME_GONE] = 0, [STATUS_NOTHING] = 1, [STATUS_OK] = 2, [STATUS_GAVE_UP] = 3, [STATUS_REFUSED] = 4, [STATUS_ERROR] = 5,
	};

	return rank[one] > rank[other] ? one : other;
}

void family_die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_ERROR);
}

/* Does the task have a process still, now that it has failed? What has ended, or executed another program, needs no patch. */
static bool still_there(const struct family_task *task, const struct live_report *report)
{
	bool unfinished;

	/* (What it was turned back to may have been unmapped since: nothing else tells it from another program.) */
	if (task->region.ledger && report->unmapped)
		return true;
	if (task->region.ledger)
		return live_look_at_copy(task->pid, task->region, &unfinished) != LIVE_COPY_NONE;
	return live_look(task->pid, task->arguments->bundle, task->arguments->what) != LIVE_UNCONCERNED;
}

int family_work(const struct family_task *task, struct live_report *report, bool *has_child)
{
	const struct live_arguments *arguments = task->arguments;
	struct error error = { 0 };
	struct process process;
	enum status status = process_open(task->pid, PROCESS_CHANGE, &process, &error);

	/* (The process is open: who has the number now keeps it.) */
	if (status == STATUS_OK && task->began && !relatives_same(task->pid, task->began))
		status = fail(&error, "process %d has ended", task->pid);
	else if (status == STATUS_OK && task->region.ledger)
		status = live_finish_copy(&process, task->region, task->new, &arguments->options, report, &error);
	else if (status == STATUS_OK)
		status = task->command->run(&process, arguments, report, &error);
	if (status == STATUS_OK)
		live_print_report(report, &process, arguments->verbose);
	else
		live_print_traces(report, &process);
	*has_child = relatives_has_child(&process);
	process_close(&process);
	if (status != STATUS_OK && status != STATUS_NOTHING && task->began && !still_there(task, report)) {
		if (arguments->verbose)
			printf("process %d has ended or executed another program\n", task->pid);
		error_clear(&error);
		return OUTCOME_GONE;
	}
	return cmd_report(status, &error);
}

/* `process`: open in this one, and not to be in the foreman: it would hold the lock. Or NULL. */
static void start_foreman(const struct process *process, struct live_region region)
{
	pid_t parent = getpid();
	int pipes[2];

	fflush(stdout);
	signal(SIGCHLD, SIG_DFL);	/* ignored, it would let the foreman vanish without a word */
	if (pipe2(pipes, O_CLOEXEC) < 0) {
		family.failed = text_format("no pipe: %s", strerror(errno));
		return;
	}
	family_to_foreman = pipes[1];
	family.foreman = fork();
	if (family.foreman == 0) {
		struct process copy;

		family_die_with(parent);
		if (process) {
			copy = *process;
			process_close(&copy);
		}
		_exit(foreman_run(family.command, family.arguments, region, pipes[0]));
	}
	close(pipes[0]);
	if (family.foreman < 0) {
		family.failed = text_format("can't fork: %s", strerror(errno));
		family.foreman = 0;
		close(family_to_foreman);
		family_to_foreman = -1;
	}
}

static void send_message(const struct family_message *message)
{
	/* A foreman that has died is found out in the end. */
	if (family_to_foreman >= 0 && write(family_to_foreman, message, sizeof(*message)) < 0)
		return;
}

void family_tell(const struct process *process, struct live_region region)
{
	const struct family_message message = { .region = region };

	if (family_to_foreman >= 0)
		send_message(&message);
	else if (!family.failed)
		start_foreman(process, region);
}

/* SIGTERM to this process alone is meant for all; and Ctrl-C has reached all. */
static int wait_for_foreman(void)
{
	const struct timespec nap = { 0, NAP };
	bool passed_on = false;
	int status;
	pid_t found;

	while ((found = waitpid(family.foreman, &status, WNOHANG)) == 0) {
		if (!passed_on && live_cancelled()) {
			kill(family.foreman, SIGTERM);
			passed_on = true;
		}
		nanosleep(&nap, NULL);
	}
	if (found == family.foreman && WIFEXITED(status) && WEXITSTATUS(status) <= OUTCOME_GONE)
		return WEXITSTATUS(status);
	fputs("stent: the part of stent that looks for further processes has ended before its time\n", stderr);
	return STATUS_ERROR;
}

/* All other processes, when the one that was named is done with. */
static int finish_others(int outcome, const struct live_report *report, bool has_child)
{
	const struct family_message message = { .ended = true, .outcome = outcome };
	bool good = outcome == STATUS_OK || outcome == STATUS_NOTHING;

	/* Without --tree, children that an earlier stent has left, or that were forked just at the end. */
	if (!family.foreman && !family.failed && good && has_child && report->region.ledger && !family.arguments->options.no_wait &&
	    foreman_is_needed(family.command, family.arguments, report->region))
		start_foreman(NULL, report->region);
	if (family.failed) {
		fprintf(stderr, "stent: further processes have been left as they are: %s\n", family.failed);
		return STATUS_ERROR;
	}
	if (!family.foreman)
		return OUTCOME_GONE;
	send_message(&message);
	return wait_for_foreman();
}

static bool is_concerned(const struct live_arguments *arguments)
{
	return live_look(arguments->pid, arguments->bundle, arguments->what) != LIVE_UNCONCERNED;
}

enum status family_run(const struct live_command *command, const struct live_arguments *arguments)
{
	struct live_arguments mine = *arguments;
	const struct family_task task = { .command = command, .arguments = &mine, .pid = arguments->pid };
	struct live_report report = { 0 };
	int outcome = OUTCOME_GONE, others;
	bool has_child = false, concerned;

	if (arguments->tree && kill(arguments->pid, 0) < 0 && errno == ESRCH) {
		fprintf(stderr, "stent: process %d: there is no such process\n", arguments->pid);
		return STATUS_ERROR;
	}
	/* What begins and is not waited for leaves children as they come; the next stent finds them. */
	if (arguments->tree || !arguments->options.no_wait)
		mine.options.between = family_tell;
	family.command = command;
	family.arguments = &mine;
	if (arguments->tree)
		mine.options.kin = live_kin_new(false);
	/* Of a tree the process that was named need not have the image itself. */
	concerned = !arguments->tree || is_concerned(arguments);
	/* Its children have mapped what it has: they shall not all validate that at the same time. */
	if (arguments->tree && concerned)
		live_read_ahead(arguments->pid, &mine.options);
	if (arguments->tree)
		start_foreman(NULL, (struct live_region){ 0 });
	if (concerned)
		outcome = family_work(&task, &report, &has_child);
	others = finish_others(outcome, &report, has_child);
	outcome = outcome_worse(outcome, others);
	if (outcome == OUTCOME_GONE) {
		fprintf(stderr, "stent: neither process %d nor any that descends from it %s\n", arguments->pid,
			arguments->bundle ? "maps an image that the patch is for" : "holds a patch of that name");
		outcome = STATUS_REFUSED;
	}
	live_report_free(&report);
	live_kin_free(mine.options.kin);
	free(family.failed);
	return (enum status)outcome;
}
