/* leavings.h: what killed stents and unloaded libraries have left. */
#ifndef STENT_LIVE_LEAVINGS_H
#define STENT_LIVE_LEAVINGS_H

#include "live/transiting.h"

/* With all threads stopped: nobody is in these ranges, or goes back there, as far as all stacks tell. */
bool leavings_are_left(const struct survey *survey, const struct threads *threads, const struct maps *maps, const struct range *ranges,
		       size_t count) must_check;

/* With all threads stopped, and the transition at its end: take away what has been left, where nobody is in it. What can't be taken away stays; the
 * next transition tries again. */
void leavings_clear(struct transition *transition, const struct maps *maps);

#endif
