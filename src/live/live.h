/*
 * live.h: patch a running process, and undo that. What the commands, and programs that embed libstent, call.
 */
#ifndef STENT_LIVE_LIVE_H
#define STENT_LIVE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/memory.h"
#include "patch/bundle.h"
#include "process/process.h"

/* The memory of a patch in a process; and, under the same name, in every process that was forked from that since. */
struct live_region {
	uint64_t ledger;	/* address of its ledger; 0: none */
	uint64_t nonce;		/* of the ledger */
};

struct live_kin;

struct live_options {
	bool together;			/* all threads move at one instant, or none does */
	bool replace;			/* apply: take out all other patches of the image in the same transition */
	bool no_wait;			/* end when the transition has begun, whoever has arrived */
	bool force;			/* when the time is over, as if all threads were outside */
	void (*waiting)(const struct process *process, pid_t tid, const char *text);	/* told what is waited for. NULL: nobody */
	unsigned int waiting_after;	/* milliseconds of waiting before it is told */
	/* Told when threads of both versions begin to run side by side: whoever is forked from now on is between the versions, too.
	 * No thread is stopped meanwhile. May be called again. NULL: nobody is told. */
	void (*between)(const struct process *process, struct live_region region);
	unsigned int timeout;		/* milliseconds to wait for all threads to be out of the code that is left */
	uint64_t search;		/* bytes of memory that may be searched for suspended contexts (coroutines) */
	uint64_t reclaim;		/* bytes of memory that may be searched before the memory of a patch is unmapped; 0: it stays */
	bool (*cancelled)(void);	/* asked now and then; true: give up at once. NULL: never */
	struct live_kin *kin;		/* what is known from other processes, and for others; or NULL */
};

/* A thread that was in the way. */
struct live_blocker {
	pid_t tid;
	char comm[COMM_MAX];
	char text[256];			/* "in FUNCTION", or why its stack can't be trusted */
	unsigned int times;		/* tries that it made fail */
};

struct live_report {
	char *image;			/* that was patched, or all of them; owned */
	char *name;			/* of the patch; owned */
	size_t redirected, added;	/* functions */
	int state;			/* enum ledger_state that the patch was left in; 0: not known */
	struct live_region region;
	size_t threads;			/* at the last try */
	unsigned int tries;		/* how often all threads were stopped for the transition */
	uint64_t paused;		/* ns, over all tries */
	uint64_t longest;		/* ns, the longest */
	/* Of that: ns, over all tries, in which memory was searched for suspended contexts; bytes, at the last one; and what makes it
	 * necessary (owned, printable; NULL: nothing was searched). */
	uint64_t searching, searched;
	char *searched_for;
	uint64_t borrowed;		/* ns, at the most, for which one thread at a time was stopped to make system calls */
	size_t walked;			/* stacks at the last try for which the scan alone did not suffice */
	ARRAY(char *) skipped;		/* apply: a line for each image of the patch that was passed by, and why; owned */
	bool reused;			/* memory that an earlier revert had kept */
	uint64_t unmapped;		/* bytes of memory of patches that are reverted */
	uint64_t reclaiming;		/* ns that threads were stopped for that, behind all else */
	ARRAY(char *) kept;		/* a line for each reverted patch whose memory stays, and why; owned */
	struct {
		struct live_blocker *item;
		size_t count, room;
	} blockers;			/* over all tries */
};

/* Free what it owns. */
void live_report_free(struct live_report *report);

/*
 * Put the patch into the process: into all images that it is for and that the process maps, in one transition. STATUS_OK: every
 * call goes to the new code. STATUS_NOTHING: it is there already.
 * STATUS_REFUSED, STATUS_GAVE_UP (a line for each thread that was in the way), STATUS_ERROR: the process is as it was; if it
 * could not be brought back to that, a line says so.
 */
enum status live_apply(const struct process *process, const struct bundle *bundle, const struct live_options *options,
		       struct live_report *report, struct error *error) must_check;

/* Take out the patch of that name. STATUS_REFUSED: there is none of that name. STATUS_NOTHING: it is reverted already. Others
 * as live_apply(). */
enum status live_revert(const struct process *process, const char *name, const struct live_options *options,
			struct live_report *report, struct error *error) must_check;

/* What a process has of a region, as one that was forked from its owner. */
enum live_copy {
	LIVE_COPY_NONE,		/* nothing: it is no such process, has executed another program, or is gone */
	LIVE_COPY_PREPARED,	/* nothing leads there: forked before the transition began */
	LIVE_COPY_INSTALLING,
	LIVE_COPY_REVERTING,
	LIVE_COPY_ACTIVE,
	LIVE_COPY_REVERTED,
};

/* *unfinished: something is left to do whatever the version: PREPARED, between the versions, or SIGTRAP is still ignored for stent. */
enum live_copy live_look_at_copy(pid_t pid, struct live_region region, bool *unfinished) must_check;

/*
 * Bring to an end what a process has inherited with a region: all threads go to the new or to the old version; a region that nothing leads to is
 * unmapped. Needs no patch. STATUS_OK: so it is; report->state says what. STATUS_NOTHING: it was so. STATUS_REFUSED: it has no such
 * region, or was reverted and is to be new. Others as live_apply().
 */
enum status live_finish_copy(const struct process *process, struct live_region region, bool new, const struct live_options *options,
			     struct live_report *report, struct error *error) must_check;

/*
 * What those who were forked from one another have in common, as far as it need be looked at only once. `meets`: for who works on many processes, one after
 * the other, and finds out who they are on the way; else live_read_ahead() does that once, for whoever is worked on then, also in children that are forked.
 */
struct live_kin *live_kin_new(bool meets) must_check;
void live_kin_free(struct live_kin *kin);	/* may be NULL */

/*
 * Before a process is worked on, and those that were forked from it: have the unwind data of all its images in the cache, and in options->kin what they
 * have in common.
 */
void live_read_ahead(pid_t pid, const struct live_options *options);

/* Does a command concern a process? */
enum live_concern {
	LIVE_UNCONCERNED,	/* it has not the image, or not the patch; or is gone, or can't be looked at */
	LIVE_SETTLED,		/* it is as it should be */
	LIVE_OPEN,
};

/* Of apply, with the patch; or of revert, with NULL and the name. */
enum live_concern live_look(pid_t pid, const struct bundle *bundle, const char *name) must_check;

#endif
