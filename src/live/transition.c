/*
 * The whole of a transition:
 *
 *	stop all (settle.c)	until it can begin, which is at once unless a thread is about to go on in the middle of an
 *				entry; then those that are outside have moved, and mostly these are all
 *	watch the others	(watch.c) each moves when it comes out
 *	stop all		to see that nobody has been overlooked; commit
 *
 * Where threads can't move one by one (transition_moves_together()), or shall not, the first step is repeated until all are
 * outside at once. When the patience is over everything turns round, and the same happens in the other direction.
 *
 * What may interrupt a stop of all:
 * - stent is killed while threads are stopped: they run on. What has been written until then settle.c says.
 * - a thread can't be stopped (it waits for a vfork child, which runs in the same memory, or for a dead disk): it counts as in
 *   the way. Threads can't be created while all others are stopped.
 * - the process ends or executes another program: writes go nowhere (process/memory.c), the try fails.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "live/digest.h"
#include "live/headroom.h"
#include "live/transiting.h"
#include "process/sharing.h"

#define WAIT_FIRST 10u		/* milliseconds between the first two tries; doubled each time up to */
#define WAIT_LONGEST 250u
#define STOP_FIRST 100u		/* milliseconds that all threads may take to stop, doubled each time up to */
#define STOP_LONGEST 1000u
#define SLEEP_FIRST 500u	/* milliseconds without a try although a thread in the way has not moved, up to */
#define SLEEP_LONGEST 4000u
#define FOLLOW_FIRST 10u	/* milliseconds that threads in the way are followed, doubled each time up to */
#define FOLLOW_LONGEST 80u
#define TURN_CANCELLED 2000u	/* milliseconds to turn round in when somebody wants it to end */

/* How long the next try may take, and how long to wait for it. */
struct pace {
	unsigned int wait, stop, follow, sleep;
};

static void add_leaving(struct transition *transition, const struct ledger_function *function)
{
	bool new = transition->to == VERSION_NEW;
	const struct range *ranges = new ? function->old_ranges.item : function->new_ranges.item;
	size_t count = new ? function->old_ranges.count : function->new_ranges.count;

	/* Taking it back leaves it where it is. */
	if (!new && transition->ledger->detached && !memcmp(function->settled, function->base, function->size))
		return;
	for (size_t i = 0; i < count; i++)
		stack_check_add(&transition->leaving, ranges[i], function->name);
}

static void add_stubs(struct transition *transition, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->images.count; i++) {
		stack_check_add(&transition->leaving, ledger->images.item[i].code, "a stub of stent");
		stack_check_add(&transition->entries, ledger->images.item[i].code, "a stub of stent");
	}
}

void transition_prepare(struct transition *transition)
{
	const struct ledger *ledger = transition->ledger;
	struct stack_check *leaving = &transition->leaving, *entries = &transition->entries;

	transition->stale = false;
	transition->files = digest_code_files(&transition->survey->maps);
	stack_check_free(leaving);
	stack_check_free(entries);
	*leaving = *entries =
		(struct stack_check){ .survey = transition->survey, .arch = arch_by_machine(ledger->machine) };
	/* Dispatchers and displaced copies belong to both versions, also those of other patches: whoever is in them has not arrived. */
	add_stubs(transition, ledger);
	for (size_t i = 0; i < transition->survey->ledgers.count; i++)
		add_stubs(transition, &transition->survey->ledgers.item[i]);
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		add_leaving(transition, function);
		if (function->redirected)
			stack_check_add(entries, (struct range){ function->site + 1, function->site + function->span },
					function->name);
	}
	for (size_t i = 0; i < ledger->finders.count; i++) {
		const struct ledger_finder *finder = &ledger->finders.item[i];

		stack_check_add(entries, (struct range){ finder->site + 1, finder->site + finder->span }, "_dl_find_object");
	}
	/* Who is in it may have made a context half, which contexts.c can't know of yet. */
	for (size_t i = 0; i < transition->survey->makers.count && transition->survey->made_contexts; i++)
		stack_check_add(leaving, transition->survey->makers.item[i].code, "makecontext");
	/* All code of the slice, also what is part of no listed function. */
	for (size_t i = 0; i < ledger->parts.count; i++) {
		const struct ledger_part *part = &ledger->parts.item[i];

		if (transition->to == VERSION_OLD && part->flags & SEGMENT_EXECUTE)
			stack_check_add(leaving, part->range, "new code");
		if (range_holds(part->range, ledger->dispatch.selector))
			*array_add(&leaving->tables) = part->range;
	}
	stack_check_ready(leaving);
	stack_check_ready(entries);
	stack_check_join(leaving, entries);
}

/* Why threads can't be told apart, or NULL. */
static const char *find_obstacle(const struct transition *transition)
{
	uint64_t wanted = transition->leaving.arch->lookup_hwcap2, value = 0;

	if (transition->options->together)
		return "the user wants it so";
	if (wanted && (!process_auxv(transition->survey->process, AT_HWCAP2, &value) || (value & wanted) != wanted))
		return "programs can't read their thread pointer on this machine";
	return NULL;
}

/*
 * A thread that has moved may go on with a context that another one left in the other version: no look at a thread tells. Where there is none, threads
 * move one by one until there is one; then nobody moves but in a stop of all, and when memory has been searched.
 */
bool transition_moves_together(const struct transition *transition)
{
	return transition->together || (transition->survey->switches && !contexts_still_none(transition->contexts));
}

/* Threads that would not stop. */
static void note_running(struct transition *transition)
{
	const struct process *process = transition->survey->process;

	for (size_t i = 0; i < transition->threads.count; i++) {
		const struct thread *thread = &transition->threads.item[i];
		struct task_call call;

		if (thread->state == THREAD_RELEASED)
			blockers_add(&transition->blockers, process, thread->tid, "can't be stopped while its process executes another program");
		if (thread->state != THREAD_RUNNING)
			continue;
		if (process_task_call(process, thread->tid, &call) && call.blocked && registers_call_spawns(call.number))
			blockers_add(&transition->blockers, process, thread->tid, "waits for a child that runs in the same memory (vfork)");
		else
			blockers_add(&transition->blockers, process, thread->tid, "does not stop");
	}
	if (!transition->blockers.count)
		blockers_add(&transition->blockers, process, process->pid, "makes threads as fast as they are stopped");
}

static void count_pause(struct live_report *report, uint64_t pause)
{
	report->paused += pause;
	if (pause > report->longest)
		report->longest = pause;
}

/* Stop all threads that are not stopped yet, and do what can be done. STATUS_NOTHING: not all; the threads stay stopped. */
static enum status stop_and_settle(struct transition *transition, unsigned int milliseconds, bool force, struct error *error)
{
	enum status status;

	blockers_clear(&transition->blockers);
	transition->report->threads = transition->report->walked = 0;
	transition->report->tries++;
	transition->threads.ready = settle_rehearse;
	transition->threads.context = transition;
	status = threads_stop(transition->survey->process, milliseconds, &transition->threads, error);
	if (status == STATUS_OK)
		return settle_all(transition, force, error);
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

	stack_check_thread(&transition->leaving, &transition->survey->maps, thread, &result);
	return result.verdict == STACK_FREE;
}

/*
 * Where all have to be outside at once, a second try follows as soon as those that are in the way have come out: of a busy
 * server's thread nearly every look at random finds it in some request.
 */
static enum status follow_and_settle(struct transition *transition, const struct pace *pace, struct error *error)
{
	const struct process *process = transition->survey->process;
	enum status status;

	count_pause(transition->report, threads_release_but(process, &transition->threads, is_blocker, transition));
	if (!threads_follow(process, &transition->threads, pace->follow, is_free, transition))
		return STATUS_NOTHING;
	status = stop_and_settle(transition, pace->stop, false, error);
	if (status == STATUS_NOTHING)
		blockers_count(&transition->blockers, transition->report);
	count_pause(transition->report, threads_release(process, &transition->threads));
	return status;
}

bool transition_is_alone(struct transition *transition, pid_t (*ask)(const struct process *process))
{
	const struct process *process = transition->survey->process;
	pid_t other = ask(process);

	if (other > 0)
		blockers_add(&transition->blockers, process, other, "another process, which runs in the same memory");
	else if (other)
		blockers_add(&transition->blockers, process, process->pid, "whether others run in its memory can't be told");
	return !other;
}

/*
 * Where there may be coroutines, is what has to be searched for them little enough? If not, a blocker says so, and nobody has to stop for it. The first time
 * is no waiting for threads, and takes what it takes.
 */
static bool prepare_contexts(struct transition *transition)
{
	const struct survey *survey = transition->survey;
	struct patience *patience = transition->patience;
	const struct patience unhurried = { patience->began, UINT64_MAX, patience->cancelled };
	uint64_t begun = clock_now();
	struct stack_result result;

	if (!survey->switches)
		return true;
	if (!transition->contexts)
		transition->contexts = contexts_new(transition->options);
	contexts_rehearse(transition->contexts, survey, transition->prepared ? patience : &unhurried, &result);
	if (!transition->prepared)
		patience->deadline += clock_now() - begun;
	transition->prepared = true;
	if (result.verdict != STACK_FREE)
		blockers_add(&transition->blockers, survey->process, survey->process->pid, result.text);
	return result.verdict == STACK_FREE && !patience_cancelled(patience);
}

static enum status try_once(struct transition *transition, const struct pace *pace, struct error *error)
{
	const struct process *process = transition->survey->process;
	enum status status;

	blockers_clear(&transition->blockers);
	if (!transition_is_alone(transition, sharing_look) || !prepare_contexts(transition))
		return STATUS_NOTHING;
	status = stop_and_settle(transition, pace->stop, false, error);
	if (status == STATUS_NOTHING)
		blockers_count(&transition->blockers, transition->report);
	if (status == STATUS_NOTHING && !transition_is_on(transition) && transition_moves_together(transition))
		return follow_and_settle(transition, pace, error);
	count_pause(transition->report, threads_release(process, &transition->threads));
	return status;
}

/* The process may have loaded a library since: its frames could not be walked. What a JIT compiler has made since changes nothing that is
 * known, and to read all images again each time would leave no time for another try. */
static enum status renew_survey(struct transition *transition, struct error *error)
{
	struct survey *survey = transition->survey;
	const struct process *process = survey->process;
	uint64_t search = survey->search;
	struct maps maps;
	enum status status = maps_read(process, &maps, error);
	bool same = status == STATUS_OK && transition_knows(transition, &maps);

	maps_free(&maps);
	if (status != STATUS_OK || same)
		return status;
	contexts_free(transition->contexts);
	transition->contexts = NULL;
	survey_free(survey);
	status = survey_read(process, survey, error);
	survey->search = search;
	if (status == STATUS_OK)
		survey_unwind(survey);
	if (status == STATUS_OK) {
		transition_prepare(transition);
		transition->together = find_obstacle(transition);
	}
	return status;
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

/* Who is in the way of all of them. (Of those that are watched one by one watch.c tells.) */
static void tell_blockers(struct transition *transition)
{
	for (size_t i = 0; i < transition->blockers.count && transition_tells(transition); i++) {
		const struct live_blocker *blocker = &transition->blockers.item[i];

		if (blockers_note(&transition->told, blocker))
			transition->options->waiting(transition->survey->process, blocker->tid, blocker->text);
	}
}

static void tell_between(const struct transition *transition)
{
	const struct ledger *ledger = transition->ledger;

	if (transition->options->between)
		transition->options->between(transition->survey->process, (struct live_region){ ledger_address(ledger), ledger->nonce });
}

/* STATUS_OK: all have arrived. STATUS_NOTHING: the patience was over. */
static enum status drive(struct transition *transition, struct error *error)
{
	const struct patience *patience = transition->patience;
	struct pace pace = { WAIT_FIRST, STOP_FIRST, FOLLOW_FIRST, SLEEP_FIRST };

	for (bool first = true; first || !patience_over(patience); first = false) {
		enum status status = try_once(transition, &pace, error);

		if (status != STATUS_NOTHING || patience_cancelled(patience))
			return status;
		if (transition_is_on(transition))
			tell_between(transition);
		if (transition->begun && transition->options->no_wait)
			return STATUS_NOTHING;
		/* Where nobody is to be watched it was something else that was in the way. */
		if (transition->stale)
			status = STATUS_NOTHING;
		else if (transition->begun && transition->watched.count && !transition_moves_together(transition))
			status = watch_threads(transition, patience, error);
		else if (!patience_over(patience)) {
			tell_blockers(transition);
			wait_for_change(transition, pace.wait, pace.sleep, patience);
		}
		if (status != STATUS_OK && status != STATUS_NOTHING)
			return status;
		pace = (struct pace){ smaller(2 * pace.wait, WAIT_LONGEST), smaller(2 * pace.stop, STOP_LONGEST),
				      smaller(2 * pace.follow, FOLLOW_LONGEST), smaller(2 * pace.sleep, SLEEP_LONGEST) };
		status = renew_survey(transition, error);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_NOTHING;
}

static void say_who(const struct transition *transition, struct error *error)
{
	for (size_t i = 0; i < transition->blockers.count; i++)
		error_add(error, STATUS_GAVE_UP, "thread %d (%s): %s", transition->blockers.item[i].tid,
			  transition->blockers.item[i].comm, transition->blockers.item[i].text);
}

/*
 * To turn round takes as long as it took to get there, at most. Who has interrupted that does not wait so long; nor who interrupts
 * the turning round itself.
 */
static struct patience patience_to_turn(const struct patience *patience)
{
	if (patience_cancelled(patience))
		return patience_for(TURN_CANCELLED, NULL);
	return patience_for((unsigned int)((patience->deadline - patience->began) / 1000000) + 1000, patience->cancelled);
}

/* Take back to where it began who has moved. */
static enum status turn_round(struct transition *transition, struct error *error)
{
	const struct process *process = transition->survey->process;
	struct patience again = patience_to_turn(transition->patience);
	enum status status;

	transition->to = transition_from(transition);
	transition->begun = false;
	transition->prepared = true;	/* as far as there is time for it */
	transition_prepare(transition);
	transition->patience = &again;
	status = drive(transition, error);
	transition->patience = NULL;	/* it is over */
	if (status == STATUS_OK)
		return STATUS_GAVE_UP;
	if (status != STATUS_NOTHING)
		return status;
	error_add(error, STATUS_GAVE_UP, "process %d (%s): threads that had moved already can't go back yet: patch %s stays "
		  "%s; apply or revert it again", process->pid, process->comm, transition->ledger->name,
		  ledger_condition(transition->ledger));
	say_who(transition, error);
	return STATUS_GAVE_UP;
}

/* It could neither go on nor back, and some threads have moved. */
static enum status break_off(const struct transition *transition, struct error *error)
{
	const struct process *process = transition->survey->process;
	const struct ledger *ledger = transition->ledger;

	if (!process_alive(process))
		return fail(error, "process %d (%s) has ended meanwhile", process->pid, process->comm);
	if (!ledger_is_there(process, ledger))
		return fail(error, "process %d (%s) has executed another program or unmapped the patch meanwhile", process->pid, process->comm);
	return fail(error, "process %d (%s): patch %s stays %s; apply or revert it again", process->pid, process->comm, ledger->name,
		    ledger_condition(ledger));
}

/* As if all were free: the user has decided so. */
static enum status force_all(struct transition *transition, struct error *error)
{
	const struct process *process = transition->survey->process;
	enum status status = renew_survey(transition, error);

	if (status != STATUS_OK)
		return status;
	status = stop_and_settle(transition, STOP_LONGEST, true, error);
	count_pause(transition->report, threads_release(process, &transition->threads));
	return status;
}

static enum status over(struct transition *transition, struct error *error)
{
	const struct process *process = transition->survey->process;
	const struct patience *patience = transition->patience;

	if (transition->options->no_wait && transition->begun)
		return STATUS_OK;
	if (transition->options->force && !patience_cancelled(patience) && force_all(transition, error) == STATUS_OK)
		return STATUS_OK;
	error_add(error, STATUS_GAVE_UP, "process %d (%s): %s after %.1f s and %u stop%s of all threads", process->pid, process->comm,
		  patience_cancelled(patience) ? "interrupted" : "gave up", (double)(clock_now() - patience->began) / 1e9,
		  transition->report->tries, transition->report->tries == 1 ? "" : "s");
	say_who(transition, error);
	return transition_is_on(transition) ? turn_round(transition, error) : STATUS_GAVE_UP;
}

enum status transition_run(struct survey *survey, struct ledger *ledger, enum version to, const struct live_options *options,
			   const struct patience *patience, struct live_report *report, struct error *error)
{
	struct patience own = *patience;
	struct transition transition = { .survey = survey, .ledger = ledger, .to = to, .options = options, .report = report, .patience = &own,
					 .was_active = ledger->state == LEDGER_ACTIVE || ledger->state == LEDGER_REVERTING };
	enum status status = headroom_check_transition(survey, ledger, error);

	if (status != STATUS_OK)
		return status;
	kin_part(options->kin, survey);
	transition_prepare(&transition);
	transition.together = find_obstacle(&transition);
	remote_leftovers(survey->process, &survey->maps, &survey->images, &transition.leftovers);
	transition.traps.changed = ledger->traps_ignored;	/* a killed stent's */
	status = drive(&transition, error);
	if (status == STATUS_NOTHING)
		status = over(&transition, error);
	else if (status != STATUS_OK && transition_is_on(&transition))
		status = break_off(&transition, error);
	trapping_end(&transition);
	contexts_free(transition.contexts);
	array_free(&transition.leftovers);
	array_free(&transition.watched);
	array_free(&transition.arrived);
	blockers_free(&transition.blockers);
	blockers_free(&transition.told);
	threads_free(&transition.threads);
	stack_check_free(&transition.leaving);
	stack_check_free(&transition.entries);
	return status;
}

enum status transition_of(struct survey *survey, const struct ledger *found, enum version to, const struct live_options *options,
			  const struct patience *patience, struct live_report *report, struct error *error)
{
	struct ledger ledger;
	enum status status;

	ledger_copy(found, &ledger);	/* the survey may be renewed */
	survey_unwind(survey);
	status = transition_run(survey, &ledger, to, options, patience, report, error);
	report->state = ledger.state;
	ledger_free(&ledger);
	return status;
}

void transition_tidy(struct survey *survey, const struct ledger *found)
{
	struct transition transition = { .survey = survey, .traps.changed = found->traps_ignored };
	struct ledger ledger;

	ledger_copy(found, &ledger);
	transition.ledger = &ledger;
	trapping_end(&transition);
	ledger_free(&ledger);
}
