/*
 * rings.h: perf events of all processors, each with a ring of records (man 2 perf_event_open), and whether one of them is missing.
 *
 * They are of processors, not of threads: so no thread that comes to be meanwhile is missed, and none is stopped or traced. The kernel closes them with
 * stent. They take CAP_PERFMON, or a permissive /proc/sys/kernel/perf_event_paranoid.
 */
#ifndef STENT_PROCESS_RINGS_H
#define STENT_PROCESS_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/memory.h"

struct perf_event_attr;
struct perf_event_mmap_page;

/* All zero: none. */
struct rings {
	pid_t setter;		/* the process that has mapped the pages: one that is forked from it has none there */
	size_t pages;		/* of records, for each event */
	ARRAY(struct ring {
		int event;
		struct perf_event_mmap_page *page;	/* the first of those that the kernel writes to; behind it are the records */
	}) events;
	char *processors;	/* those that were online, as the kernel lists them, or NULL; */
	int list;		/* then the file that says so */
	bool all;		/* these are all that there can ever be; */
	int devices;		/* otherwise the file that counts what devices do, */
	uint64_t happened;	/* and what it said before; 0: not known */
	uint64_t whole;		/* when nothing of it was missing (CLOCK_BOOTTIME: what sleeps loses processors) */
};

/*
 * Open one event with each of these attributes for each processor. They need PERF_FORMAT_TOTAL_TIME_ENABLED and PERF_FORMAT_TOTAL_TIME_RUNNING.
 * False: one can't be had (errno as of perf_event_open(2)). rings_close() in any case, which leaves errno alone.
 * `pages`: of records, a power of two.
 */
bool rings_open(const struct perf_event_attr *attributes, size_t count, size_t pages, struct rings *rings) must_check;
void rings_close(struct rings *rings);

/* The same events once more, also in a process that was forked from the one that has opened them. False: not to be had, or one is missing. rings_close() in
 * any case. */
bool rings_join(const struct rings *other, struct rings *rings) must_check;

/*
 * Nothing has been missing since they were opened, and rings->whole says so. The kernel takes events away from a processor that goes offline, for
 * good; one that came online since has none (where there are such processors, whatever devices come and go meanwhile is taken for one). Interrupts each
 * processor for a moment: some microseconds each, and some milliseconds on machines with coarse clocks.
 */
bool rings_check(struct rings *rings) must_check;

/* The same as rings_check() for a stop: cheap if rings_check() has been called some milliseconds before at most; else it does that, if it is quick. */
bool rings_are_whole(struct rings *rings) must_check;

/* No event has happened in all that time, also where the records have gone since. Not for events that don't count. A system call for each. */
bool rings_have_counted_nothing(const struct rings *rings) must_check;

#endif
