/*
 * What may interrupt each step, and why the target survives it. "Killed" is stent by SIGKILL; the kernel then closes its
 * files, which removes the perf events, before it gives up the threads that it traced (do_exit() in kernel/exit.c:
 * exit_files(), then exit_notify()).
 *
 *  1 traps_ignore()	Two system calls of a thread of the target (remote.c). Killed between or behind them: SIGTRAP has its
 *			old action, or is ignored. Nothing sends one.
 *  2 breakpoint_arm()	The thread is stopped, so nothing can trap before the call is complete. Killed: event gone, thread runs on.
 *			The program changes the action or blocks SIGTRAP behind the check: see 4 and 5.
 *  3 the thread runs	Killed: event gone. Exec: event gone (remove_on_exec), and ptrace tells. End: event gone. Fork:
 *			not inherited. A debug register is never written by us: ptrace's would stay armed after our
 *			death, and the next trap would kill the target.
 *  4 it traps		The kernel sends SIGTRAP to the thread, not forced (send_sig_perf() in kernel/signal.c since 5.18), and a
 *			traced thread stops before it is delivered. Killed before our wait has seen that: it is delivered,
 *			and ignored. If the program has set the default action itself meanwhile, this alone would
 *			end it: a program that changes the action of SIGTRAP in the few microseconds between is accepted.
 *			SIGTRAP blocked: it stays pending, and stops the thread when it is unblocked, somewhere else (passed).
 *  5 our wait		has seen it: the signal is ours, and the number that the thread goes on with is 0. Killed: runs on
 *			without a signal.
 *  6 it goes on	The kernel has set the resume flag in the saved flags (hw_breakpoint_handler() in
 *			arch/x86/kernel/hw_breakpoint.c), so the same instruction doesn't trap again, though still armed. A handler of
 *			another signal begins without the flag, and gets it back with the rest of the frame.
 *  7 disarm		A trap may have happened just before: pending, or the reason of a stop that nobody has seen. It is ignored
 *			when delivered.
 *  8 traps_restore()	Setting an action of "ignore" discards what is pending for any thread (do_sigaction() in kernel/signal.c,
 *			POSIX 2.4.3), so the default action can't meet an old trap. Killed between: ignored for good.
 */
#include "process/breakpoint.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/bytes.h"

/* asm-generic/siginfo.h, Linux 5.13; glibc's headers have none of it: _sifields._sigfault._perf */
#define TRAP_PERF_CODE 6
#define TRAP_PERF_DATA (offsetof(siginfo_t, si_addr) + sizeof(void *))

#define SIGTRAP_BIT (UINT64_C(1) << (SIGTRAP - 1))

/* struct sigaction of the kernel (include/linux/signal_types.h): handler, flags, restorer, mask. */
enum { ACTION_HANDLER, ACTION_MASK = 3, ACTION_WORDS };
#define ACTION_SIZE (ACTION_WORDS * sizeof(uint64_t))
_Static_assert(TRAPS_SCRATCH == 2 * ACTION_SIZE, "a new and an old action");

/* rt_sigaction(SIGTRAP) in the target: set *new unless that is NULL; the one before goes to old. */
static enum status change_action(struct remote *remote, uint64_t scratch, const uint64_t *new, uint64_t old[ACTION_WORDS],
				 struct error *error)
{
	const uint64_t arguments[6] = { SIGTRAP, new ? scratch + ACTION_SIZE : 0, scratch, sizeof(uint64_t) };
	const struct process *process = remote->process;
	enum status status = new ? process_put(process, scratch + ACTION_SIZE, new, ACTION_SIZE, error) : STATUS_OK;
	int64_t result;

	if (status == STATUS_OK)
		status = remote_call(remote, SYS_rt_sigaction, arguments, &result, error);
	if (status != STATUS_OK)
		return status;
	if (result || !process_read(process, scratch, old, ACTION_SIZE))
		return fail(error, "process %d (%s): can't change what SIGTRAP does: %s", process->pid, process->comm,
			    result ? strerror((int)-result) : "its memory is gone");
	return STATUS_OK;
}

/*
 * Ours has signals in its mask, which mean nothing for one that is ignored, and by which it is told from one that the program has set. (A program that is
 * executed with it ignored has an empty mask: flush_signal_handlers() in kernel/signal.c.)
 */
static const uint64_t ignore[ACTION_WORDS] = { (uint64_t)(uintptr_t)SIG_IGN, 0, 0, UINT64_C(0x7374656e74) << 24 };

static bool is_ours(const uint64_t action[ACTION_WORDS])
{
	return action[ACTION_HANDLER] == ignore[ACTION_HANDLER] && action[ACTION_MASK] == ignore[ACTION_MASK];
}

/* *done: it was `from`, and is `to` now. Otherwise another thread of the program has set another one since, which is put back. */
static enum status exchange(struct remote *remote, uint64_t scratch, const uint64_t from[ACTION_WORDS], const uint64_t to[ACTION_WORDS], bool *done,
			    struct error *error)
{
	uint64_t before[ACTION_WORDS] = { 0 }, unused[ACTION_WORDS];
	enum status status = change_action(remote, scratch, to, before, error);

	*done = status == STATUS_OK && !memcmp(before, from, ACTION_SIZE);
	return status == STATUS_OK && !*done ? change_action(remote, scratch, before, unused, error) : status;
}

enum status traps_ignore(struct remote *remote, uint64_t scratch, struct traps *traps, struct error *error)
{
	const uint64_t default_action[ACTION_WORDS] = { (uint64_t)(uintptr_t)SIG_DFL };
	const struct process *process = remote->process;
	enum status status;

	*traps = (struct traps){ 0 };
	status = change_action(remote, scratch, NULL, traps->original, error);
	if (status != STATUS_OK)
		return status;
	if (traps->original[ACTION_HANDLER] == ignore[ACTION_HANDLER]) {
		traps->changed = is_ours(traps->original);	/* by a stent that was killed */
		if (traps->changed)
			memcpy(traps->original, default_action, ACTION_SIZE);
		return STATUS_OK;
	}
	if (traps->original[ACTION_HANDLER] == default_action[ACTION_HANDLER]) {
		bool done;

		traps->changed = true;	/* even if the call fails: it may have been made */
		status = exchange(remote, scratch, traps->original, ignore, &done, error);
		if (status != STATUS_OK || done)
			return status;
		traps->changed = false;
	}
	return refuse(error, "process %d (%s) has a handler for SIGTRAP", process->pid, process->comm);
}

enum status traps_restore(struct remote *remote, uint64_t scratch, const struct traps *traps, struct error *error)
{
	uint64_t now[ACTION_WORDS] = { 0 };
	enum status status = change_action(remote, scratch, NULL, now, error);
	bool done;

	if (status != STATUS_OK || now[ACTION_HANDLER] != ignore[ACTION_HANDLER])
		return status;
	/* To ignore it once more discards what is pending. */
	status = exchange(remote, scratch, now, now, &done, error);
	if (status == STATUS_OK && done && traps->changed && is_ours(now))
		status = exchange(remote, scratch, now, traps->original, &done, error);
	return status;
}

const char *breakpoint_reason(enum breakpoint_result result)
{
	static const char *const reasons[] = {
		[BREAKPOINT_ARMED] = "watched by a hardware breakpoint",
		[BREAKPOINT_NONE_FREE] = "no hardware breakpoint is free",
		[BREAKPOINT_BLOCKED] = "SIGTRAP is blocked",
		[BREAKPOINT_NOT_IGNORED] = "SIGTRAP is in use by the program",
		[BREAKPOINT_NOT_PERMITTED] = "hardware breakpoints are not permitted (kernel.perf_event_paranoid, seccomp)",
		[BREAKPOINT_UNSUPPORTED] = "this kernel or processor has no suitable hardware breakpoints",
		[BREAKPOINT_NO_DESCRIPTOR] = "stent has too many files open",
		[BREAKPOINT_ENDED] = "the thread has ended",
	};

	return reasons[result];
}

/* Tells our traps from those of events that the program itself has (attr.sig_data). Any number will do that it can't have guessed. */
static uint64_t our_mark(void)
{
	static uint64_t mark;

	if (!mark && getrandom(&mark, sizeof(mark), GRND_NONBLOCK) != sizeof(mark))
		mark = clock_now() << 20 ^ (uint64_t)getpid();
	return mark;
}

/* Before 5.18 the trap was forced: it set the action back to the default and ended the program if nobody took it away. */
static bool kernel_is_suitable(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 18));
}

/* One of the masks in /proc/PID/task/TID/status. */
static uint64_t signal_mask(const char *status, const char *name)
{
	const char *field = strstr(status, name);

	return field ? strtoull(field + strlen(name), NULL, 16) : 0;
}

static enum breakpoint_result result_of_error(int number)
{
	switch (number) {
	case ENOSPC:
	case EBUSY:
		return BREAKPOINT_NONE_FREE;
	case EACCES:
	case EPERM:
		return BREAKPOINT_NOT_PERMITTED;
	case EMFILE:
	case ENFILE:
		return BREAKPOINT_NO_DESCRIPTOR;
	case ESRCH:
	case ENOENT:	/* of a file in /proc */
		return BREAKPOINT_ENDED;
	default:
		return BREAKPOINT_UNSUPPORTED;
	}
}

static enum breakpoint_result check_signal(const struct process *process, pid_t tid)
{
	enum breakpoint_result result = BREAKPOINT_ARMED;
	char path[64];
	char *status;

	snprintf(path, sizeof(path), "task/%d/status", tid);
	status = process_file(process, path, NULL);
	if (!status)
		return result_of_error(errno);
	if (!(signal_mask(status, "\nSigIgn:") & SIGTRAP_BIT))
		result = BREAKPOINT_NOT_IGNORED;
	else if (signal_mask(status, "\nSigBlk:") & SIGTRAP_BIT)
		result = BREAKPOINT_BLOCKED;
	free(status);
	return result;
}

enum breakpoint_result breakpoint_arm(const struct process *process, const struct thread *thread, uint64_t address, uint64_t cfa,
				      struct breakpoint *breakpoint)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attributes),
		.sample_period = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.remove_on_exec = 1,
		.sigtrap = 1,
		.bp_type = HW_BREAKPOINT_X,
		.bp_addr = address,
		.bp_len = sizeof(long),		/* the only one for execution */
		.sig_data = our_mark(),
	};
	enum breakpoint_result result;

	*breakpoint = (struct breakpoint){ .event = -1, .address = address, .cfa = cfa };
	if (!kernel_is_suitable())
		return BREAKPOINT_UNSUPPORTED;
	if (thread->state != THREAD_STOPPED)
		return BREAKPOINT_ENDED;
	result = check_signal(process, thread->tid);
	if (result != BREAKPOINT_ARMED)
		return result;
	breakpoint->event = (int)syscall(SYS_perf_event_open, &attributes, thread->tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return breakpoint->event < 0 ? result_of_error(errno) : BREAKPOINT_ARMED;
}

static bool is_our_trap(const struct thread *thread)
{
	siginfo_t info;

	return thread->state == THREAD_STOPPED && thread->signal == SIGTRAP &&
	       ptrace(PTRACE_GETSIGINFO, thread->tid, NULL, &info) == 0 && info.si_code == TRAP_PERF_CODE &&
	       load64((const uint8_t *)&info + TRAP_PERF_DATA) == our_mark();
}

void breakpoint_take_trap(struct thread *thread)
{
	if (is_our_trap(thread))
		thread->signal = 0;
}

/* The thread has stopped. True: at the exit of the frame. Only == is asked of the stack pointer: it says nothing
 * whether another one is above or below, there may be several stacks. */
static bool has_left(struct breakpoint *breakpoint, struct thread *thread)
{
	if (!is_our_trap(thread)) {
		breakpoint->signals += thread->signal != 0;
		return false;
	}
	thread->signal = 0;
	if (!thread->unreadable && registers_pc(&thread->registers) == breakpoint->address &&
	    registers_stack(&thread->registers) == breakpoint->cfa)
		return true;
	breakpoint->passed++;
	return false;
}

/* LISTEN: a thread that is stopped together with its process stays so until SIGCONT, and that is reported. */
void breakpoint_go_on(const struct process *process, struct thread *thread)
{
	thread_settle(process, thread);
	thread_resume(thread, thread->group_stop ? PTRACE_LISTEN : PTRACE_CONT);
}

enum breakpoint_event breakpoint_wait(struct breakpoint *breakpoint, const struct process *process, struct thread *thread,
				      unsigned int milliseconds)
{
	uint64_t end = clock_now() + (uint64_t)milliseconds * 1000000u;
	enum breakpoint_event event = BREAKPOINT_RUNNING;

	window_open();	/* thread_wait() needs SIGCHLD blocked */
	while (thread->state == THREAD_RUNNING) {
		if (!thread_wait(process, thread, clock_left(end)) ||
		    thread->state != THREAD_STOPPED || has_left(breakpoint, thread))
			break;
		breakpoint_go_on(process, thread);
	}
	if (thread->state == THREAD_STOPPED)
		event = BREAKPOINT_LEFT;
	else if (thread->state != THREAD_RUNNING)
		event = BREAKPOINT_GONE;
	window_close();
	return event;
}

void breakpoint_disarm(struct breakpoint *breakpoint)
{
	if (breakpoint->event >= 0)
		close(breakpoint->event);
	breakpoint->event = -1;
}
