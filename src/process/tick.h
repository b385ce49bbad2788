/*
 * tick.h: system calls that block, bounded in time.
 *
 * A wait for one thread that blocks (waitpid(2)) has no timeout, and one that asks and sleeps until SIGCHLD is woken up by every
 * other thread that stops meanwhile: 1000 threads cost 1000 needless wake-ups, all of which the target has to stand still
 * for. So a timer interrupts the call now and then, and the caller looks at the clock. Some calls the kernel enters again behind every
 * signal: these are left by a jump.
 */
#ifndef STENT_PROCESS_TICK_H
#define STENT_PROCESS_TICK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * From here on a system call of this thread that blocks fails with EINTR some milliseconds later, again and again. Nests. Without effect
 * where the kernel has no timer left, which can only be the first time in a process: then tick_is_on() says so, and nothing may block.
 */
void tick_start(void);
void tick_stop(void);
bool tick_is_on(void);

/*
 * *result = call(tid), given up where it lasts for more than a tick or two (between tick_start() and tick_stop(); else never). False: given up,
 * and whether it has had its effect is not known. errno is the call's. The call is left in its middle: it must be one system call, no more.
 */
bool tick_bounded(long (*call)(pid_t tid), pid_t tid, long *result) must_check;

#endif
