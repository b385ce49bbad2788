/* probes.h: uprobes at the entries that are to be redirected. */
#ifndef STENT_LIVE_PROBES_H
#define STENT_LIVE_PROBES_H

#include "live/survey.h"

/*
 * The kernel runs the instruction that a uprobe stands on from the file, not from memory, and goes on behind it: in the middle of a jump
 * that has been written there. So a probe that is switched on when the entry has been redirected kills the process. One that is on is
 * seen as a foreign byte (survey_check_sites()); this finds those that are only defined. STATUS_REFUSED names them.
 */
enum status probes_check(const struct survey *survey, const struct patch *patch, const struct mapped_image *image,
			 struct error *error) must_check;

#endif
