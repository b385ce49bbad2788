/* headroom.h: a patch must not be what takes a process's group to its limit of memory (process/cgroup.h): the kernel would kill it for that. */
#ifndef STENT_LIVE_HEADROOM_H
#define STENT_LIVE_HEADROOM_H

#include "live/link.h"
#include "live/survey.h"

/*
 * Is there room for all that the patch brings, or for what a transition of a patch writes to? Pages that are the process's own count
 * for nothing; those that it shares with a file, or with who forked it, do, because a write makes a copy. STATUS_REFUSED names the group. The
 * program goes on allocating meanwhile, so some more has to be left.
 */
enum status headroom_check_install(const struct survey *survey, const struct link *link, struct error *error) must_check;
enum status headroom_check_transition(const struct survey *survey, const struct ledger *ledger, struct error *error) must_check;

#endif
