/*
 * workers.h: threads of stent's own, for a piece of work that has to be done quickly while a process stands still.
 *
 * They are made beforehand, sleep until there is work, and take no signal: these go to the thread that made them.
 * A child that fork() makes meanwhile has none of them, and must leave them alone.
 */
#ifndef STENT_BASE_WORKERS_H
#define STENT_BASE_WORKERS_H

#include "base/error.h"

#define WORKERS_MAX 8u	/* more of them wait for memory, not for a processor */

struct workers;

/*
 * One for each processor that stent may run on, WORKERS_MAX at most, at the lowest real-time priority, where it may have that. The caller is one of
 * them, and may be the only one, where there are no threads to be had. Never NULL; workers_stop() follows.
 */
struct workers *workers_start(void) must_check;
void workers_stop(struct workers *workers);	/* may be NULL */

unsigned int workers_count(const struct workers *workers);

/*
 * Call work(context, worker) in each of them at the same time, the caller included, which is worker 0: each with its own number below workers_count(),
 * once. It shares out what there is to do itself, and returns when nothing is left; who is late is not called any more then. Returns when no call is
 * on, and all that was done in them is seen by the caller.
 */
void workers_run(struct workers *workers, void (*work)(void *context, unsigned int worker), void *context);

#endif
