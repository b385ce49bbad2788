/*
 * transiting.h: what the files of the transition share: transition.c (the whole), settle.c (in a stop of all threads), watch.c (one
 * thread after the other), watched.c (which these are), trapping.c (their breakpoints' signal).
 */
#ifndef STENT_LIVE_TRANSITING_H
#define STENT_LIVE_TRANSITING_H

#include "live/blockers.h"
#include "live/contexts.h"
#include "live/digest.h"
#include "live/notes.h"
#include "live/stacks.h"
#include "live/transition.h"
#include "process/breakpoint.h"
#include "process/remote.h"

/* A thread that has not arrived. */
struct watched {
	struct thread thread;		/* THREAD_RELEASED between two looks, unless its breakpoint is armed */
	struct breakpoint point;	/* event -1: none */
	uint64_t pointer;		/* its thread pointer, */
	bool pointer_known;		/* if this is true */
	bool looked_at;			/* thread.registers and `switches` are of a look, at which its stack was in the way */
	bool shared;			/* others have its thread pointer: it moves in a stop of all only */
	bool disturbed;			/* a breakpoint stopped it too often on the way: it is only looked at */
	uint64_t next;			/* clock_now() of the next look */
	unsigned int wait;		/* ms to the look after that */
	uint64_t switches;		/* how often it had been taken off a processor when it was stopped for the last one */
	bool told;			/* whoever wants to know what is waited for has been told of `text` */
	char text[256];			/* why it could not move */
};

struct transition {
	struct survey *survey;
	struct ledger *ledger;
	enum version to;
	const struct live_options *options;
	struct live_report *report;
	struct patience *patience;	/* to go where it goes now; longer by what is prepared without waiting for anybody */
	struct stack_check leaving;	/* versions that are left; dispatchers and displaced copies, which belong to both */
	struct stack_check entries;	/* where nobody may go on when entries are redirected; and dispatchers, as above */
	struct threads threads;		/* in a stop of all */
	struct blockers blockers;	/* of the last try, */
	struct blockers told;		/* and who has been told of */
	struct contexts *contexts;	/* to look for suspended ones; NULL unless survey->switches, then made before the first stop with this survey */
	struct remote_leftovers leftovers;	/* stubs of killed patchers, to be removed when all stands still */
	const char *together;		/* why threads can only move all at once, whatever they do, or NULL */
	bool was_active;		/* the patch was in force, or on its way out, when this stent came */
	uint64_t files;			/* digest_code_files() of the survey: rows and entries are known of what is mapped like that */
	bool stale;			/* a stop of all has found other files than these */
	bool prepared;			/* contexts have been looked for in the process as it was at first */
	bool begun;			/* a stop of all has set up everything in this direction */
	ARRAY(struct watched) watched;
	size_t turn;			/* of the threads without a breakpoint to be looked at */
	ARRAY(pid_t) arrived;		/* threads that are known to be there */
	struct notes notes;		/* as they stand in the process */
	bool traps_tried;
	struct traps traps;
};

/* Threads move one by one: what each runs, its own entry says. */
static inline bool transition_is_on(const struct transition *transition)
{
	return ledger_half_done(transition->ledger);
}

/* It is waited for so long that the user is told what for. */
static inline bool transition_tells(const struct transition *transition)
{
	const struct live_options *options = transition->options;

	return options->waiting && clock_now() - transition->patience->began >= options->waiting_after * UINT64_C(1000000);
}

/* Which version is left. */
static inline enum version transition_from(const struct transition *transition)
{
	return transition->to == VERSION_NEW ? VERSION_OLD : VERSION_NEW;
}

/* The images are those that the survey knows. As long as a thread is stopped, what is said of its stack holds. */
static inline bool transition_knows(const struct transition *transition, const struct maps *maps)
{
	return digest_code_files(maps) == transition->files;
}

/* transition.c: does nobody run in the same memory who isn't stopped together with the process? If not, a blocker says so. `ask`:
 * sharing_look, or in a stop sharing_process. */
bool transition_is_alone(struct transition *transition, pid_t (*ask)(const struct process *process)) must_check;

/* transition.c: threads can only move all at once, as far as is known just now. */
bool transition_moves_together(const struct transition *transition) must_check;

/* transition.c: what is left when all go where transition->to says: set both checks, again after a change of direction. */
void transition_prepare(struct transition *transition);

/*
 * settle.c: with all threads stopped, do what can be done. STATUS_OK: all have arrived, and the ledger says so. STATUS_NOTHING: not now;
 * blockers say why. If the transition is on then, `watched` has those that have not arrived. `force`: as if all were free.
 */
enum status settle_all(struct transition *transition, bool force, struct error *error) must_check;

/* settle.c: ready() of struct threads: all that the stop only reads is read once before. `context`: the transition. */
void settle_rehearse(void *context, const struct threads *threads);

/*
 * watch.c: move the threads in `watched`, and those that appear meanwhile, each when it is outside. STATUS_OK: as far as can be
 * seen all have arrived. STATUS_NOTHING: not all, when the patience was over, a stop of all is needed, or the process has loaded or
 * unloaded a library, of which the survey knows nothing.
 */
enum status watch_threads(struct transition *transition, const struct patience *patience, struct error *error) must_check;

/* watched.c: the thread is known to be there; it is in the list, or NULL; it has arrived, and leaves the list. */
bool watched_arrived(const struct transition *transition, pid_t tid) must_check;
struct watched *watched_find(struct transition *transition, pid_t tid) must_check;
void watched_drop(struct transition *transition, struct watched *watched);

/* watched.c: put threads that nobody has seen yet into the list. True: there were some, or nobody can tell. */
bool watched_list_new(struct transition *transition);

/*
 * trapping.c: have SIGTRAP ignored before the first breakpoint is armed, by two system calls of a thread. Where that fails threads are only
 * looked at.
 */
void trapping_begin(struct transition *transition, const struct patience *patience);

/* trapping.c: undo what trapping_begin() has changed in the process, or that of a killed stent. */
void trapping_end(struct transition *transition);

#endif
