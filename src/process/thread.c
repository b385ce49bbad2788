/*
 * One thread under ptrace.
 *
 * What may happen between any two calls here, and why it is harmless:
 * - stent is killed: the kernel detaches. A thread in a signal-delivery stop takes its signal, because stops are looked at and
 *   never reaped (await_report()), one in any other stop goes on. PTRACE_O_EXITKILL is never set. PTRACE_O_TRACESYSGOOD always
 *   is: without it a system call stop would turn into a SIGTRAP for the program; 0x85 is none, and dropped.
 * - the thread is killed or ends: requests fail with ESRCH, the wait reports it, and it counts as ended.
 * - the process is stopped or continued (SIGSTOP, SIGCONT): reported as further stops of the same kind (EVENT_STOP). After
 *   the detach the kernel puts the thread back into the group stop that is in force then.
 * - a signal arrives: it stays pending while the thread is stopped, or is what stopped it and is handed on by the detach, once, with
 *   its siginfo (the kernel keeps it as long as the number is not changed).
 * - another thread calls exec: it holds the process's cred_guard_mutex and waits until all others have gone (de_thread() in fs/exec.c). One
 *   that is ours goes when we have waited for it: so each that has been killed is reaped (reap()), and no call may wait for that mutex
 *   without end (seize()).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/threads.h"
#include "process/tick.h"

#define SEIZE_NAPS 20	/* of 1 ms */
#define STOP_EVENT(status) ((status) >> 8)	/* of siginfo's si_status, which is the tracee's exit_code */

uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned int clock_left(uint64_t deadline)
{
	uint64_t now = clock_now();

	return now < deadline ? (unsigned int)((deadline - now) / 1000000) : 0;
}

struct patience patience_for(unsigned int milliseconds, bool (*cancelled)(void))
{
	uint64_t now = clock_now();

	return (struct patience){ now, now + (uint64_t)milliseconds * 1000000u, cancelled };
}

bool patience_cancelled(const struct patience *patience)
{
	return patience->cancelled && patience->cancelled();
}

bool patience_over(const struct patience *patience)
{
	return clock_now() >= patience->deadline || patience_cancelled(patience);
}

unsigned int patience_left(const struct patience *patience)
{
	uint64_t now = clock_now();

	return now < patience->deadline ? (unsigned int)((patience->deadline - now + 999999) / 1000000) : 0;
}

static bool is_thread_of(const struct process *process, pid_t tid)
{
	char name[64];

	snprintf(name, sizeof(name), "task/%d", tid);
	return faccessat(process->directory, name, F_OK, 0) == 0;
}

/* What can't be read about a thread doesn't mean that there is none: a list of threads without one that runs would be taken for complete. */
static bool is_gone(const struct process *process, pid_t tid)
{
	return !is_thread_of(process, tid) && (errno == ENOENT || errno == ESRCH);
}

static long request_seize(pid_t tid)
{
	return ptrace(PTRACE_SEIZE, tid, NULL, (void *)PTRACE_O_TRACESYSGOOD);
}

/*
 * PTRACE_SEIZE. It waits as long as a thread of the process is in exec (ptrace_attach() in kernel/ptrace.c), and a signal that returns lets
 * it go on waiting: given up with EBUSY, though it may just have come through.
 *
 * Another stent that only looks (`stent status`, `stent stack`) lets go in a moment, and must not make this
 * one fail. The wait is short, because other threads may stand meanwhile; a debugger, or a stent at work, is still there behind it.
 */
static long seize(const struct process *process, pid_t tid)
{
	const struct timespec nap = { 0, 1000000 };
	char comm[COMM_MAX];
	struct task task;

	for (int naps = 0;; naps++) {
		long result = -1;
		int reason = tick_bounded(request_seize, tid, &result) ? errno : EBUSY;

		if (result == 0 || reason != EPERM || naps == SEIZE_NAPS || !process_task(process, tid, &task) ||
		    task.tracer == getpid() || (task.tracer && strcmp(process_comm_of(task.tracer, comm), "stent") != 0)) {
			errno = reason;
			return result;
		}
		nanosleep(&nap, NULL);
	}
}

/* One of ours that has ended. (The first thread of a process is not reported before all others have gone, and nobody waits for it.) */
static void reap(pid_t tid)
{
	(void)!waitpid(tid, NULL, __WALL | WNOHANG);
}

enum status thread_seize(const struct process *process, pid_t tid, struct thread *thread, struct error *error)
{
	char comm[COMM_MAX];
	struct task task;
	long result;
	int reason;

	*thread = (struct thread){ .tid = tid, .state = THREAD_ENDED };
	if (!process_task(process, tid, &task)) {
		if (is_gone(process, tid))
			return STATUS_OK;
		thread->state = THREAD_RELEASED;
		return fail(error, "process %d (%s): nothing can be read about thread %d", process->pid, process->comm, tid);
	}
	if (task_ended(&task) && task.tracer == getpid())
		reap(tid);
	if (task_ended(&task) || task_kernel_worker(&task))
		return STATUS_OK;
	tick_start();
	if (!tick_is_on()) {
		tick_stop();
		thread->state = THREAD_RELEASED;
		return refuse(error, "process %d (%s): no timer is left for stent (RLIMIT_SIGPENDING), without which it could be in the way of exec()",
			      process->pid, process->comm);
	}
	result = seize(process, tid);
	reason = errno;
	tick_stop();
	if (result == 0) {
		thread->state = THREAD_RUNNING;
		/* Now that it is ours the number can't be used again: is it the thread that was meant? */
		if (is_thread_of(process, tid))
			return STATUS_OK;
		thread_interrupt(thread);
		if (thread_wait(process, thread, 1000))
			thread_release(process, thread);
		thread->state = THREAD_ENDED;
		return STATUS_OK;
	}
	if (reason == ESRCH || !process_task(process, tid, &task) || task_ended(&task))
		return STATUS_OK;
	/* Seized just now (EBUSY), or earlier, when it did not stop (see threads_release()): it can't have become another one since. */
	if (task.tracer == getpid()) {
		thread->state = THREAD_RUNNING;
		return STATUS_OK;
	}
	thread->state = THREAD_RELEASED;
	if (reason == EBUSY)
		return STATUS_GAVE_UP;
	if (task.tracer)
		return refuse(error, "process %d (%s) is traced by %s (pid %d)", process->pid, process->comm,
			      process_comm_of(task.tracer, comm), task.tracer);
	return fail(error, "process %d (%s): no permission to stop thread %d: %s", process->pid, process->comm, tid,
		    strerror(reason));
}

void thread_interrupt(struct thread *thread)
{
	if (ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) < 0)
		thread->state = THREAD_ENDED;	/* ESRCH; INTERRUPT has no other reason to fail for a seized thread */
}

/*
 * A system call that failed with EINTR only because of our stop is entered again. The registers are set at once, not
 * on release, so that it also happens when stent is killed. A signal that waits for the thread is a reason of its
 * own for EINTR: then nothing is changed.
 */
static void rewind_call(const struct process *process, struct thread *thread)
{
	struct registers again = thread->registers;
	uint8_t code[REGISTERS_CALL_SIZE];
	struct task task;

	if (!registers_call_failed(&thread->registers))
		return;
	if (!process_task(process, thread->tid, &task) || task.deliverable)
		return;
	if (thread->signal && !(task.without_effect & UINT64_C(1) << (thread->signal - 1)))
		return;
	if (!process_read(process, registers_pc(&thread->registers) - sizeof(code), code, sizeof(code)) ||
	    !registers_rewind(&again, code))
		return;
	thread->rewound = registers_write(thread->tid, &again) == 0;
}

static void note_stop(struct thread *thread, int status)
{
	int event = STOP_EVENT(status);
	int signal = status & 0xff;

	thread->state = THREAD_STOPPED;
	thread->in_call_stop = !event && signal == (SIGTRAP | 0x80);
	thread->group_stop = event && signal != SIGTRAP;
	thread->signal = event || thread->in_call_stop ? 0 : signal;
	thread->rewound = false;
}

void thread_note_registers(const struct process *process, struct thread *thread)
{
	thread->unreadable = -registers_read(thread->tid, &thread->registers);
	if (!thread->unreadable && !thread->in_call_stop)
		rewind_call(process, thread);
}

/* Nothing more to wait for: the first thread of a process is not reported before all others have ended. One of
 * another process (see thread_seize()) is reported in any case. */
static bool ended_unreported(const struct process *process, pid_t tid)
{
	struct task task;

	return process_task(process, tid, &task) ? task_ended(&task) : is_gone(process, tid);
}

/*
 * Wait for what there is to say about a thread: a stop, which is left as it is (WNOWAIT), or the end, which is reaped. 0: nothing yet;
 * -1 with errno otherwise.
 *
 * The kernel keeps the signal of a signal-delivery stop in exit_code, and takes it from there when the tracer has gone
 * (ptrace_stop() and ptrace_signal() in kernel/signal.c). A wait without WNOWAIT clears it (wait_task_stopped() in
 * kernel/exit.c), so the program would lose a signal with a stent that is killed then. A stop that was not reaped is not
 * reported again once the thread runs, and a resume overwrites exit_code.
 */
static pid_t await_report(pid_t tid, bool block, siginfo_t *info)
{
	const int look = WEXITED | WSTOPPED | __WALL | WNOWAIT;

	info->si_pid = 0;
	if (waitid(P_PID, (id_t)tid, info, look | (block ? 0 : WNOHANG)) < 0)
		return -1;
	if (info->si_pid && info->si_code != CLD_TRAPPED && info->si_code != CLD_STOPPED)
		return waitpid(tid, NULL, __WALL | WNOHANG);
	return info->si_pid;
}

bool thread_await(const struct process *process, struct thread *thread, unsigned int milliseconds, bool *stopped)
{
	const struct timespec nap = { 0, 5000000 };
	uint64_t deadline = clock_now() + (uint64_t)milliseconds * 1000000u;
	sigset_t child;

	*stopped = false;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (thread->state == THREAD_RUNNING) {
		siginfo_t info;
		pid_t found = await_report(thread->tid, milliseconds && tick_is_on(), &info);
		bool interrupted = found < 0 && errno == EINTR;

		if (found == thread->tid && (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)) {
			note_stop(thread, info.si_status);
			*stopped = true;
		} else if (found && !interrupted) {	/* it ended, or is none of ours any more */
			thread->state = THREAD_ENDED;
		} else if (clock_now() >= deadline) {
			return false;
		} else if ((interrupted || sigtimedwait(&child, NULL, &nap) < 0) && ended_unreported(process, thread->tid)) {
			/* (SIGCHLD is blocked by window_open(), so one that came since the waitpid() is not missed.) */
			thread->state = THREAD_ENDED;
		}
	}
	return true;
}

bool thread_wait(const struct process *process, struct thread *thread, unsigned int milliseconds)
{
	bool stopped, waited = thread_await(process, thread, milliseconds, &stopped);

	if (stopped)
		thread_note_registers(process, thread);
	return waited;
}

void thread_resume(struct thread *thread, int request)
{
	thread->state = THREAD_RUNNING;
	if (ptrace(request, thread->tid, NULL, (void *)(long)thread->signal) < 0)
		thread->state = THREAD_ENDED;
	thread->signal = 0;
}

void thread_settle(const struct process *process, struct thread *thread)
{
	struct task task;

	/* A signal came while it was stopped: the program sees the EINTR that it gives. */
	if (!thread->rewound || !process_task(process, thread->tid, &task) || !task.deliverable)
		return;
	thread->rewound = false;
	/* Only one that has been killed refuses its own registers: then there is nothing to put right. */
	(void)!registers_write(thread->tid, &thread->registers);
}

void thread_release(const struct process *process, struct thread *thread)
{
	if (thread->state == THREAD_STOPPED) {
		thread_settle(process, thread);
		if (ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(long)thread->signal) < 0)
			thread->state = THREAD_RUNNING;
		/* Killed where it stood: it is about to end, and still ours. */
		if (thread->state == THREAD_RUNNING && !thread_wait(process, thread, 100))
			return;
	}
	thread->state = THREAD_RELEASED;
}
