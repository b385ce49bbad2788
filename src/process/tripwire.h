/*
 * tripwire.h: has anybody executed an instruction since?
 *
 * Breakpoints of the processors (rings.h; PERF_TYPE_BREAKPOINT): nobody is slowed down before he comes there. What other processes execute at that address
 * counts as well. It takes one of the processor's breakpoints (x86 has four, which all who debug share).
 */
#ifndef STENT_PROCESS_TRIPWIRE_H
#define STENT_PROCESS_TRIPWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process/rings.h"

/* All zero: not set. */
struct tripwire {
	struct rings rings;	/* an event for each processor and place */
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

/* As rings_check(). */
bool tripwire_check(struct tripwire *wire) must_check;

/*
 * Nobody has come to a place since it was set, of those who have stopped for ptrace since (and what they did before is seen here), up to
 * wire->rings.whole. A load for each processor and place, no system call.
 */
bool tripwire_untouched(const struct tripwire *wire) must_check;

/* The same, up to now: for a stop, if tripwire_check() has been called some milliseconds before it at most; else it does that, if it is quick. */
bool tripwire_holds(struct tripwire *wire) must_check;

#endif
