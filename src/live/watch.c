/*
 * Threads that were inside of what is being left when all were stopped: each is moved when it comes out, and nobody else is
 * disturbed.
 *
 * A thread whose stack is known is caught at the very return that takes it out, by a breakpoint of its own (process/breakpoint.c); so the
 * next function that it calls is of the other version already. One that leaves in another way (longjmp, an exception), or can't have a
 * breakpoint, is looked at now and then, and followed a little; one that sleeps is left asleep.
 *
 * What may interrupt it, at every step: stent is killed: events vanish, threads run on, each in the version that its entry
 * says (transition_run() of the next stent goes on). A thread ends: its entry stays, for who is born with its thread
 * pointer. A thread is created: the loop finds it; what it runs, its creator's stop or the fallback has decided. exec: the
 * memory that is written to belongs to the old program (process/memory.c).
 * The store that moves a thread is one aligned word, which only threads with its thread pointer read, and all of these are
 * stopped outside of the dispatchers: move(). It pairs with the loads in arch/x86_64/dispatch.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "live/transiting.h"
#include "process/sharing.h"

#define LOOK_FIRST 5u		/* milliseconds between two looks at a thread without a breakpoint, doubled each time up to */
#define LOOK_LONGEST 250u
#define LOOK_ARMED 250u		/* and with one */
#define LIST_EVERY 20u		/* milliseconds between two looks for new threads */
#define STOP_TIME 100u		/* milliseconds that a thread may take to stop */
#define FOLLOW_TIME 20u		/* milliseconds that a thread is followed from system call to system call */
#define DISTURBED 32u		/* stops of a thread with a breakpoint on its way to it. Each makes some calls start anew */
#define DESCRIPTORS_KEPT 64	/* that are not used for breakpoints, beside: */
#define DESCRIPTORS_EACH 4	/* for each processor (rings.h) */
#define UNMOVED_TIME 200u	/* milliseconds until a stop of all is tried where only that helps */

static uint64_t later(unsigned int milliseconds)
{
	return clock_now() + (uint64_t)milliseconds * 1000000u;
}

static size_t count_armed(const struct transition *transition)
{
	size_t count = 0;

	for (size_t i = 0; i < transition->watched.count; i++)
		count += transition->watched.item[i].point.event >= 0;
	return count;
}

/* Under control and stopped, or ended. False: it does not stop now. */
static bool hold(const struct transition *transition, struct watched *watched, struct error *error)
{
	const struct process *process = transition->survey->process;
	struct thread *thread = &watched->thread;

	if (thread->state == THREAD_RELEASED && thread_seize(process, thread->tid, thread, error) != STATUS_OK)
		return false;
	if (thread->state == THREAD_RUNNING)
		thread_interrupt(thread);
	if (!thread_wait(process, thread, STOP_TIME))
		return false;
	if (thread->state == THREAD_STOPPED)
		breakpoint_take_trap(thread);
	return true;
}

/* Let it go, for good or until the next look. */
static void let_go(const struct transition *transition, struct watched *watched)
{
	const struct process *process = transition->survey->process;

	breakpoint_disarm(&watched->point);
	if (watched->thread.state == THREAD_RUNNING) {
		thread_interrupt(&watched->thread);
		if (!thread_wait(process, &watched->thread, STOP_TIME))
			return;		/* still seized: released when it stops (threads_idle() of the next stop, or the kernel) */
		breakpoint_take_trap(&watched->thread);
	}
	thread_release(process, &watched->thread);
}

/* The thread has this thread pointer, or doesn't stop to tell. */
static bool has_pointer(const struct transition *transition, pid_t tid, uint64_t pointer, struct error *error)
{
	struct watched other = { .thread = { .tid = tid, .state = THREAD_RELEASED }, .point.event = -1 };
	bool has = !hold(transition, &other, error) ||
		   (other.thread.state == THREAD_STOPPED && registers_thread_pointer(&other.thread.registers) == pointer);

	let_go(transition, &other);
	return has;
}

/*
 * Would another thread read the same entry? That moves in a stop of all only. The thread is stopped, and only a thread with its
 * pointer passes that on, so what is found now stays so. Threads that have arrived have another entry.
 */
static bool is_shared(struct transition *transition, struct watched *watched, struct error *error)
{
	const struct process *process = transition->survey->process;
	struct tids tids = { 0 };
	bool shared = watched->shared || sharing_process(process) || !process_tids(process, &tids) || tids.cut;

	for (size_t i = 0; i < tids.count && !shared; i++) {
		const struct watched *other = watched_find(transition, tids.item[i]);

		if (other == watched || watched_arrived(transition, tids.item[i]))
			continue;
		shared = other && other->pointer_known ? other->pointer == watched->pointer :
			 has_pointer(transition, tids.item[i], watched->pointer, error);
		watched->shared = shared;
	}
	array_free(&tids);
	return shared;
}

static size_t breakpoints_allowed(void)
{
	rlim_t kept = DESCRIPTORS_KEPT + DESCRIPTORS_EACH * (rlim_t)sysconf(_SC_NPROCESSORS_ONLN);
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > kept ? limit.rlim_cur - kept : 0;
}

/* In a dispatcher or a copy, where nothing is known of its frames: it is about to begin a function, or one that jumps back to its entry goes on. */
static bool is_in_stub(const struct transition *transition, const struct thread *thread)
{
	const struct ledger *ledger = transition->ledger;

	for (size_t i = 0; i < ledger->images.count; i++)
		if (range_holds(ledger->images.item[i].code, registers_pc(&thread->registers)))
			return true;
	return false;
}

static void arm(struct transition *transition, struct watched *watched, const struct stack_result *result)
{
	bool same = watched->point.address == result->exit && watched->point.cfa == result->exit_stack;

	/* Where nothing is known of its frames just now (in a dispatcher, or what has no unwind data) it has not come to its breakpoint yet. */
	if (watched->point.event >= 0 && (same || !result->exit))
		return;
	breakpoint_disarm(&watched->point);
	/* Everything else needs descriptors, too. */
	if (count_armed(transition) >= breakpoints_allowed())
		return;
	if (result->exit && !watched->disturbed && breakpoint_arm(transition->survey->process, &watched->thread, result->exit, result->exit_stack,
					   &watched->point) != BREAKPOINT_ARMED)
		breakpoint_disarm(&watched->point);
}

static void note(struct watched *watched, const char *text)
{
	watched->told = watched->told && !strcmp(watched->text, text);
	snprintf(watched->text, sizeof(watched->text), "%s", text);
}

/* Between two rounds, when no thread is stopped to be looked at: who reads this may be slow. */
static void tell(struct transition *transition)
{
	for (size_t i = 0; i < transition->watched.count && transition_tells(transition); i++) {
		struct watched *watched = &transition->watched.item[i];

		if (!watched->told && *watched->text)
			transition->options->waiting(transition->survey->process, watched->thread.tid, watched->text);
		watched->told = true;
	}
}

/*
 * Has it gone back to sleep where it was at the last look, and slept since? Then nothing has changed, and it is not woken up for
 * nothing. Going to sleep counts one; a thread that did more may be in the same place on another way.
 */
static bool sleeps_on(const struct transition *transition, const struct watched *watched)
{
	struct task_call call;
	struct task task;

	return watched->looked_at && process_task_call(transition->survey->process, watched->thread.tid, &call) && call.blocked &&
	       call.stack == registers_stack(&watched->thread.registers) && call.pc == registers_pc(&watched->thread.registers) &&
	       process_task(transition->survey->process, watched->thread.tid, &task) && task.switches <= watched->switches + 1;
}

static void remember_stop(const struct transition *transition, struct watched *watched)
{
	struct task task;

	watched->pointer = registers_thread_pointer(&watched->thread.registers);
	watched->pointer_known = true;
	watched->looked_at = process_task(transition->survey->process, watched->thread.tid, &task);
	watched->switches = task.switches;
}

/* What a look at a thread came to. */
enum look {
	LOOK_MOVED,	/* it is there, or has ended: not watched any more */
	LOOK_STAYS,
	LOOK_STALE,	/* nothing is known of what the process has mapped meanwhile, or of contexts that it may have made */
	LOOK_FAILED,	/* memory can't be read or written: the process has gone */
};

/* The store. The thread is stopped, and free. */
static enum look move(struct transition *transition, struct versions *versions, struct watched *watched, struct error *error)
{
	enum status status;

	if (is_shared(transition, watched, error)) {
		note(watched, "it shares its thread pointer or its memory with another");
		watched->looked_at = false;	/* what was in the way is not on its stack: sleeping on changes nothing */
		return LOOK_STAYS;
	}
	status = versions_put_one(transition->survey->process, transition->ledger, versions, watched->pointer, transition->to, error);
	/* (Without an entry: that is for a stop of all.) */
	return status == STATUS_OK ? LOOK_MOVED : status == STATUS_NOTHING ? LOOK_STAYS : LOOK_FAILED;
}

/* Look at a stopped thread. */
static enum look examine(struct transition *transition, struct watched *watched, struct error *error)
{
	const struct process *process = transition->survey->process;
	struct stack_result result;
	struct versions versions;
	struct maps maps = { 0 };
	enum look look = LOOK_STAYS;
	enum status status = versions_read(process, transition->ledger, &versions, error);

	remember_stop(transition, watched);
	if (status == STATUS_OK && !ledger_is_there(process, transition->ledger))
		status = fail(error, "process %d (%s) has executed another program or unmapped the patch meanwhile",
			      process->pid, process->comm);
	if (status == STATUS_OK)
		status = maps_read(process, &maps, error);
	if (status != STATUS_OK) {
		look = LOOK_FAILED;
	} else if (!transition_knows(transition, &maps) || transition_moves_together(transition)) {
		look = LOOK_STALE;
	} else if (versions_of(transition->ledger, &versions, watched->pointer) == transition->to) {
		look = LOOK_MOVED;
	} else {
		stack_check_thread(&transition->leaving, &maps, &watched->thread, &result);
		if (result.verdict == STACK_FREE)
			look = move(transition, &versions, watched, error);
		else
			note(watched, result.text);
		if (look == LOOK_STAYS && !watched->shared)
			arm(transition, watched, &result);
	}
	versions_free(&versions);
	maps_free(&maps);
	return look;
}

/* For threads_follow(): the thread is stopped at a system call. */
static bool is_free(void *context, const struct thread *thread)
{
	struct transition *transition = context;
	struct stack_result result;
	struct error unused = { 0 };
	struct maps maps;
	bool is = false;

	if (maps_read(transition->survey->process, &maps, &unused) == STATUS_OK) {
		stack_check_thread(&transition->leaving, &maps, thread, &result);
		is = result.verdict == STACK_FREE;
	}
	maps_free(&maps);
	error_clear(&unused);
	return is;
}

/* A thread that is awake, and has no breakpoint, may be outside at its next system call. It is released when that was in vain. */
static enum look follow(struct transition *transition, struct watched *watched, struct error *error)
{
	struct threads one = { 0 };
	enum look look = LOOK_STAYS;

	*array_add(&one) = watched->thread;
	if (threads_follow(transition->survey->process, &one, FOLLOW_TIME, is_free, transition)) {
		watched->thread = one.item[0];
		look = watched->thread.state == THREAD_STOPPED ? examine(transition, watched, error) : LOOK_MOVED;
	} else {
		watched->thread = one.item[0];
	}
	threads_free(&one);
	return look;
}

/* A look at a thread that is not stopped. */
static enum look look_at(struct transition *transition, struct watched *watched, struct error *error)
{
	enum look look;

	if (!hold(transition, watched, error))
		return LOOK_STAYS;
	if (watched->thread.state != THREAD_STOPPED)
		return LOOK_MOVED;
	look = examine(transition, watched, error);
	/* Not while others may be at their breakpoints, and wait. */
	if (look == LOOK_STAYS && !count_armed(transition) && watched->thread.state == THREAD_STOPPED &&
	    !watched->thread.group_stop && !watched->shared)
		look = follow(transition, watched, error);
	return look;
}

/* After a look: on with it. */
static void go_on(struct transition *transition, struct watched *watched)
{
	if (watched->point.event >= 0) {
		if (watched->thread.state == THREAD_STOPPED)
			breakpoint_go_on(transition->survey->process, &watched->thread);
		watched->next = later(LOOK_ARMED);
	} else {
		if (watched->thread.state == THREAD_STOPPED || watched->thread.state == THREAD_RUNNING)
			let_go(transition, watched);
		/* Behind a stub, it may show where it leaves. */
		watched->wait = watched->wait && !is_in_stub(transition, &watched->thread) ? watched->wait * 2 : LOOK_FIRST;
		if (watched->wait > LOOK_LONGEST)
			watched->wait = LOOK_LONGEST;
		watched->next = later(watched->wait);
	}
}

/* One round over one thread. *look is set when something has happened. */
static bool visit(struct transition *transition, struct watched *watched, enum look *look, struct error *error)
{
	*look = LOOK_STAYS;
	if (watched->point.event >= 0) {
		switch (breakpoint_wait(&watched->point, transition->survey->process, &watched->thread, 0)) {
		case BREAKPOINT_LEFT:
			*look = examine(transition, watched, error);
			return true;
		case BREAKPOINT_GONE:
			*look = LOOK_MOVED;
			return true;
		case BREAKPOINT_RUNNING:
			break;
		}
	}
	if (watched->point.event >= 0 && watched->point.signals + watched->point.passed > DISTURBED) {
		watched->disturbed = true;
		let_go(transition, watched);
		watched->next = later(LOOK_LONGEST);
	}
	if (clock_now() < watched->next)
		return false;
	if (sleeps_on(transition, watched)) {
		watched->next = later(LOOK_ARMED);
		return false;
	}
	*look = look_at(transition, watched, error);
	return true;
}

/* For stent status, which can't stop threads that are watched. */
static void write_notes(struct transition *transition)
{
	struct notes notes = { 0 };

	for (size_t i = 0; i < transition->watched.count; i++) {
		const struct watched *watched = &transition->watched.item[i];

		if (notes.count == NOTES_MAX) {
			notes.left_out++;
			continue;
		}
		notes.item[notes.count].tid = watched->thread.tid;
		snprintf(notes.item[notes.count++].text, NOTE_TEXT, "%.*s", NOTE_TEXT - 1, watched->text);
	}
	if (memcmp(&notes, &transition->notes, sizeof(notes)) != 0)
		notes_write(transition->survey->process, transition->ledger, &notes);
	transition->notes = notes;
}

static enum status round_of_visits(struct transition *transition, struct error *error)
{
	size_t before = transition->watched.count;

	for (size_t i = 0; i < transition->watched.count; i++) {
		struct watched *watched = &transition->watched.item[i];
		bool armed = watched->point.event >= 0;
		enum look look;

		/* One look in a round, at each in turn: threads at their breakpoints must not wait for more. */
		if (!armed && count_armed(transition) && i != transition->turn % before)
			continue;
		if (!visit(transition, watched, &look, error))
			continue;
		if (look == LOOK_STAYS) {
			go_on(transition, watched);
			continue;
		}
		let_go(transition, watched);
		if (look == LOOK_FAILED || look == LOOK_STALE)
			return look == LOOK_FAILED ? STATUS_ERROR : STATUS_NOTHING;
		watched_drop(transition, watched);
		i--;
	}
	return STATUS_OK;
}

/*
 * Those that share a pointer move in a stop of all only; and of those that nobody has looked at yet there is always another one where
 * threads come and go fast: a stop of all tells what they are, too.
 */
static bool none_is_worth_waiting_for(const struct transition *transition)
{
	for (size_t i = 0; i < transition->watched.count; i++)
		if (!transition->watched.item[i].shared && transition->watched.item[i].pointer_known)
			return false;
	return true;
}

enum status watch_threads(struct transition *transition, const struct patience *patience, struct error *error)
{
	const struct timespec nap = { 0, 1000000 };
	uint64_t list = 0, together = later(UNMOVED_TIME);
	enum status status = STATUS_OK;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	trapping_begin(transition, patience);
	window_open();
	while (status == STATUS_OK && !patience_over(patience)) {
		if (clock_now() >= list) {
			watched_list_new(transition);
			list = later(LIST_EVERY);
		}
		status = round_of_visits(transition, error);
		transition->turn++;
		write_notes(transition);
		tell(transition);
		if (!transition->watched.count && !watched_list_new(transition))
			break;
		if (clock_now() >= together && none_is_worth_waiting_for(transition))
			break;
		sigtimedwait(&child, NULL, &nap);
	}
	for (size_t i = 0; i < transition->watched.count; i++)
		let_go(transition, &transition->watched.item[i]);
	window_close();
	if (status != STATUS_OK)
		return status;
	return transition->watched.count ? STATUS_NOTHING : STATUS_OK;
}
