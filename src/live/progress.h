/* progress.h: how far a transition has come: which version each thread runs. */
#ifndef STENT_LIVE_PROGRESS_H
#define STENT_LIVE_PROGRESS_H

#include "live/ledger.h"
#include "live/live.h"
#include "live/survey.h"
#include "live/versions.h"

struct thread_progress {
	pid_t tid;
	char comm[COMM_MAX];
	enum version version;
	char why[256];		/* it has not arrived: why; "" when it has, or could at once */
};

struct progress {
	struct thread_progress *item;
	size_t count, room;
};

/* A transition of this ledger is on. */
bool progress_is_on(const struct ledger *ledger);

/*
 * Stop all threads, look, and let them go; or, where another stent has them, what that says. STATUS_REFUSED: somebody else
 * traces them. Free with array_free() in any case.
 */
enum status progress_look(struct survey *survey, struct ledger *ledger, struct progress *progress, struct error *error) must_check;

#endif
