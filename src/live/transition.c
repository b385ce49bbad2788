/*
 * One try: stop all threads; look once more at what the decision rests on; check each thread's stack; when all are free,
 * switch; let all go. Otherwise let all go, wait, and try again.
 *
 * What may interrupt a try:
 * - stent is killed while threads are stopped: they run on. Before the switch nothing has been written; in the switch see
 *   versions.c.
 * - a thread can't be stopped (it waits for a vfork child, which runs in the same memory, or for a dead disk): it counts as in
 *   the way. Threads can't be created while all others are stopped.
 * - the process ends or executes another program: writes go nowhere (process/memory.c), the try fails.
 */
#include "live/transition.h"

#include <stdlib.h>

#include "live/blockers.h"
#include "live/contexts.h"
#include "live/digest.h"
#include "live/stacks.h"
#include "live/versions.h"
#include "process/remote.h"
#include "process/sharing.h"
#include "process/threads.h"

#define WAIT_FIRST 10u		/* milliseconds between the first two tries; doubled each time up to */
#define WAIT_LONGEST 250u
#define STOP_FIRST 100u		/* milliseconds that all threads may take to stop, doubled each time up to */
#define STOP_LONGEST 1000u
#define SLEEP_FIRST 500u	/* milliseconds without a try although a thread in the way has not moved, up to */
#define SLEEP_LONGEST 4000u
#define FOLLOW_FIRST 10u	/* milliseconds that threads in the way are followed, doubled each time up to */
#define FOLLOW_LONGEST 80u

struct transition {
	struct survey *survey;
	struct ledger *ledger;
	enum direction direction;
	struct live_report *report;
	struct stack_check check;
	struct threads threads;
	struct remote_leftovers leftovers;	/* stubs of killed patchers, to be removed when all stands still */
	struct blockers blockers;		/* of the last try */
};

static void prepare_check(struct transition *transition)
{
	const struct ledger *ledger = transition->ledger;
	struct stack_check *check = &transition->check;

	*check = (struct stack_check){ .survey = transition->survey, .arch = arch_by_machine(ledger->machine) };
	/* Stubs, switches and displaced copies belong to both versions: whoever is in them has not arrived yet. */
	stack_check_add(check, ledger->code, "a stub of stent");
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		if (function->redirected)
			stack_check_add(check, (struct range){ function->site, function->site + function->size },
					function->name);
		for (size_t j = 0; transition->direction == TO_NEW && j < function->old_ranges.count; j++)
			stack_check_add(check, function->old_ranges.item[j], function->name);
		for (size_t j = 0; transition->direction == TO_OLD && j < function->new_ranges.count; j++)
			stack_check_add(check, function->new_ranges.item[j], function->name);
	}
	/* All code of the slice, also what is part of no listed function. */
	for (size_t i = 0; transition->direction == TO_OLD && i < ledger->parts.count; i++)
		if (ledger->parts.item[i].flags & SEGMENT_EXECUTE)
			stack_check_add(check, ledger->parts.item[i].range, "new code");
	for (size_t i = 0; i < ledger->parts.count; i++)
		if (range_holds(ledger->parts.item[i].range, ledger->slots))
			*array_add(&check->tables) = ledger->parts.item[i].range;
	stack_check_ready(check);
}

/* Threads that would not stop. */
static void note_running(struct transition *transition)
{
	const struct process *process = transition->survey->process;

	for (size_t i = 0; i < transition->threads.count; i++) {
		const struct thread *thread = &transition->threads.item[i];
		struct task_call call;

		if (thread->state != THREAD_RUNNING)
			continue;
		if (process_task_call(process, thread->tid, &call) && call.blocked && registers_call_spawns(call.number))
			blockers_add(&transition->blockers, process, thread->tid, "waits for a child that runs in the same memory (vfork)");
		else
			blockers_add(&transition->blockers, process, thread->tid, "does not stop");
	}
}

/* Check every thread. True: all are free. */
static bool check_threads(struct transition *transition, const struct stack_check *check, const struct maps *maps, bool note)
{
	bool free_all = true;

	for (size_t i = 0; i < transition->threads.count; i++) {
		const struct thread *thread = &transition->threads.item[i];
		struct stack_result result;

		if (thread->state != THREAD_STOPPED)	/* ended */
			continue;
		stack_check_thread(check, maps, thread, &result);
		if (result.verdict != STACK_FREE)
			free_all = false;
		if (!note)
			continue;
		transition->report->threads++;
		transition->report->walked += result.walked;
		if (result.verdict != STACK_FREE)
			blockers_add(&transition->blockers, transition->survey->process, thread->tid, result.text);
	}
	return free_all;
}

/* The process is still the one that was prepared. */
static enum status check_process(const struct transition *transition, struct error *error)
{
	const struct process *process = transition->survey->process;
	const struct ledger *ledger = transition->ledger;

	/* The region may have been unmapped, or another one may have come to lie at its place. */
	if (!process_same_program(process) || !ledger_is_there(process, ledger))
		return fail(error, "process %d (%s) has executed another program or unmapped the patch meanwhile",
			    process->pid, process->comm);
	/* A killed stent may have left some entries redirected. */
	if (transition->direction == TO_OLD)
		return versions_check_sites(process, ledger, true, true, error);
	return versions_check_sites(process, ledger, true, false, error);
}

static void sweep_leftovers(struct transition *transition, const struct maps *maps)
{
	struct stack_check check = { .survey = transition->survey, .arch = transition->check.arch };

	if (!transition->leftovers.count)
		return;
	for (size_t i = 0; i < transition->leftovers.count; i++)
		stack_check_add(&check, transition->leftovers.item[i], "");
	stack_check_ready(&check);
	if (check_threads(transition, &check, maps, false))
		remote_sweep(transition->survey->process, &transition->leftovers);
	stack_check_free(&check);
}

/* Another process runs in the same memory, and isn't stopped together with this one. */
static bool is_shared(struct transition *transition)
{
	const struct process *process = transition->survey->process;
	pid_t other = sharing_process(process);

	if (other)
		blockers_add(&transition->blockers, process, other, "another process, which runs in the same memory");
	return other;
}

/* Frames that no thread is on: of suspended coroutines. */
static bool contexts_are_free(struct transition *transition, const struct maps *maps)
{
	const struct process *process = transition->survey->process;
	struct stack_result result;

	contexts_check(&transition->check, maps, &transition->threads, &result);
	if (result.verdict != STACK_FREE)
		blockers_add(&transition->blockers, process, process->pid, result.text);
	return result.verdict == STACK_FREE;
}

/* With all threads stopped. STATUS_NOTHING: not now. */
static enum status try_switch(struct transition *transition, struct error *error)
{
	const struct process *process = transition->survey->process;
	struct maps maps;
	enum status status = maps_read(process, &maps, error);

	if (status == STATUS_OK)
		status = check_process(transition, error);
	if (status == STATUS_OK && !check_threads(transition, &transition->check, &maps, true))
		status = STATUS_NOTHING;
	/* A child may have been made since the look before the stop; none can be made now. */
	if (status == STATUS_OK && is_shared(transition))
		status = STATUS_NOTHING;
	if (status == STATUS_OK && !contexts_are_free(transition, &maps))
		status = STATUS_NOTHING;
	if (status == STATUS_OK)
		status = transition->direction == TO_NEW ? versions_to_new(process, transition->ledger, error) :
							   versions_to_old(process, transition->ledger, error);
	if (status == STATUS_OK)
		sweep_leftovers(transition, &maps);
	maps_free(&maps);
	return status;
}

static void count_pause(struct live_report *report, uint64_t pause)
{
	report->paused += pause;
	if (pause > report->longest)
		report->longest = pause;
}

/* Stop all threads that are not stopped yet, and switch if all are free. STATUS_NOTHING: not now; the threads stay stopped. */
static enum status stop_and_switch(struct transition *transition, unsigned int milliseconds, struct error *error)
{
	enum status status;

	blockers_clear(&transition->blockers);
	transition->report->threads = transition->report->walked = 0;
	transition->report->tries++;
	status = threads_stop(transition->survey->process, milliseconds, &transition->threads, error);
	if (status == STATUS_OK)
		return try_switch(transition, error);
	if (status != STATUS_GAVE_UP)
		return status;
	note_running(transition);
	return STATUS_NOTHING;
}

static bool is_blocker(void *context, const struct thread *thread)
{
	const struct transition *transition = context;

	return blockers_hold(&transition->blockers, thread->tid);
}

static bool is_free(void *context, const struct thread *thread)
{
	const struct transition *transition = context;
	struct stack_result result;

	stack_check_thread(&transition->check, &transition->survey->maps, thread, &result);
	return result.verdict == STACK_FREE;
}

/*
 * One try, and a second one at once if the threads that are in the way come out soon: of a busy server's thread
 * nearly every look at random finds it in some request.
 */
static enum status try_once(struct transition *transition, unsigned int milliseconds, unsigned int follow,
			    struct error *error)
{
	const struct process *process = transition->survey->process;
	enum status status;

	blockers_clear(&transition->blockers);
	if (is_shared(transition))
		return STATUS_NOTHING;
	status = stop_and_switch(transition, milliseconds, error);
	if (status == STATUS_NOTHING) {
		blockers_count(&transition->blockers, transition->report);
		count_pause(transition->report, threads_release_but(process, &transition->threads, is_blocker, transition));
		if (!threads_follow(process, &transition->threads, follow, is_free, transition))
			return STATUS_NOTHING;
		status = stop_and_switch(transition, milliseconds, error);
		if (status == STATUS_NOTHING)
			blockers_count(&transition->blockers, transition->report);
	}
	count_pause(transition->report, threads_release(process, &transition->threads));
	return status;
}

/* The process may have loaded a library since: its frames could not be walked. */
static enum status renew_survey(struct transition *transition, struct error *error)
{
	struct survey *survey = transition->survey;
	const struct process *process = survey->process;
	uint64_t search = survey->search;
	struct maps maps;
	enum status status = maps_read(process, &maps, error);
	bool same = status == STATUS_OK && digest_code_mappings(&maps) == digest_code_mappings(&survey->maps);

	maps_free(&maps);
	if (status != STATUS_OK || same)
		return status;
	survey_free(survey);
	status = survey_read(process, survey, error);
	survey->search = search;
	if (status == STATUS_OK)
		survey_unwind(survey);
	return status;
}

static enum status gave_up(struct transition *transition, const struct patience *patience, struct error *error)
{
	const struct process *process = transition->survey->process;

	error_add(error, STATUS_GAVE_UP, "process %d (%s): %s after %.1f s and %u tries", process->pid, process->comm,
		  patience_cancelled(patience) ? "interrupted" : "gave up", (double)(clock_now() - patience->began) / 1e9,
		  transition->report->tries);
	for (size_t i = 0; i < transition->blockers.count; i++)
		error_add(error, STATUS_GAVE_UP, "thread %d (%s): %s", transition->blockers.item[i].tid,
			  transition->blockers.item[i].comm, transition->blockers.item[i].text);
	return STATUS_GAVE_UP;
}

static unsigned int smaller(unsigned int one, unsigned int other)
{
	return one < other ? one : other;
}

/* Some jitter, so that the tries don't fall in step with something that the program does regularly. */
static unsigned int with_jitter(unsigned int milliseconds)
{
	return milliseconds + (unsigned int)(clock_now() / 1000 % (milliseconds / 2));
}

/*
 * Wait until another try makes sense, `longest` ms at most: a stop makes a thread that sleeps in a timed system call start the
 * time anew (see registers_call_fails()), so one that sleeps inside old code is looked at from outside and left alone.
 */
static void wait_for_change(struct transition *transition, unsigned int wait, unsigned int longest,
			    const struct patience *patience)
{
	uint64_t end = clock_now() + (uint64_t)longest * 1000000u;

	if (end > patience->deadline)
		end = patience->deadline;
	blockers_awaken(&transition->blockers);
	/* The first look, after a part of the time, is what the others are compared with. */
	for (unsigned int looks = 0;; looks++) {
		uint64_t now = clock_now();
		unsigned int left = now < end ? (unsigned int)((end - now) / 1000000) + 1 : 0;

		if (!left || patience_cancelled(patience))
			return;
		threads_idle(transition->survey->process, &transition->threads, smaller(with_jitter(wait / 2), left));
		if (!blockers_asleep(&transition->blockers, transition->survey->process) && looks)
			return;
	}
}

static enum status try_until(struct transition *transition, const struct patience *patience, struct error *error)
{
	unsigned int wait = WAIT_FIRST, stop = STOP_FIRST, follow = FOLLOW_FIRST, sleep = SLEEP_FIRST;

	while (!patience_cancelled(patience)) {
		enum status status = try_once(transition, stop, follow, error);

		if (status != STATUS_NOTHING)
			return status;
		if (patience_over(patience))
			break;
		wait_for_change(transition, wait, sleep, patience);
		wait = smaller(2 * wait, WAIT_LONGEST);
		stop = smaller(2 * stop, STOP_LONGEST);
		follow = smaller(2 * follow, FOLLOW_LONGEST);
		sleep = smaller(2 * sleep, SLEEP_LONGEST);
		status = renew_survey(transition, error);
		if (status != STATUS_OK)
			return status;
	}
	return gave_up(transition, patience, error);
}

enum status transition_run(struct survey *survey, struct ledger *ledger, enum direction direction,
			   const struct patience *patience, struct live_report *report, struct error *error)
{
	struct transition transition = { .survey = survey, .ledger = ledger, .direction = direction, .report = report };
	enum status status;

	prepare_check(&transition);
	remote_leftovers(survey->process, &survey->maps, &survey->images, &transition.leftovers);
	status = try_until(&transition, patience, error);
	array_free(&transition.leftovers);
	blockers_free(&transition.blockers);
	threads_free(&transition.threads);
	stack_check_free(&transition.check);
	return status;
}
