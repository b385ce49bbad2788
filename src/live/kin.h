/*
 * kin.h: what processes that were forked from one another, and still run what that ran, have in common: where all code is, and shared memory.
 *
 * That nobody makes a context (contexts.h) is watched for all of them by one tripwire, and their shared memory is read once: a database has each
 * page of its cache in each of its processes.
 */
#ifndef STENT_LIVE_KIN_H
#define STENT_LIVE_KIN_H

#include "live/live.h"
#include "live/sweep.h"
#include "process/tripwire.h"

/* One family at a time. None so far: no makers. */
struct live_kin {
	bool meets;		/* live_kin_new(); no more once one of them has made a context */
	ARRAY(struct context_maker) makers;
	struct tripwire wire;	/* set before anything was read */
	struct swept swept;
};

/*
 * For the family that the process is of: set the tripwire, and sweep the memory that they share, as far as the patience lasts. Nothing, if the process may
 * have contexts that are made in other ways, or the tripwire can't be set.
 */
void kin_meet(struct live_kin *kin, const struct survey *survey, const struct patience *patience);

/* Who meets kin on the way forgets them when the process is none of them: others may need the breakpoint. `kin` may be NULL. */
void kin_part(struct live_kin *kin, const struct survey *survey);

/*
 * If the process is one of them, join the tripwire, and return what was swept, which is enough for whoever has joined. It is kin's. Else NULL, as for kin
 * NULL; but before that who meets kin on the way does so if the process shares much memory with others. tripwire_remove(wire) in any case.
 */
const struct swept *kin_join(struct live_kin *kin, const struct survey *survey, const struct patience *patience, struct tripwire *wire) must_check;

#endif
