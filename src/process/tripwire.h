/*
 * tripwire.h: has anybody executed an instruction since?
 *
 * Perf events of the processors (man 2 perf_event_open, PERF_TYPE_BREAKPOINT), not of threads: so no thread that comes to be meanwhile is
 * missed, and none is stopped, traced or slowed down before it comes there. What other processes execute at that address counts as well.
 * They vanish with stent. It takes CAP_PERFMON, and one of the processor's breakpoints (x86 has four, which all who debug share).
 */
#ifndef STENT_PROCESS_TRIPWIRE_H
#define STENT_PROCESS_TRIPWIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/memory.h"

struct perf_event_mmap_page;

/* All zero: not set. */
struct tripwire {
	pid_t setter;		/* the process that has mapped the pages: one that is forked from it has none there */
	ARRAY(struct tripwire_event {
		int event;
		struct perf_event_mmap_page *page;	/* the first of the two that the kernel writes to */
	}) events;		/* one for each processor and place */
	char *processors;	/* those that were online, as the kernel lists them, or NULL; */
	int list;		/* then the file that says so */
	uint64_t whole;		/* clock_now() when nothing of it was missing */
};

/*
 * Set it. False: it can't be (no permission, hardware that has no breakpoints; errno ENOSPC: none is free); then nothing is set. tripwire_remove() in any
 * case, which leaves errno alone.
 * `places`: addresses of instructions, in whatever process.
 */
bool tripwire_set(const uint64_t *places, size_t count, struct tripwire *wire) must_check;
void tripwire_remove(struct tripwire *wire);

/*
 * The same one once more, also in a process that was forked from the one that has set it: with the same events, so it takes no breakpoint. It stays when the
 * other one is removed. False: somebody has come to a place since the first one was set, or it can't be had. tripwire_remove() in any case.
 */
bool tripwire_join(const struct tripwire *other, struct tripwire *wire) must_check;

/*
 * Nothing of it has been missing since it was set, and wire->whole says so. The kernel takes events away from a processor that goes offline, for
 * good; one that came online since has none. Interrupts each processor for a moment: some microseconds each, and some milliseconds on machines with
 * coarse clocks.
 */
bool tripwire_check(struct tripwire *wire) must_check;

/*
 * Nobody has come to a place since it was set, of those who have stopped for ptrace since (and what they did before is seen here), up to
 * wire->whole. A load for each processor and place, no system call.
 */
bool tripwire_untouched(const struct tripwire *wire) must_check;

/* The same, up to now: for a stop, if tripwire_check() has been called some milliseconds before it at most; else it does that, if it is quick. */
bool tripwire_holds(struct tripwire *wire) must_check;

#endif
