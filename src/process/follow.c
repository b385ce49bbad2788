/*
 * A thread that is inside of some code whenever it is looked at may be out of it all the same between two looks: a server
 * under load handles one request after the other, and is outside only when it asks for the next. So the thread is
 * followed from system call to system call, and held where it is outside.
 *
 * What may happen: a stop at a system call's entry changes nothing in the call (PTRACE_O_TRACESYSGOOD is set; if stent is
 * killed the thread just goes on). Signals are handed on as they come. The other threads of the process run, and one that is held
 * may have a lock that they need: hence the bound, which the caller keeps small.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <time.h>

#include "process/threads.h"

static bool is_held(struct thread *thread, bool (*arrived)(void *context, const struct thread *thread), void *context)
{
	return thread->state != THREAD_STOPPED || (thread->in_call_stop && arrived(context, thread));
}

/* One pass over all threads. Returns how many are not held yet; *moved says whether any had stopped. */
static size_t follow_each(const struct process *process, struct threads *threads, bool *held, bool *moved,
			  bool (*arrived)(void *context, const struct thread *thread), void *context)
{
	size_t waiting = 0;

	*moved = false;
	for (size_t i = 0; i < threads->count; i++) {
		struct thread *thread = &threads->item[i];

		if (held[i])
			continue;
		if (thread_wait(process, thread, 0)) {
			*moved = true;
			held[i] = is_held(thread, arrived, context);
			if (held[i])
				continue;
			thread_resume(thread, PTRACE_SYSCALL);
		}
		waiting++;
	}
	return waiting;
}

static void let_go(const struct process *process, struct threads *threads)
{
	for (size_t i = 0; i < threads->count; i++)
		if (threads->item[i].state == THREAD_RUNNING)
			thread_interrupt(&threads->item[i]);
	for (size_t i = 0; i < threads->count; i++)
		if (thread_wait(process, &threads->item[i], 100))
			thread_release(process, &threads->item[i]);
}

bool threads_follow(const struct process *process, struct threads *threads, unsigned int milliseconds,
		    bool (*arrived)(void *context, const struct thread *thread), void *context)
{
	uint64_t end = clock_now() + (uint64_t)milliseconds * 1000000u;
	const struct timespec nap = { 0, 1000000 };
	bool *held = memory_zeroed(threads->count, sizeof(*held));
	bool moved, done = false;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	window_open();
	while (!done && clock_now() < end) {
		done = follow_each(process, threads, held, &moved, arrived, context) == 0;
		if (!done && !moved)
			sigtimedwait(&child, NULL, &nap);
	}
	if (!done)
		let_go(process, threads);
	window_close();
	free(held);
	return done;
}
