/*
 * transition.h: when which thread of a process moves from one version to the other.
 *
 * Each thread moves on its own, while it is stopped and outside of everything that is being left (docs/model.md). No other
 * file knows this.
 */
#ifndef STENT_LIVE_TRANSITION_H
#define STENT_LIVE_TRANSITION_H

#include "live/ledger.h"
#include "live/live.h"
#include "live/survey.h"
#include "live/versions.h"
#include "process/threads.h"

/*
 * Take all threads to `to`. `survey` must have its unwind data; it is renewed when the process maps other code meanwhile.
 * STATUS_OK: all are there; or, with options->no_wait, it has begun, and ledger->state says so.
 * STATUS_GAVE_UP: the patience was over, and all that had moved have moved back; the lines name the threads that were in the
 * way. If not even that was possible in the same time again (2 s when it was cancelled), a line says so, and ledger->state that the transition is
 * still on. STATUS_REFUSED, STATUS_ERROR: as after STATUS_GAVE_UP.
 */
enum status transition_run(struct survey *survey, struct ledger *ledger, enum version to, const struct live_options *options,
			   const struct patience *patience, struct live_report *report, struct error *error) must_check;

/* The same for a patch that the process holds: transition_run() with a copy of this ledger, which belongs to the survey; unwind
 * data is read first. report->state is the state that it was left in. */
enum status transition_of(struct survey *survey, const struct ledger *found, enum version to, const struct live_options *options,
			  const struct patience *patience, struct live_report *report, struct error *error) must_check;

/* Put SIGTRAP back, if a transition that has come to its end left it ignored: stent was killed, or the process was forked meanwhile. */
void transition_tidy(struct survey *survey, const struct ledger *found);

/* Fill in what a ledger tells: name, functions, region; and the image's name, which is made printable. Once per report. */
void live_report_describe(struct live_report *report, const struct ledger *ledger);

#endif
