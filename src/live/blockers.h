/* blockers.h: the threads that were in the way of the last try. */
#ifndef STENT_LIVE_BLOCKERS_H
#define STENT_LIVE_BLOCKERS_H

#include <stdbool.h>

#include "live/live.h"

/* Where one of them sleeps, to see without a stop whether it has moved. */
struct sleeper {
	pid_t tid;
	bool asleep;
	uint64_t switches, stack, pc;
};

struct blockers {
	struct live_blocker *item;
	size_t count, room;
	ARRAY(struct sleeper) sleepers;
};

void blockers_clear(struct blockers *blockers);
void blockers_add(struct blockers *blockers, const struct process *process, pid_t tid, const char *text);
bool blockers_hold(const struct blockers *blockers, pid_t tid) must_check;

/* Add this one. False: it is there, with the same reason. */
bool blockers_note(struct blockers *blockers, const struct live_blocker *blocker) must_check;
void blockers_free(struct blockers *blockers);

/* Add to the report: how often each thread was in the way of the same. */
void blockers_count(const struct blockers *blockers, struct live_report *report);

/* True when one of them has slept all the time since the last call: another try would be futile. The first call after
 * blockers_awaken() has nothing to compare with. */
bool blockers_asleep(struct blockers *blockers, const struct process *process) must_check;
void blockers_awaken(struct blockers *blockers);

#endif
