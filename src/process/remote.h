/*
 * remote.h: have a thread of the process make system calls for us.
 *
 * One thread is stopped, makes the calls, and goes on as if nothing had been; the others run meanwhile.
 */
#ifndef STENT_PROCESS_REMOTE_H
#define STENT_PROCESS_REMOTE_H

#include <stdint.h>

#include "arch/registers.h"
#include "base/error.h"
#include "process/image.h"
#include "process/maps.h"
#include "process/process.h"
#include "process/threads.h"

struct remote {
	const struct process *process;
	const struct patience *patience;
	struct thread thread;
	bool entered;		/* the thread's registers are those of the stub */
	struct thread *held;	/* the caller's, if it is one that is to stay stopped; `thread` is a copy */
	uint64_t since;		/* clock_now() before the thread was asked to stop */
	uint64_t borrowed;	/* ns that threads were stopped which have been let go since */
	uint64_t stub;		/* where the stub is, 0: nowhere */
	uint8_t before[REMOTE_STUB_MAX];	/* what stood there */
};

/*
 * Stop a thread that can be used and put the stub behind the code of an image that is mapped now. STATUS_REFUSED: no room for the
 * stub, traced, or every thread is under a seccomp filter that can't be suspended. STATUS_GAVE_UP: no thread stopped within `patience`
 * at a place where it can be used. STATUS_ERROR: the process is gone, or not permitted. remote_end() follows in any case; process and
 * patience are the caller's, and are used until then.
 */
enum status remote_begin(const struct process *process, const struct patience *patience, struct remote *remote,
			 struct error *error) must_check;

/*
 * The same while all threads are stopped: one of them makes the calls, the others stay as they are, and that one is stopped again behind
 * remote_end(). `threads` is used until then, too; `maps` and `images`, which are those of this stop, are not. Nothing is waited for here:
 * `patience` bounds the calls. STATUS_REFUSED: no room for the stub. STATUS_GAVE_UP: no thread can be used as it stands. STATUS_ERROR as above.
 */
enum status remote_begin_stopped(const struct process *process, struct threads *threads, const struct maps *maps,
				 const struct mapped_images *images, const struct patience *patience, struct remote *remote,
				 struct error *error) must_check;

/*
 * One system call. STATUS_OK: it was made, and *result is what it returned (-errno for a failure). STATUS_ERROR: the thread has ended, or does
 * not come back within the patience (at least CALL_LEAST, at most CALL_LONGEST, remote.c). A signal that the thread has to handle first: behind
 * remote_begin() another stop is tried, with its statuses; behind remote_begin_stopped() it is STATUS_GAVE_UP, and the call was not made.
 */
enum status remote_call(struct remote *remote, int64_t number, const uint64_t arguments[6], int64_t *result,
			struct error *error) must_check;

/*
 * Put the memory of the stub back, and let the thread go on, or leave it stopped as it was. Returns for how many nanoseconds, at the most, a
 * thread was stopped since remote_begin(); if there were several, one after the other, for all. Behind remote_begin_stopped() it is 0.
 */
uint64_t remote_end(struct remote *remote);

/*
 * Stubs that a killed patcher left in the process: addresses, for the caller to remove with remote_sweep() when it
 * knows that no thread is in one and none has its address on the stack. Add ranges to the array. What has come to lie there
 * since is left alone.
 */
struct remote_leftovers {
	struct range *item;
	size_t count, room;
};
void remote_leftovers(const struct process *process, const struct maps *maps, const struct mapped_images *images,
		      struct remote_leftovers *leftovers);
void remote_sweep(const struct process *process, const struct remote_leftovers *leftovers);

#endif
