/*
 * breakpoint.h: stop one thread at the very moment when it comes to an address, once it has left a frame.
 *
 * A perf event (man 2 perf_event_open, PERF_TYPE_BREAKPOINT) of the one thread: the processor compares addresses, so the
 * program's memory is not touched, and other threads run through the address freely. It vanishes with the
 * descriptor, that is with stent, and when the thread ends or executes another program. Children don't inherit it.
 *
 *	traps_ignore()			once per process, no thread being seized
 *	breakpoint_arm()		the thread is seized and stopped
 *	breakpoint_go_on()		the thread runs
 *	breakpoint_wait() ...
 *	breakpoint_disarm()		in any state of the thread
 *	traps_restore()			when nothing is armed any more, and no thread is seized
 */
#ifndef STENT_PROCESS_BREAKPOINT_H
#define STENT_PROCESS_BREAKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "process/remote.h"
#include "process/threads.h"

/*
 * The trap reaches stent as a SIGTRAP that is about to be delivered. If stent is killed before it has taken notice of that,
 * nobody stops the delivery: it must be a signal that does nothing. So SIGTRAP is ignored as long as anything may be armed. A
 * program with a handler of its own can't be watched.
 */
#define TRAPS_SCRATCH 64	/* bytes of writable memory of the target that the calls below use; aligned to 8 */

struct traps {
	bool changed;		/* SIGTRAP had its default action, */
	uint64_t original[4];	/* which was this (struct sigaction of the kernel) */
};

/*
 * Make the process ignore SIGTRAP. STATUS_OK also when it does already. STATUS_REFUSED: it has a handler, which stays.
 * Others as remote_call(). stent killed from here on: the process ignores SIGTRAP for good, and so do programs that it starts; only
 * one that sends itself a SIGTRAP (raise(); int3 ends it in any case) can tell. *traps is filled in any case.
 */
enum status traps_ignore(struct remote *remote, uint64_t scratch, struct traps *traps, struct error *error) must_check;

/*
 * The default action again, if traps_ignore() has changed it (or a stent that was killed) and the program hasn't since. Traps that came while a
 * thread had SIGTRAP blocked are dropped first. Also after traps_ignore() has failed.
 */
enum status traps_restore(struct remote *remote, uint64_t scratch, const struct traps *traps, struct error *error) must_check;

enum breakpoint_result {
	BREAKPOINT_ARMED,
	/* Not armed. The thread has to be looked at from time to time instead. */
	BREAKPOINT_NONE_FREE,		/* all registers of the processor are in use for this thread (ENOSPC, EBUSY) */
	BREAKPOINT_BLOCKED,		/* the thread has SIGTRAP blocked: the trap would come late */
	BREAKPOINT_NOT_IGNORED,		/* SIGTRAP is not ignored: traps_ignore() was not called, or the program has changed it */
	BREAKPOINT_NOT_PERMITTED,	/* perf_event_paranoid, a seccomp filter or a security module forbids it */
	BREAKPOINT_UNSUPPORTED,		/* by this kernel or processor. Needs Linux 5.18. */
	BREAKPOINT_NO_DESCRIPTOR,	/* stent has too many files open */
	BREAKPOINT_ENDED,		/* the thread has ended */
};

/* What the result means, for messages ("no hardware breakpoint is free"). Static. */
const char *breakpoint_reason(enum breakpoint_result result);

struct breakpoint {
	int event;		/* perf event, -1: not armed */
	uint64_t address;	/* a return address of the thread's stack, */
	uint64_t cfa;		/* and the stack pointer as it will be right behind that return */
	uint64_t passed;	/* how often the thread came to the address in another frame, */
	uint64_t signals;	/* and was stopped for a signal of its own, be it an ignored one, which wakes it up because it is traced */
};

/*
 * Arm it. The thread must be stopped, in the stop in which its stack was examined. *breakpoint is filled in any case;
 * one that is armed must be disarmed.
 */
enum breakpoint_result breakpoint_arm(const struct process *process, const struct thread *thread, uint64_t address, uint64_t cfa,
				      struct breakpoint *breakpoint) must_check;

enum breakpoint_event {
	BREAKPOINT_LEFT,	/* the thread is stopped at the address, has executed nothing there, and has the wanted CFA */
	BREAKPOINT_RUNNING,	/* it has not come there in time; it runs, still seized, or is stopped with its process */
	BREAKPOINT_GONE,	/* it has ended (or another thread has executed a program) */
};

/*
 * Let a stopped thread run on: behind a look at it, or from its exit when the caller has done there what it wanted. (It is not awaited
 * here: one that comes out at once is stopped, and only breakpoint_wait() says so, to whoever does something about it.)
 */
void breakpoint_go_on(const struct process *process, struct thread *thread);

/*
 * Let the thread, which runs, run on, `milliseconds` at most, until it leaves the frame; it is stopped then, until breakpoint_go_on(), and
 * another call only says so again. Passes by the address in
 * other frames (recursion, signal handlers) are counted and go on; signals are delivered as they come; if the process is
 * stopped by a signal the thread is, too. A frame that is left in another way (longjmp, an exception) is not noticed, and a trap
 * while SIGTRAP is blocked is lost: so have a look at the stack now and then. 0 ms: only see what has happened, so that
 * several threads can be awaited. Every signal to the thread stops it until the next call: don't let much time pass between two. Each
 * pass costs it two switches to stent and back: a caller may give up on one that passes too often.
 */
enum breakpoint_event breakpoint_wait(struct breakpoint *breakpoint, const struct process *process, struct thread *thread,
				      unsigned int milliseconds) must_check;

/*
 * For a stop that something else than breakpoint_wait() has found: if the signal that the thread was stopped by is a trap of a
 * breakpoint of ours, it is taken away from it.
 */
void breakpoint_take_trap(struct thread *thread);

/* May be called twice. A trap that is on its way then does nothing, because SIGTRAP is ignored. */
void breakpoint_disarm(struct breakpoint *breakpoint);

#endif
