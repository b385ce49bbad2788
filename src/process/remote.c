/*
 * A remote system call that survives everything (docs/design.md, "Remote system calls"). The thread gets, by one
 * PTRACE_SETREGSET, registers that lead it into a stub: the system call, all registers back to what they were, a jump
 * to where it was. So whoever dies at whatever point, the thread comes out right.
 *
 * Step by step, what may interrupt it, and why that is harmless:
 *  1 seize, interrupt, wait	Killed: the thread goes on. A system call that fails with EINTR by the stop is entered
 *				again (thread.c).
 *  2 write the stub		into zero bytes behind the end of a segment: no code leads there. Killed: the bytes stay, are
 *				recognised by the next stent and never used again.
 *  3 set registers		one call; the stub holds all that is overwritten. Killed from here to 6: the
 *				kernel detaches, the thread makes the call, restores itself and is where it was. A restart of its
 *				own system call is part of the stub. What the call made (a mapping) leaks.
 *  4 PTRACE_SYSCALL to the entry, and to the exit. A signal that is to be delivered before the entry (none can be
 *				between entry and exit): the thread gets its own registers back and the signal, is let go, and
 *				we start again at 1. So no signal frame ever holds an address of the stub while we live.
 *  5 further calls		at the exit stop: 3 and 4 with other arguments
 *  6 interrupt, continue, wait, set the original registers. The stop must be one of the kind of step 1, because only there does
 *				the kernel restart a system call from the registers.
 *  7 put the slack back		the only thread that ever was in it has just got its own registers
 *  8 detach
 * A thread that is killed at any time makes our requests fail with ESRCH; the bytes of 2 are put back then, too. They
 * are not where the thread may still be in the stub (a call that does not come back in time: a frozen cgroup).
 */
#include "process/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <time.h>

#include "base/bytes.h"
#include "process/slack.h"

#define STOP_MILLISECONDS 300	/* for one thread to stop; then another one is tried */
#define CALL_LEAST 1000u	/* ms for a system call: mmap may wait for page faults of other threads. However little is left: */
#define CALL_LONGEST 5000u	/* if it is not awaited, the stub must stay */
#define ROUNDS 20		/* over all threads, at least, until one stops where it can be used; */
#define ENOUGH 8		/* in the first one only so many of which each would do: to ask all of a thousand takes long */

/* linux/ptrace.h, Linux 5.13; not in the headers of every distribution */
#define GET_RSEQ_CONFIGURATION 0x420f
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};

/* linux/rseq.h: struct rseq holds the address of this at offset 8 while a restartable sequence is running. */
struct rseq_sequence {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

static bool place_stub_in(struct remote *remote, const struct maps *maps, const struct mapped_images *images)
{
	static const uint8_t zero[REMOTE_STUB_MAX];
	size_t size = (remote_stub_size() + 7) & ~(size_t)7;
	struct slack slack = { 0 };

	slack_find(maps, images, &slack);
	for (size_t i = 0; i < slack.count && !remote->stub; i++) {
		uint64_t at = slack.item[i].end & ~7ul;

		/* Bytes that are not zero have a meaning to somebody, or are a stub that was left behind. */
		while (!remote->stub && at >= slack.item[i].start + size) {
			at -= size;
			if (process_read(remote->process, at, remote->before, size) &&
			    !memcmp(remote->before, zero, size))
				remote->stub = at;
		}
	}
	array_free(&slack);
	return remote->stub;
}

static enum status no_room(const struct remote *remote, struct error *error)
{
	return refuse(error, "process %d (%s): no %zu unused bytes behind the code of any image, to make system calls from",
		      remote->process->pid, remote->process->comm, remote_stub_size());
}

/* What was mapped a while ago may be something else's memory by now: it is asked for anew. */
static enum status place_stub(struct remote *remote, struct error *error)
{
	const struct process *process = remote->process;
	struct mapped_images images = { 0 };
	struct maps maps;
	enum status status = maps_read(process, &maps, error);

	if (status == STATUS_OK)
		images_read(process, &maps, &images);
	if (status == STATUS_OK && !place_stub_in(remote, &maps, &images))
		status = no_room(remote, error);
	images_free(&images);
	maps_free(&maps);
	return status;
}

/* Inside a restartable sequence (man 2 rseq): the kernel would forget that it has to be aborted. */
static bool in_rseq(const struct remote *remote)
{
	struct rseq_configuration configuration = { 0 };
	struct rseq_sequence sequence;
	uint64_t pointer;

	if (ptrace(GET_RSEQ_CONFIGURATION, remote->thread.tid, (void *)sizeof(configuration), &configuration) < 0)
		return errno == ESRCH;		/* otherwise a kernel that doesn't know the request; */
	if (!configuration.pointer)		/* thread without rseq */
		return false;
	if (!process_read(remote->process, configuration.pointer + 8, &pointer, sizeof(pointer)))
		return true;
	if (!pointer)
		return false;
	if (!process_read(remote->process, pointer, &sequence, sizeof(sequence)))
		return true;
	return registers_pc(&remote->thread.registers) - sequence.start < sequence.length;
}

/* A stopped thread whose registers may be borrowed. One that is to receive a signal is let go to receive it first. */
static bool usable(const struct remote *remote)
{
	const struct thread *thread = &remote->thread;

	return thread->state == THREAD_STOPPED && !thread->signal && !thread->unreadable &&
	       !registers_trapping(&thread->registers) && !in_rseq(remote);
}

static bool suspend_seccomp(const struct thread *thread)
{
	return ptrace(PTRACE_SETOPTIONS, thread->tid, NULL,
		      (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP)) == 0;
}

struct candidate {
	pid_t tid;
	unsigned int reluctance;
	bool waits;	/* in vfork, where no signal and no stop reaches it until the child has ended or executes another program */
};

/*
 * How much a thread would mind: 0 is best. One that is in a system call which a stop makes fail would lose an EINTR
 * if stent were killed between its stop and our repair; one under seccomp could be killed by its filter if stent were killed
 * between the registers and the call.
 */
static struct candidate look_at(const struct process *process, pid_t tid)
{
	struct candidate candidate = { .tid = tid, .reluctance = 100 };
	struct task_call call;
	struct task task;

	if (!process_task_status(process, tid, &task) || !process_task_call(process, tid, &call))
		return candidate;
	candidate.waits = task.state == 'D' && call.blocked && registers_call_spawns(call.number);
	candidate.reluctance = 0;
	if (task.seccomp)
		candidate.reluctance += 8;
	if (task.state == 'D')
		candidate.reluctance += 4;
	if (call.blocked && registers_call_fails(call.number))
		candidate.reluctance += 2;
	if (!call.blocked)
		candidate.reluctance += 1;
	return candidate;
}

static int compare_candidates(const void *one, const void *other)
{
	const struct candidate *a = one, *b = other;

	if (a->reluctance != b->reluctance)
		return a->reluctance < b->reluctance ? -1 : 1;
	return a->tid < b->tid ? -1 : 1;
}

/* Threads that could be used, best first; up to `enough` of the best ones. *waits: one that could not, if there is any among those that were looked at. */
static struct candidate *rank_candidates(const struct process *process, size_t enough, size_t *count, pid_t *waits)
{
	struct tids tids = { 0 };
	struct candidate *candidates;
	size_t best = 0;

	(void)!process_tids(process, &tids);
	candidates = memory_zeroed(tids.count, sizeof(*candidates));
	*count = 0;
	for (size_t i = 0; i < tids.count && best < enough; i++) {
		struct candidate candidate = look_at(process, tids.item[i]);

		best += !candidate.reluctance;
		if (candidate.waits)
			*waits = candidate.tid;
		else
			candidates[(*count)++] = candidate;
	}
	qsort(candidates, *count, sizeof(*candidates), compare_candidates);
	array_free(&tids);
	return candidates;
}

static void let_go(struct remote *remote)
{
	thread_release(remote->process, &remote->thread);
	remote->borrowed += clock_now() - remote->since;
}

/* Stop one thread. STATUS_NOTHING: this one can't be used, and is released. */
static enum status try_candidate(struct remote *remote, pid_t tid, struct error *error)
{
	struct thread *thread = &remote->thread;
	enum status status = thread_seize(remote->process, tid, thread, error);
	struct task task;

	if (status == STATUS_GAVE_UP || thread->state == THREAD_ENDED)
		return STATUS_NOTHING;
	if (status != STATUS_OK)
		return status;
	remote->since = clock_now();
	thread_interrupt(thread);
	while (!thread_wait(remote->process, thread, STOP_MILLISECONDS)) {
		/* Only a stopped thread can be given up, and it may stop at any time: somebody has to be there. */
		if (patience_over(remote->patience))
			return error_add(error, STATUS_GAVE_UP, "process %d (%s): thread %d does not stop",
					 remote->process->pid, remote->process->comm, tid);
	}
	if (!usable(remote)) {
		let_go(remote);
		return STATUS_NOTHING;
	}
	if (process_task(remote->process, tid, &task) && task.seccomp && !suspend_seccomp(thread)) {
		let_go(remote);
		return error_add(error, STATUS_REFUSED,
				 "process %d (%s): thread %d has a seccomp filter, which may forbid what stent has to do, "
				 "and no permission to suspend it", remote->process->pid, remote->process->comm, tid);
	}
	return STATUS_OK;
}

static enum status stop_some_thread(struct remote *remote, struct error *error)
{
	const struct timespec nap = { 0, 5000000 };
	enum status status = STATUS_NOTHING;
	pid_t waits = 0;

	for (unsigned int round = 0; round < ROUNDS || !patience_over(remote->patience); round++) {
		size_t count;
		struct candidate *candidates = rank_candidates(remote->process, round ? SIZE_MAX : ENOUGH, &count, &waits);

		for (size_t i = 0; i < count && status == STATUS_NOTHING; i++)
			status = try_candidate(remote, candidates[i].tid, error);
		free(candidates);
		if (status != STATUS_NOTHING)
			return status;
		if (!process_alive(remote->process))
			return fail(error, "process %d (%s) has ended", remote->process->pid, remote->process->comm);
		nanosleep(&nap, NULL);
	}
	if (waits)
		error_add(error, STATUS_GAVE_UP, "process %d (%s): thread %d waits for a child that runs in the same memory "
			  "(vfork)", remote->process->pid, remote->process->comm, waits);
	return error_add(error, STATUS_GAVE_UP, "process %d (%s): no thread stopped where it could make a system call for "
			 "stent", remote->process->pid, remote->process->comm);
}

static enum status put_stub(struct remote *remote, struct error *error)
{
	uint8_t stub[REMOTE_STUB_MAX];
	struct registers own;
	int failed = registers_read(remote->thread.tid, &own);	/* as they are now: maybe rewound */

	if (failed)
		return fail(error, "process %d (%s): thread %d: %s", remote->process->pid, remote->process->comm,
			    remote->thread.tid, strerror(-failed));
	remote_stub_write(stub, &own);
	return process_put(remote->process, remote->stub, stub, remote_stub_size(), error);
}

enum status remote_begin(const struct process *process, const struct patience *patience, struct remote *remote,
			 struct error *error)
{
	enum status status;

	*remote = (struct remote){ .process = process, .patience = patience, .thread = { .state = THREAD_RELEASED } };
	window_open();
	status = place_stub(remote, error);
	if (status == STATUS_OK)
		status = stop_some_thread(remote, error);
	return status == STATUS_OK ? put_stub(remote, error) : status;
}

/*
 * A stopped thread that could make the calls, which nobody would miss anything of if stent were killed (reluctance()); or just one that
 * could. NULL: none.
 */
static struct thread *choose_stopped(struct remote *remote, struct threads *threads)
{
	struct thread *found = NULL;
	struct task task;

	for (size_t i = 0; i < threads->count; i++) {
		remote->thread = threads->item[i];
		if (!usable(remote) || !process_task(remote->process, remote->thread.tid, &task))
			continue;
		if (!task.seccomp && !registers_call_fails(registers_call(&remote->thread.registers)))
			return &threads->item[i];
		if (!found && (!task.seccomp || suspend_seccomp(&remote->thread)))
			found = &threads->item[i];
	}
	return found;
}

enum status remote_begin_stopped(const struct process *process, struct threads *threads, const struct maps *maps,
				 const struct mapped_images *images, const struct patience *patience, struct remote *remote,
				 struct error *error)
{
	*remote = (struct remote){ .process = process, .patience = patience };
	window_open();
	remote->held = choose_stopped(remote, threads);
	remote->thread = remote->held ? *remote->held : (struct thread){ .state = THREAD_RELEASED };
	if (!remote->held)
		return error_add(error, STATUS_GAVE_UP, "process %d (%s): no thread stands where it could make a system call for stent",
				 process->pid, process->comm);
	return place_stub_in(remote, maps, images) ? put_stub(remote, error) : no_room(remote, error);
}

static enum status thread_lost(const struct remote *remote, struct error *error)
{
	return fail(error, "process %d (%s): thread %d ended while it made a system call for stent",
		    remote->process->pid, remote->process->comm, remote->thread.tid);
}

/* Resume until the next stop at a system call, or for a signal. */
static enum status run_to_stop(struct remote *remote, struct error *error)
{
	struct thread *thread = &remote->thread;
	struct registers own = thread->registers;
	unsigned int left = patience_left(remote->patience);
	bool rewound = thread->rewound;

	left = left < CALL_LEAST ? CALL_LEAST : left > CALL_LONGEST ? CALL_LONGEST : left;
	do {
		thread_resume(thread, PTRACE_SYSCALL);
		if (!thread_wait(remote->process, thread, left))
			return fail(error, "process %d (%s): thread %d does not come back from a system call",
				    remote->process->pid, remote->process->comm, thread->tid);
		if (thread->state != THREAD_STOPPED)
			return thread_lost(remote, error);
		/* Other stops tell of SIGSTOP and SIGCONT to the process, and change nothing here. */
	} while (!thread->in_call_stop && !thread->signal);

	thread->registers = own;	/* the wait has read those of the stub */
	thread->rewound = rewound;
	return STATUS_OK;
}

/* A signal came before the call: deliver it as if we had not been there, and stop a thread anew. */
static enum status start_again(struct remote *remote, struct error *error)
{
	enum status status;

	if (registers_write(remote->thread.tid, &remote->thread.registers) < 0)
		return thread_lost(remote, error);
	remote->entered = false;
	remote->thread.rewound = false;
	/* The others stand still for as long as this one does, so it gets its signal when all are let go. */
	if (remote->held)
		return error_add(error, STATUS_GAVE_UP, "process %d (%s): thread %d is to handle a signal first", remote->process->pid,
				 remote->process->comm, remote->thread.tid);
	let_go(remote);
	status = stop_some_thread(remote, error);
	return status == STATUS_OK ? put_stub(remote, error) : status;
}

enum status remote_call(struct remote *remote, int64_t number, const uint64_t arguments[6], int64_t *result,
			struct error *error)
{
	struct thread *thread = &remote->thread;
	struct registers registers;
	enum status status;

	for (;;) {
		remote_stub_enter(&registers, &thread->registers, remote->stub, number, arguments);
		if (registers_write(thread->tid, &registers) < 0)
			return thread_lost(remote, error);
		remote->entered = true;
		status = run_to_stop(remote, error);		/* the entry */
		if (status != STATUS_OK)
			return status;
		if (thread->in_call_stop)
			break;
		status = start_again(remote, error);
		if (status != STATUS_OK)
			return status;
	}
	status = run_to_stop(remote, error);			/* the exit: no signal is delivered before it */
	if (status != STATUS_OK)
		return status;
	if (registers_read(thread->tid, &registers) < 0)
		return thread_lost(remote, error);
	*result = remote_stub_result(&registers);
	return STATUS_OK;
}

/* Step 6. The thread's own registers are those of its stop before step 3; which ones the program gets depends on
 * whether a signal has come since, see thread_release(). */
static void leave_stub(struct remote *remote)
{
	struct thread *thread = &remote->thread;
	struct registers own = thread->registers;
	bool rewound = thread->rewound;

	thread_interrupt(thread);
	do {
		if (thread->state != THREAD_ENDED)
			thread_resume(thread, PTRACE_CONT);
		/* Not bounded: the thread only has to return from a system call, and nothing else could be done. */
		while (!thread_wait(remote->process, thread, CALL_LONGEST))
			;
	} while (thread->state == THREAD_STOPPED && thread->in_call_stop);
	if (thread->state != THREAD_STOPPED)
		return;
	thread->registers = own;
	thread->rewound = false;
	if (rewound) {
		uint8_t code[REGISTERS_CALL_SIZE];
		struct registers again = own;
		struct task task;

		if (process_task(remote->process, thread->tid, &task) && !task.deliverable &&
		    (!thread->signal || task.without_effect & UINT64_C(1) << (thread->signal - 1)) &&
		    process_read(remote->process, registers_pc(&own) - sizeof(code), code, sizeof(code)) &&
		    registers_rewind(&again, code))
			thread->rewound = true;
		own = thread->rewound ? again : own;
	}
	if (registers_write(thread->tid, &own) == 0)
		remote->entered = false;
}

/* Truly, and not only because a request failed. */
static bool has_ended(const struct remote *remote)
{
	struct task task;

	return !process_task(remote->process, remote->thread.tid, &task) || task_ended(&task);
}

uint64_t remote_end(struct remote *remote)
{
	struct thread *thread = &remote->thread;

	if (thread->state == THREAD_STOPPED && remote->entered)
		leave_stub(remote);
	/* A thread that may still be in the stub needs it to get out: it stays, and the next switch sweeps it. */
	if (remote->stub && (!remote->entered || has_ended(remote)))
		/* Fails only together with the process. */
		(void)!process_write(remote->process, remote->stub, remote->before, remote_stub_size());
	if (remote->held)
		*remote->held = *thread;
	else if (thread->state == THREAD_STOPPED)
		let_go(remote);
	window_close();
	return remote->borrowed;
}

void remote_leftovers(const struct process *process, const struct maps *maps, const struct mapped_images *images,
		      struct remote_leftovers *leftovers)
{
	size_t size = (remote_stub_size() + 7) & ~(size_t)7;
	struct slack slack = { 0 };
	uint8_t bytes[REMOTE_STUB_MAX];

	slack_find(maps, images, &slack);
	for (size_t i = 0; i < slack.count; i++)
		for (uint64_t at = slack.item[i].end & ~7ul; at >= slack.item[i].start + size; at -= size)
			if (process_read(process, at - size, bytes, size) && remote_stub_recognise(bytes))
				*array_add(leftovers) = (struct range){ at - size, at };
	array_free(&slack);
}

void remote_sweep(const struct process *process, const struct remote_leftovers *leftovers)
{
	static const uint8_t zero[REMOTE_STUB_MAX];
	uint8_t bytes[REMOTE_STUB_MAX];

	for (size_t i = 0; i < leftovers->count; i++) {
		struct range range = leftovers->item[i];

		if (process_read(process, range.start, bytes, range.end - range.start) && remote_stub_recognise(bytes))
			(void)!process_write(process, range.start, zero, range.end - range.start);
	}
}
