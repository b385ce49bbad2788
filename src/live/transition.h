/*
 * transition.h: when a process moves from one version to the other. Now: all threads at once, when none of them is in
 * the code that is being left. No other file knows this.
 */
#ifndef STENT_LIVE_TRANSITION_H
#define STENT_LIVE_TRANSITION_H

#include "live/ledger.h"
#include "live/live.h"
#include "live/survey.h"
#include "process/threads.h"

enum direction { TO_NEW, TO_OLD };

/*
 * Make the switch. `survey` must have its unwind tables; it is renewed when the process maps other code meanwhile.
 * STATUS_GAVE_UP: the patience was over; nothing was switched, and the lines name the threads that were in the
 * way. STATUS_REFUSED, STATUS_ERROR: nothing was switched, or a line says so.
 */
enum status transition_run(struct survey *survey, struct ledger *ledger, enum direction direction,
			   const struct patience *patience, struct live_report *report,
			   struct error *error) must_check;

#endif
