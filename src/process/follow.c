/*
 * A thread that is inside of some code whenever it is looked at may be out of it all the same between two looks: a server
 * under load handles one request after the other, and is outside only when it asks for the next. So the thread is
 * followed from system call to system call, and held where it is outside.
 *
 * What may happen: a stop at a system call's entry changes nothing in the call (PTRACE_O_TRACESYSGOOD is set; if stent is
 * killed the thread just goes on). Signals are handed on as they come. The other threads of the process run, and one that is held
 * may have a lock that they need: hence the bound, which the caller keeps small.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <time.h>

#include "process/threads.h"

/* How far following has come. */
struct progress {
	bool *held;		/* of each thread */
	size_t waiting;		/* not held yet */
	bool moved;		/* any had stopped since the last pass */
	bool forbidden;		/* the process is stopped by a signal: none may run */
};

static bool is_held(const struct thread *thread, bool (*arrived)(void *context, const struct thread *thread), void *context)
{
	return thread->state != THREAD_STOPPED || (thread->in_call_stop && arrived(context, thread));
}

static void follow_each(const struct process *process, struct threads *threads, struct progress *progress,
			bool (*arrived)(void *context, const struct thread *thread), void *context)
{
	progress->waiting = 0;
	progress->moved = false;
	for (size_t i = 0; i < threads->count && !progress->forbidden; i++) {
		struct thread *thread = &threads->item[i];

		if (progress->held[i])
			continue;
		if (thread_wait(process, thread, 0)) {
			progress->moved = true;
			progress->held[i] = is_held(thread, arrived, context);
			if (progress->held[i])
				continue;
			progress->forbidden = thread->state == THREAD_STOPPED && thread->group_stop;
			if (progress->forbidden)
				return;
			thread_settle(process, thread);
			thread_resume(thread, PTRACE_SYSCALL);
		}
		progress->waiting++;
	}
}

/*
 * A stop at a system call is not the place to give up a thread that has been asked to stop: the call may just have failed with
 * EINTR for that, and only the stop that was asked for is where this can be put right (thread.c). Every stop takes
 * the request away (kernel/signal.c, ptrace_stop()), so it is made again.
 */
static bool wait_for_plain_stop(const struct process *process, struct thread *thread)
{
	while (thread_wait(process, thread, 100)) {
		if (thread->state != THREAD_STOPPED || !thread->in_call_stop)
			return true;
		thread_interrupt(thread);
		if (thread->state == THREAD_STOPPED)
			thread_resume(thread, PTRACE_CONT);
	}
	return false;
}

static void let_go(const struct process *process, struct threads *threads)
{
	for (size_t i = 0; i < threads->count; i++)
		if (threads->item[i].state == THREAD_RUNNING)
			thread_interrupt(&threads->item[i]);
	for (size_t i = 0; i < threads->count; i++) {
		struct thread *thread = &threads->item[i];

		/* One that is held has not been asked to stop, and goes on from where it is. */
		if (thread->state == THREAD_STOPPED || wait_for_plain_stop(process, thread))
			thread_release(process, thread);
	}
}

bool threads_follow(const struct process *process, struct threads *threads, unsigned int milliseconds,
		    bool (*arrived)(void *context, const struct thread *thread), void *context)
{
	uint64_t end = clock_now() + (uint64_t)milliseconds * 1000000u;
	const struct timespec nap = { 0, 1000000 };
	struct progress progress = { .held = memory_zeroed(threads->count, sizeof(bool)) };
	bool done = false;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	window_open();
	while (!done && !progress.forbidden && clock_now() < end) {
		follow_each(process, threads, &progress, arrived, context);
		done = !progress.waiting && !progress.forbidden;
		if (!done && !progress.moved)
			sigtimedwait(&child, NULL, &nap);
	}
	if (!done)
		let_go(process, threads);
	window_close();
	free(progress.held);
	return done;
}
