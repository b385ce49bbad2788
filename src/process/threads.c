/*
 * All threads of a process at once: seize everybody (which stops nobody), then ask all to stop, then wait for one
 * after the other, and look for others until as many stand still as the kernel counts.
 */
#include "process/threads.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "process/tick.h"

#define TOGETHER 16u	/* threads, */
#define PROMPT 2u	/* and milliseconds that each is waited for at first */

static sigset_t mask_outside;
static unsigned int windows;

void window_open(void)
{
	sigset_t all;

	if (windows++)
		return;
	/* An ignored SIGCHLD, which a parent may have left us, would never wake thread_wait(). */
	signal(SIGCHLD, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &mask_outside);
}

void window_close(void)
{
	if (--windows == 0)
		sigprocmask(SIG_SETMASK, &mask_outside, NULL);
}

static int policy_outside;
static struct sched_param priority_outside;

/*
 * Most of the time that a busy process is stopped goes into the resume: every thread that wakes up competes with the
 * one that is to wake the others. So stent takes precedence as long as threads are stopped, where it may.
 */
static void raise_priority(void)
{
	const struct sched_param lowest = { .sched_priority = sched_get_priority_min(SCHED_FIFO) };

	policy_outside = sched_getscheduler(0);
	sched_getparam(0, &priority_outside);
	if (policy_outside >= 0)
		sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
}

static void restore_priority(void)
{
	if (policy_outside >= 0)
		sched_setscheduler(0, policy_outside, &priority_outside);
}

/* Both lists are in the kernel's order, so the thread is mostly where it was last time. */
static bool is_known(const struct threads *threads, pid_t tid, size_t hint)
{
	if (hint < threads->count && threads->item[hint].tid == tid)
		return true;
	for (size_t i = 0; i < threads->count; i++)
		if (threads->item[i].tid == tid)
			return true;
	return false;
}

/* *found: there was one that runs. */
static enum status seize_new(const struct process *process, struct threads *threads, bool *found, struct error *error)
{
	struct tids tids = { 0 };
	enum status status = STATUS_OK;

	*found = false;
	if (!process_tids(process, &tids))
		status = fail(error, "process %d (%s): its threads can't be listed: %s", process->pid, process->comm, strerror(errno));
	for (size_t i = 0; i < tids.count && status == STATUS_OK; i++) {
		struct thread thread;

		if (is_known(threads, tids.item[i], i))
			continue;
		status = thread_seize(process, tids.item[i], &thread, error);
		*array_add(threads) = thread;
		*found |= thread.state == THREAD_RUNNING;
	}
	array_free(&tids);
	return status;
}

/* Known to run no code of the program any more, and still counted by the kernel. */
static bool is_remainder(const struct process *process, const struct thread *thread)
{
	struct task task;

	return thread->state == THREAD_ENDED && process_task(process, thread->tid, &task) &&
	       (task_ended(&task) || task_kernel_worker(&task));
}

/*
 * Nobody is missing. That a look at the list finds nobody new does not say so: the list may be cut (struct tids). But the kernel counts:
 * st_nlink of /proc/PID/task is 2 + the number of threads (fs/proc/base.c, proc_task_getattr()), and those that have ended are in it until
 * the last of them has gone (__exit_signal() in kernel/exit.c). Who stands still makes no thread and is replaced by none. So, in this order:
 * - the count: all that stand still, all that have ended but not gone yet, and who is missing;
 * - those that have ended, and still not gone: as many as there were when it was counted, or fewer.
 * Only if nobody is missing do these and the stopped ones come up to the count.
 */
static bool is_complete(const struct process *process, const struct threads *threads)
{
	size_t accounted = 0;
	struct stat stat;

	if (fstatat(process->directory, "task", &stat, 0) < 0)
		return false;
	for (size_t i = 0; i < threads->count; i++)
		accounted += threads->item[i].state == THREAD_STOPPED || is_remainder(process, &threads->item[i]);
	return stat.st_nlink == accounted + 2;
}

/* Forget all but those that are still seized. */
static void drop_released(struct threads *threads)
{
	size_t kept = 0;

	for (size_t i = 0; i < threads->count; i++)
		if (threads->item[i].state == THREAD_RUNNING || threads->item[i].state == THREAD_STOPPED)
			threads->item[kept++] = threads->item[i];
	threads->count = kept;
}

/*
 * Registers can be read once the thread is off its processor (wait_task_inactive() in kernel/sched/core.c), which takes a moment longer than to say
 * that it has stopped. So some threads are waited for before the first one's are read; but none waits long for that, because a call
 * that has failed with EINTR is put right there (thread.c).
 */
static bool wait_for_some(const struct process *process, struct thread *threads, size_t count, uint64_t deadline)
{
	bool all = true, stopped[TOGETHER];

	for (size_t i = 0; i < count; i++) {
		unsigned int left = clock_left(deadline);

		(void)!thread_await(process, &threads[i], left < PROMPT ? left : PROMPT, &stopped[i]);
	}
	for (size_t i = 0; i < count; i++)
		if (stopped[i])
			thread_note_registers(process, &threads[i]);
	for (size_t i = 0; i < count; i++)
		if (threads[i].state == THREAD_RUNNING)
			all &= thread_wait(process, &threads[i], clock_left(deadline));
	return all;
}

static bool wait_all(const struct process *process, struct threads *threads, uint64_t deadline)
{
	bool all = true;

	for (size_t i = 0; i < threads->count; i += TOGETHER)
		all &= wait_for_some(process, threads->item + i, threads->count - i < TOGETHER ? threads->count - i : TOGETHER, deadline);
	return all;
}

/* Then the process is alive. To ask /proc for that takes as long as all else with a few threads. */
static bool any_stopped(const struct threads *threads)
{
	for (size_t i = 0; i < threads->count; i++)
		if (threads->item[i].state == THREAD_STOPPED)
			return true;
	return false;
}

/* Ask the threads from the `asked`-th on to stop, and wait for all. STATUS_NOTHING: they do, but others may be missing. */
static enum status stop_known(const struct process *process, size_t asked, uint64_t deadline, struct threads *threads,
			      struct error *error)
{
	for (; asked < threads->count; asked++)
		if (threads->item[asked].state == THREAD_RUNNING)
			thread_interrupt(&threads->item[asked]);
	if (!wait_all(process, threads, deadline))
		return STATUS_GAVE_UP;
	if (!any_stopped(threads) && !process_alive(process))
		return fail(error, "process %d (%s) has ended", process->pid, process->comm);
	if (is_complete(process, threads))
		return STATUS_OK;
	return clock_now() < deadline ? STATUS_NOTHING : STATUS_GAVE_UP;
}

enum status threads_stop(const struct process *process, unsigned int milliseconds, struct threads *threads,
			 struct error *error)
{
	const struct timespec nap = { 0, 50000 };	/* who has ended needs a processor to go */
	size_t asked = threads->count;	/* those that are in the list are stopped, or have been asked last time */
	enum status status;
	uint64_t deadline;
	bool found;

	window_open();
	tick_start();
	status = seize_new(process, threads, &found, error);
	if (status != STATUS_OK)
		return status;
	if (threads->ready && !asked)
		threads->ready(threads->context, threads);
	raise_priority();
	threads->stopped_at = clock_now();
	deadline = threads->stopped_at + (uint64_t)milliseconds * 1000000u;
	while ((status = stop_known(process, asked, deadline, threads, error)) == STATUS_NOTHING) {
		if (!found)
			nanosleep(&nap, NULL);
		/* The number of one that has ended may be that of a new one by now. */
		drop_released(threads);
		asked = threads->count;
		status = seize_new(process, threads, &found, error);
		if (status != STATUS_OK)
			break;
	}
	return status;
}

static bool keep_none(void *context, const struct thread *thread)
{
	(void)context;
	(void)thread;
	return false;
}

uint64_t threads_release(const struct process *process, struct threads *threads)
{
	return threads_release_but(process, threads, keep_none, NULL);
}

uint64_t threads_release_but(const struct process *process, struct threads *threads,
			     bool (*keep)(void *context, const struct thread *thread), void *context)
{
	uint64_t pause = 0;

	for (size_t i = 0; i < threads->count; i++) {
		struct thread *thread = &threads->item[i];

		/* Seized only, when another one could not be: a detach needs a stop. */
		if (thread->state == THREAD_RUNNING && !threads->stopped_at) {
			thread_interrupt(thread);
			if (!thread_wait(process, thread, 100))
				continue;
		}
		if (thread->state != THREAD_RUNNING && !(thread->state == THREAD_STOPPED && keep(context, thread)))
			thread_release(process, thread);
	}
	if (threads->stopped_at) {
		pause = clock_now() - threads->stopped_at;
		restore_priority();
	}
	threads->stopped_at = 0;
	drop_released(threads);
	tick_stop();
	window_close();
	return pause;
}

void threads_idle(const struct process *process, struct threads *threads, unsigned int milliseconds)
{
	uint64_t end = clock_now() + (uint64_t)milliseconds * 1000000u;
	const struct timespec nap = { 0, 5000000 };

	while (clock_now() < end) {
		for (size_t i = 0; i < threads->count; i++)
			if (thread_wait(process, &threads->item[i], 0))
				thread_release(process, &threads->item[i]);
		drop_released(threads);
		nanosleep(&nap, NULL);
	}
}

void threads_free(struct threads *threads)
{
	array_free(threads);
}
