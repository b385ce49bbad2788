/*
 * held.h: addresses that the kernel holds for a process, and that no search of its memory finds.
 *
 * Asked for, with all threads stopped: handlers of signals; what timers, epoll descriptors and pending signals carry. Where a process has made
 * requests that can't be asked for (io_uring, io_submit(2)), nothing is known. Not looked at is what it has written into pipes,
 * sockets and files, where a thread has its signal stack, and what mq_notify(3) carries.
 */
#ifndef STENT_LIVE_HELD_H
#define STENT_LIVE_HELD_H

#include "live/references.h"
#include "process/remote.h"

#define HELD_SCRATCH 32u	/* bytes of the process's memory that it may write to, for its system calls */

/* Note which owners' memory the kernel may hold addresses of. Others than STATUS_OK: as remote_call(). */
enum status held_search(struct references *references, const struct threads *threads, struct remote *remote, uint64_t scratch,
			struct error *error) must_check;

/* Before a stop, while the process runs: why that search would end without a proof, or NULL. free() it. */
char *held_foresee(const struct process *process, const struct maps *maps) must_check;

#endif
