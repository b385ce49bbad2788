/* relatives.h: all processes, and which came from which. */
#ifndef STENT_PROCESS_RELATIVES_H
#define STENT_PROCESS_RELATIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/memory.h"
#include "process/process.h"

struct relative {
	pid_t pid, parent;	/* parent 0: none that can be seen from here */
	uint64_t began;		/* clock ticks since the machine started: with the pid, this names one process for good */
	uint64_t stack_start;	/* changes when it executes another program; 0: not known */
};

struct relatives {
	struct relative *item;	/* sorted by pid */
	size_t count, room;
};

/*
 * List all processes, zombies too: their other threads may live. Every one that was there before the call and still is behind it is listed; of those
 * that come meanwhile some are. Empty: /proc can't be read. Free with array_free(); a list that is there is replaced.
 */
void relatives_list(struct relatives *relatives);

/* Has it a child now, as far as can be told? A kernel without CONFIG_PROC_CHILDREN can't tell: true. */
bool relatives_has_child(const struct process *process) must_check;

/* The process with that number now is the one that began then. */
bool relatives_same(pid_t pid, uint64_t began) must_check;

/* The process of that number, or NULL. */
const struct relative *relatives_find(const struct relatives *relatives, pid_t pid) must_check;

/* Was it made by that process, or by one that was, and so on, as far as all in between still live? Of itself: false. */
bool relatives_descends(const struct relatives *relatives, const struct relative *relative, pid_t ancestor) must_check;

#endif
