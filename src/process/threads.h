/*
 * threads.h: stop threads of a process and let them go again, so that the program can't tell.
 *
 * PTRACE_SEIZE, never PTRACE_ATTACH: no SIGSTOP is sent, and a process that is stopped (SIGSTOP) stays stopped.
 * If stent is killed while threads are stopped, the kernel detaches and resumes them, signals included.
 */
#ifndef STENT_PROCESS_THREADS_H
#define STENT_PROCESS_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/registers.h"
#include "base/error.h"
#include "base/memory.h"
#include "process/process.h"

enum thread_state {
	THREAD_RUNNING,		/* seized, not stopped */
	THREAD_STOPPED,		/* in a ptrace stop, registers[] valid unless `unreadable` */
	THREAD_ENDED,		/* or ending: runs no code of the program any more */
	THREAD_RELEASED,	/* not ours (any more) */
};

struct thread {
	pid_t tid;
	enum thread_state state;
	int signal;		/* that it was about to receive when it stopped, 0: none. Given to it on release */
	int unreadable;		/* errno of reading the registers, 0: none. ENOEXEC: 32-bit code */
	bool in_call_stop;	/* stopped at a system call's entry or exit, as remote.c asked for */
	bool group_stop;	/* stopped together with its process (SIGSTOP): must not run before SIGCONT */
	bool rewound;		/* its registers were changed so that it enters its system call again */
	struct registers registers;	/* as the program left them */
};

/*
 * Take one thread under control; it runs on. STATUS_REFUSED: another process traces it, or there is no timer (tick.h).
 * STATUS_ERROR: not permitted. STATUS_OK with THREAD_ENDED: it has ended, or is a kernel worker, and none of ours. STATUS_GAVE_UP, and no line in *error: not
 * now, because a thread of its process is in exec. That may wait for those that the caller holds and has to wait for, too.
 */
enum status thread_seize(const struct process *process, pid_t tid, struct thread *thread, struct error *error) must_check;

/* Ask it to stop; and wait for that, `milliseconds` at most. False: it is still running. */
void thread_interrupt(struct thread *thread);
bool thread_wait(const struct process *process, struct thread *thread, unsigned int milliseconds) must_check;

/* thread_wait() in two steps, for many threads: each first waits until the one before is off its processor. *stopped: the second is due. */
bool thread_await(const struct process *process, struct thread *thread, unsigned int milliseconds, bool *stopped) must_check;
void thread_note_registers(const struct process *process, struct thread *thread);

/* Before a thread runs on: if a signal has come that makes its system call fail with EINTR, let it fail. */
void thread_settle(const struct process *process, struct thread *thread);

/* Resume a stopped thread that stays under control; `request` is PTRACE_CONT or PTRACE_SYSCALL. */
void thread_resume(struct thread *thread, int request);

/*
 * Give it up: registers as the program left them, its signal delivered, and running as before. One that has been killed meanwhile is waited for;
 * if that lasts it stays THREAD_RUNNING, and who looks at it next (thread_seize()) reaps it.
 */
void thread_release(const struct process *process, struct thread *thread);

struct threads {
	struct thread *item;
	size_t count, room;
	uint64_t stopped_at;	/* CLOCK_MONOTONIC, ns: first request to stop; 0: nothing is stopped */
	/*
	 * Called by threads_stop() as the last thing before the first request, with all threads that are known seized and running; NULL: nothing. What
	 * is looked at here is in the processor's caches in the stop.
	 */
	void (*ready)(void *context, const struct threads *threads);
	void *context;
};

/*
 * Stop all threads. STATUS_OK: all are stopped or have ended, none can be created. STATUS_GAVE_UP: at least one is
 * still THREAD_RUNNING after `milliseconds`, or THREAD_RELEASED, which is one that can't be seized now; or, if none is,
 * not all have been found. Others as thread_seize(). In every case threads_release() follows, soon: from the first stop to there the caller must not print or wait; signals to stent
 * are held back, and it runs at real-time priority where it may. *threads is zeroed before the first call, and kept for the
 * next try.
 */
enum status threads_stop(const struct process *process, unsigned int milliseconds, struct threads *threads,
			 struct error *error) must_check;

/* Let all go. Returns how long threads were stopped, in ns. A thread that would not stop stays in the list. */
uint64_t threads_release(const struct process *process, struct threads *threads);

/* As threads_release(), but keep those stopped for which keep(context, thread) is true. */
uint64_t threads_release_but(const struct process *process, struct threads *threads,
			     bool (*keep)(void *context, const struct thread *thread), void *context);

/*
 * Let the threads in the list run from one system call to the next, until arrived(context, thread) has been true of
 * each at a stop, where it is then held; `milliseconds` at most. True: all are stopped there, or have ended, and
 * threads_stop() can go on from that. False: all have been let go (also when the process is stopped by a signal).
 */
bool threads_follow(const struct process *process, struct threads *threads, unsigned int milliseconds,
		    bool (*arrived)(void *context, const struct thread *thread), void *context) must_check;

/*
 * Sleep between two tries. A thread that would not stop is still seized, because only a stopped one can be given up: if
 * it stops now it is let go at once, with the signal that it may have stopped for.
 */
void threads_idle(const struct process *process, struct threads *threads, unsigned int milliseconds);

/* Forget the list, after threads_release(). Threads in it that never stopped are given up by the kernel when stent ends. */
void threads_free(struct threads *threads);

/* CLOCK_MONOTONIC in ns; and whole milliseconds from now to such a time, 0 when it has passed. */
uint64_t clock_now(void);
unsigned int clock_left(uint64_t deadline);

/* How long to wait for something in the target: until the deadline, or until somebody says that it is not wanted any more. */
struct patience {
	uint64_t began, deadline;	/* as clock_now() */
	bool (*cancelled)(void);	/* NULL: never */
};

struct patience patience_for(unsigned int milliseconds, bool (*cancelled)(void));
bool patience_cancelled(const struct patience *patience);
bool patience_over(const struct patience *patience);	/* cancelled, or the deadline has passed */

/* Milliseconds to the deadline, rounded up; 0 when it has passed. */
unsigned int patience_left(const struct patience *patience);

/* Hold back all signals to stent itself, so that a Ctrl-Z can't stop it while a target is stopped; and undo that. Nests. */
void window_open(void);
void window_close(void);

#endif
