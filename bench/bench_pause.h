/* bench_pause.h: memory that bench_pause and its target share. */
#ifndef BENCH_PAUSE_H
#define BENCH_PAUSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct bench_pause {
	atomic_int ready;		/* threads that have started */
	atomic_bool spin;		/* busy threads read the clock, else they sleep */
	_Atomic uint64_t last, gap;	/* ns: when the clock was read last; longest time without; set to 0 to start anew */
	atomic_bool asked;		/* set to have the target call version() (one that waits is sent a byte, too); then false */
	atomic_int version;		/* what that returned */
};

#endif
