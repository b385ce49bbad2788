/*
 * Which processes are to be worked on, besides the one that was named ("the first"):
 *
 * With --tree all that descend from it, and that the command concerns (live_look()). Each is settled by itself: one that is refused or takes too
 * long keeps none of the others from being patched.
 *
 * Those that were forked while a transition was on have its region, and the ledger there says that it is unfinished. They belong to
 * the transition: as long as the first is at it, theirs goes where that goes; and if it turns round, so do they,
 * also those that had come to the end. They are found by their parents; one whose parent has ended meanwhile by its region,
 * if it is younger than this stent (else it may be what another stent has left of another process, which nobody asked for).
 *
 * Nobody is missed: a child that is forked before its parent is done is in the list of processes that is read behind that, which is why the last
 * look has to begin when nobody is at work any more. A child that is forked later has what its parent has then. A process that
 * could not be brought to an end has more such children, perhaps for ever: they are counted as part of its failure.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/family.h"
#include "process/crew.h"
#include "process/relatives.h"
#include "process/sharing.h"
#include "process/threads.h"

#define WORKERS_MAX 24		/* at a time: each has its own copy of the unwind data */
#define LOOK_EVERY 30		/* ms between two looks for processes */
#define LOOK_LIMIT 10000u	/* ms for a look at one */
#define WORK_LIMIT 60000u	/* and for the work on it, on top of its timeout, there and back */

/*
 * What a look at a process has seen. It holds until the process executes another program or somebody works on it: nothing else gives it
 * a region, or takes it to another state.
 */
struct sight {
	bool known;
	enum live_concern concern;	/* of one that descends from the first, with --tree; or else LIVE_UNCONCERNED */
	enum live_copy copy;		/* of the first region that it has, */
	bool unfinished;
	size_t region;			/* which is this */
};

struct member {
	struct relative who;
	struct sight sight;
	bool tried[2];		/* had a worker towards old, new */
	bool new;		/* where the last one went */
	pid_t worker;		/* 0: none now */
	uint64_t deadline;	/* clock_now(): who is at work then waits for something that does not come */
	int outcome;		/* of the last worker; OUTCOME_GONE before */
	uint64_t ended;		/* clock ticks since the machine started: when it came */
};

struct foreman {
	const struct live_command *command;
	const struct live_arguments *arguments;
	int from;			/* pipe; -1: none, only a look */
	ARRAY(struct live_region) regions;
	ARRAY(struct member) members;
	struct relatives relatives;	/* of the last look */
	uint64_t began;			/* of the stent that was started, in clock ticks since the machine started */
	uint64_t tasks;			/* sharing_tasks_made() before the last look */
	bool changed;			/* something has happened that makes another look worth while */
	bool first_ended;
	int first_outcome;
	uint64_t first_ended_at;
	bool cancelled;
	size_t working;
	ARRAY(pid_t) unknown;		/* members to be looked at */
};

static uint64_t ticks_now(void)
{
	struct timespec now;
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * hz + (uint64_t)now.tv_nsec * hz / 1000000000u;
}

static bool is_failure(int outcome)
{
	return outcome == STATUS_ERROR || outcome == STATUS_REFUSED || outcome == STATUS_GAVE_UP;
}

static struct member *find_member(struct foreman *foreman, pid_t pid)
{
	for (size_t i = foreman->members.count; i-- > 0;)
		if (foreman->members.item[i].who.pid == pid)
			return &foreman->members.item[i];
	return NULL;
}

/* The entry of a process, as new if it is another one or runs another program by now. */
static struct member *note_member(struct foreman *foreman, const struct relative *relative)
{
	struct member *member = find_member(foreman, relative->pid);

	if (!member || member->who.began != relative->began) {
		member = array_add(&foreman->members);
		*member = (struct member){ .outcome = OUTCOME_GONE };
	} else if (member->who.stack_start != relative->stack_start && !member->worker) {
		*member = (struct member){ .outcome = member->outcome, .ended = member->ended };
	}
	member->who = *relative;
	return member;
}

/* A child of a process that has failed, and made later: it is as that is. */
static bool is_part_of_failure(struct foreman *foreman, const struct relative *relative)
{
	const struct member *parent = find_member(foreman, relative->parent);

	if (relative->parent == foreman->arguments->pid)
		return foreman->first_ended && (is_failure(foreman->first_outcome) || foreman->arguments->options.no_wait) &&
		       relative->began > foreman->first_ended_at;
	return parent && !parent->worker && (is_failure(parent->outcome) || foreman->arguments->options.no_wait) &&
	       relative->began > parent->ended;
}

/* The process has the region because the one that was named has, or had it. */
static bool belongs(const struct foreman *foreman, const struct relative *relative, struct live_region region)
{
	const struct relative *parent;
	bool unfinished;

	if (relatives_descends(&foreman->relatives, relative, foreman->arguments->pid))
		return true;
	/* Up to the last that has the region: its parent has ended, or it would have it, too. */
	for (; relative; relative = parent) {
		if (relative->began < foreman->began)
			return false;
		parent = relatives_find(&foreman->relatives, relative->parent);
		if (!parent || live_look_at_copy(parent->pid, region, &unfinished) == LIVE_COPY_NONE)
			return true;
	}
	return false;
}

/* The version that inherited transitions go to. */
static bool goes_to_new(const struct foreman *foreman)
{
	return foreman->arguments->tree || !is_failure(foreman->first_outcome) ? foreman->command->new : !foreman->command->new;
}

/* What the process has inherited has to be brought to an end. */
static bool is_to_finish(const struct foreman *foreman, const struct member *member)
{
	enum live_copy copy = member->sight.copy;
	bool new = goes_to_new(foreman);

	if (copy == LIVE_COPY_NONE || member->tried[new])
		return false;
	/* Until then it is not known to where: only those that go the same way can go on. */
	if (!foreman->first_ended)
		return copy == (new ? LIVE_COPY_INSTALLING : LIVE_COPY_REVERTING);
	return member->sight.unfinished || (member->tried[!new] && copy == (new ? LIVE_COPY_REVERTED : LIVE_COPY_ACTIVE));
}

/* In a child: a look at a process may wait for ever (process/crew.h). */
static char *look_at(void *context, size_t job)
{
	struct foreman *foreman = context;
	const struct live_arguments *arguments = foreman->arguments;
	const struct relative *relative = relatives_find(&foreman->relatives, foreman->unknown.item[job]);
	struct sight sight = { .concern = LIVE_UNCONCERNED, .copy = LIVE_COPY_NONE };

	if (relative && arguments->tree && relatives_descends(&foreman->relatives, relative, arguments->pid))
		sight.concern = live_look(relative->pid, arguments->bundle, arguments->what);
	for (size_t i = 0; relative && i < foreman->regions.count && sight.copy == LIVE_COPY_NONE; i++) {
		sight.region = i;
		sight.copy = live_look_at_copy(relative->pid, foreman->regions.item[i], &sight.unfinished);
		if (sight.copy != LIVE_COPY_NONE && !belongs(foreman, relative, foreman->regions.item[i]))
			sight.copy = LIVE_COPY_NONE;
	}
	return text_format("%d %d %d %zu", (int)sight.concern, (int)sight.copy, sight.unfinished, sight.region);
}

static void take_sight(void *context, size_t job, enum crew_end end, const char *answer)
{
	struct foreman *foreman = context;
	struct member *member = find_member(foreman, foreman->unknown.item[job]);
	int concern = LIVE_UNCONCERNED, copy = LIVE_COPY_NONE, unfinished = 0;
	size_t region = 0;

	if (!member)
		return;
	if (end == CREW_DONE) {
		(void)!sscanf(answer, "%d %d %d %zu", &concern, &copy, &unfinished, &region);
	} else if (relatives_descends(&foreman->relatives, &member->who, foreman->arguments->pid) && !is_failure(member->outcome)) {
		/* One of others has nothing to do with this. */
		fprintf(stderr, "stent: process %d has been left as it is: it can't be looked at in time\n", member->who.pid);
		member->outcome = STATUS_ERROR;
		member->ended = ticks_now();
	}
	member->sight = (struct sight){ true, (enum live_concern)concern, (enum live_copy)copy, unfinished, region };
}

static void look_at_unknown(struct foreman *foreman)
{
	const struct crew crew = { .work = look_at, .take = take_sight, .context = foreman, .limit = LOOK_LIMIT };

	if (foreman->unknown.count)
		crew_run(&crew, foreman->unknown.count);
}

/* What has to be done to the process now. False: nothing. */
static bool find_task(const struct foreman *foreman, const struct member *member, struct family_task *task)
{
	bool new = foreman->command->new;

	*task = (struct family_task){ .command = foreman->command, .arguments = foreman->arguments, .pid = member->who.pid,
				      .began = member->who.began, .new = new };
	if (member->worker || !member->sight.known)
		return false;
	if (member->sight.concern != LIVE_UNCONCERNED)
		return member->sight.concern == LIVE_OPEN && !member->tried[new];
	if (!is_to_finish(foreman, member))
		return false;
	task->region = foreman->regions.item[member->sight.region];
	task->new = goes_to_new(foreman);
	return true;
}

static void start_worker(struct foreman *foreman, struct member *member, const struct family_task *task)
{
	pid_t parent = getpid(), worker;
	struct live_report report = { 0 };

	fflush(stdout);
	worker = fork();
	if (worker == 0) {
		family_die_with(parent);
		bool has_child;
		int outcome = family_work(task, &report, &has_child);

		fflush(stdout);
		_exit(outcome);
	}
	member->tried[task->new] = true;
	member->new = task->new;
	if (worker < 0) {
		fprintf(stderr, "stent: process %d has been left as it is: can't fork\n", task->pid);
		member->outcome = STATUS_ERROR;
		return;
	}
	member->worker = worker;
	member->deadline = clock_now() + (2 * (uint64_t)foreman->arguments->options.timeout + WORK_LIMIT) * 1000000u;
	foreman->working++;
}

static bool is_candidate(struct foreman *foreman, const struct relative *relative)
{
	pid_t first = foreman->arguments->pid;

	if (relative->pid == first)
		return false;
	if (!relatives_descends(&foreman->relatives, relative, first) && relative->began < foreman->began)
		return false;
	/* It runs in its parent's memory (vfork), which is its parent's to change; it will end or execute a program. */
	return !sharing_two(relative->pid, relative->parent) && !is_part_of_failure(foreman, relative);
}

/* List all processes, and look at those that are not known. */
static void look(struct foreman *foreman)
{
	foreman->tasks = sharing_tasks_made();
	foreman->changed = false;
	foreman->unknown.count = 0;
	relatives_list(&foreman->relatives);
	for (size_t i = 0; i < foreman->relatives.count; i++) {
		const struct relative *relative = &foreman->relatives.item[i];
		const struct member *member;

		if (!is_candidate(foreman, relative))
			continue;
		member = note_member(foreman, relative);
		if (!member->sight.known && !member->worker)
			*array_add(&foreman->unknown) = relative->pid;
	}
	look_at_unknown(foreman);
}

/* How many processes have to be worked on; with `start`, that is begun for as many as may be at a time. */
static size_t start_workers(struct foreman *foreman, bool start)
{
	size_t count = 0;

	for (size_t i = 0; i < foreman->members.count; i++) {
		struct member *member = &foreman->members.item[i];
		struct family_task task;

		if (!find_task(foreman, member, &task))
			continue;
		/* Who has asked for an end does not want more to begin; what has begun is taken back all the same. */
		if (foreman->cancelled && task.new == foreman->command->new)
			continue;
		count++;
		if (start && foreman->working < WORKERS_MAX)
			start_worker(foreman, member, &task);
	}
	return count;
}

/* Workers that go to that version are to give up, as by Ctrl-C. */
static void stop_workers(const struct foreman *foreman, bool new)
{
	for (size_t i = 0; i < foreman->members.count; i++)
		if (foreman->members.item[i].worker && foreman->members.item[i].new == new)
			kill(foreman->members.item[i].worker, SIGTERM);
}

/* What was seen may be so no more: another region is asked for; or, for the last look, an image may have been mapped since (dlopen). */
static void look_anew(struct foreman *foreman)
{
	for (size_t i = 0; i < foreman->members.count; i++)
		foreman->members.item[i].sight.known = false;
}

static void take_message(struct foreman *foreman, const struct family_message *message)
{
	foreman->changed = true;
	if (message->ended) {
		foreman->first_ended = true;
		foreman->first_outcome = message->outcome;
		foreman->first_ended_at = ticks_now();
		if (goes_to_new(foreman) != foreman->command->new)
			stop_workers(foreman, foreman->command->new);
		return;
	}
	for (size_t i = 0; i < foreman->regions.count; i++)
		if (foreman->regions.item[i].nonce == message->region.nonce && foreman->regions.item[i].ledger == message->region.ledger)
			return;
	*array_add(&foreman->regions) = message->region;
	look_anew(foreman);
}

/* Wait a little for messages, and take those that have come. */
static void take_messages(struct foreman *foreman, int milliseconds)
{
	struct pollfd from = { .fd = foreman->from, .events = POLLIN };
	struct family_message message;

	while (poll(&from, 1, milliseconds) == 1 && from.revents & POLLIN && read(foreman->from, &message, sizeof(message)) == (ssize_t)sizeof(message)) {
		take_message(foreman, &message);
		milliseconds = 0;
	}
}

static int outcome_of(const struct member *member, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) <= OUTCOME_GONE)
		return WEXITSTATUS(status);
	fprintf(stderr, "stent: process %d: the stent that worked on it has ended before its time\n", member->who.pid);
	return STATUS_ERROR;
}

static void reap(struct foreman *foreman)
{
	for (size_t i = 0; i < foreman->members.count; i++) {
		struct member *member = &foreman->members.item[i];
		int status;

		if (!member->worker)
			continue;
		if (waitpid(member->worker, &status, WNOHANG) != member->worker) {
			if (clock_now() >= member->deadline)
				kill(member->worker, SIGKILL);
			continue;
		}
		member->worker = 0;
		member->outcome = outcome_of(member, status);
		member->ended = ticks_now();
		member->sight.known = false;
		foreman->working--;
		foreman->changed = true;
	}
}

/*
 * It was reverted, and nothing is left of the patch in it, when the first turned round and stayed as it was: to go back it would need the patch. (If
 * it has executed another program since, it needs nothing.)
 */
static bool is_cut_off(const struct foreman *foreman, const struct member *member)
{
	const struct relative *now = relatives_find(&foreman->relatives, member->who.pid);

	return !foreman->command->new && goes_to_new(foreman) && member->tried[false] && member->outcome == STATUS_OK &&
	       member->sight.copy == LIVE_COPY_NONE && now && now->began == member->who.began && now->stack_start == member->who.stack_start;
}

/* What all came to. With --tree it is said, too. */
static int sum_up(const struct foreman *foreman)
{
	size_t counts[OUTCOME_GONE + 1] = { 0 };
	int worst = OUTCOME_GONE;

	for (size_t i = 0; i < foreman->members.count; i++) {
		const struct member *member = &foreman->members.item[i];
		int outcome = member->outcome;

		if (outcome == OUTCOME_GONE && member->sight.concern == LIVE_SETTLED)
			outcome = STATUS_NOTHING;
		if (is_cut_off(foreman, member)) {
			fprintf(stderr, "stent: process %d: the patch has been taken out of it already, and stays so\n", member->who.pid);
			outcome = STATUS_REFUSED;
		}
		counts[outcome]++;
		worst = outcome_worse(worst, outcome);
	}
	counts[foreman->first_outcome]++;
	if (foreman->arguments->tree)
		printf("processes below %d, and itself: %zu done, %zu had nothing to do, %zu refused, %zu gave up, %zu failed\n",
		       foreman->arguments->pid, counts[STATUS_OK], counts[STATUS_NOTHING], counts[STATUS_REFUSED],
		       counts[STATUS_GAVE_UP], counts[STATUS_ERROR]);
	fflush(stdout);
	return worst;
}

static void free_foreman(struct foreman *foreman)
{
	array_free(&foreman->regions);
	array_free(&foreman->members);
	array_free(&foreman->relatives);
	array_free(&foreman->unknown);
}

static uint64_t began_of(struct foreman *foreman, pid_t pid)
{
	const struct relative *relative;

	relatives_list(&foreman->relatives);
	relative = relatives_find(&foreman->relatives, pid);
	return relative ? relative->began : 0;
}

int foreman_run(const struct live_command *command, const struct live_arguments *arguments, struct live_region region, int from)
{
	struct foreman foreman = { .command = command, .arguments = arguments, .from = from, .changed = true,
				   .first_outcome = OUTCOME_GONE };
	int worst;

	foreman.began = began_of(&foreman, getppid());
	if (region.ledger)
		*array_add(&foreman.regions) = region;
	while (1) {
		bool last;

		reap(&foreman);
		if (live_cancelled() && !foreman.cancelled) {
			foreman.cancelled = true;
			stop_workers(&foreman, command->new);
		}
		last = foreman.first_ended && !foreman.working;
		if (last)
			look_anew(&foreman);
		if (last || foreman.changed || !foreman.tasks || foreman.tasks != sharing_tasks_made())
			look(&foreman);
		if (!start_workers(&foreman, true) && last)
			break;
		take_messages(&foreman, LOOK_EVERY);
	}
	worst = sum_up(&foreman);
	free_foreman(&foreman);
	return worst;
}

bool foreman_is_needed(const struct live_command *command, const struct live_arguments *arguments, struct live_region region)
{
	struct foreman foreman = { .command = command, .arguments = arguments, .from = -1, .first_ended = true,
				   .first_outcome = STATUS_OK, .first_ended_at = UINT64_MAX };
	bool needed;

	foreman.began = began_of(&foreman, getpid());
	*array_add(&foreman.regions) = region;
	look(&foreman);
	needed = start_workers(&foreman, false);
	free_foreman(&foreman);
	return needed;
}
