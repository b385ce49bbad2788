/*
 * traces.h: the stacks of all threads of a process, at one moment.
 *
 * The process is stopped for that as for a patch, and left as it was: reading registers and memory changes nothing.
 */
#ifndef STENT_LIVE_TRACES_H
#define STENT_LIVE_TRACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/memory.h"
#include "live/survey.h"
#include "process/process.h"
#include "unwind/walk.h"

struct thread_trace {
	pid_t tid;
	char comm[COMM_MAX];
	bool proven;
	char why[256];		/* not proven: why */
	ARRAY(struct unwind_frame) frames;	/* innermost first; modules are the survey's */
};

struct traces {
	struct survey survey;
	struct {
		struct thread_trace *item;
		size_t count, room;
	} threads;
	size_t proven;
	uint64_t paused;	/* ns that threads were stopped */
};

/*
 * Walk all threads. STATUS_REFUSED: another process traces it. STATUS_ERROR: not permitted, or gone. A thread that would not
 * stop is one that is not proven. Free with traces_free() in any case.
 */
enum status traces_take(const struct process *process, struct traces *traces, struct error *error) must_check;
void traces_free(struct traces *traces);

/* Where a frame is, for a person. */
struct place {
	const char *image;	/* name of the module, or NULL: not the code of an image */
	uint64_t offset;	/* link-time address of pc in it */
	char *function;		/* owned, or NULL */
	uint64_t function_offset;
};

/* Names of functions, read as they are asked for. Zeroed before the first use. */
struct places {
	struct {
		struct place_image *item;
		size_t count, room;
	} images;
};

/* The place of a frame's pc. *place is the caller's: free place->function. */
void places_find(struct places *places, const struct survey *survey, const struct unwind_frame *frame, struct place *place);
void places_free(struct places *places);

#endif
