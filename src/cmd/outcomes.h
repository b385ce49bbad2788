/*
 * outcomes.h: what came of changing many processes. An outcome is a JSON object:
 *
 *	{ pid, comm, image, patch, result, paused_ns, threads, search: { ns, bytes, why }, why: [lines], kept: [lines] }
 *
 * where result is "done", "nothing" (it was done already, or is not needed), "refused", "gave up" or "error", and search is there if memory was searched
 * for suspended contexts: a part of paused_ns.
 */
#ifndef STENT_CMD_OUTCOMES_H
#define STENT_CMD_OUTCOMES_H

#include <jansson.h>

#include "live/live.h"

/* Of one process; the error is cleared. */
json_t *outcome_make(const struct process *process, enum status status, const struct live_report *report,
		     struct error *error) must_check;

/* The same where there is no report, because nothing was tried. */
json_t *outcome_without(pid_t pid, const char *comm, enum status status, struct error *error) must_check;

/* The exit status for an array of them: STATUS_ERROR if one is "error"; else STATUS_REFUSED if one is; else STATUS_GAVE_UP if one is; else
 * STATUS_OK if one is "done"; else STATUS_NOTHING. */
enum status outcomes_status(const json_t *outcomes) must_check;

size_t outcomes_count(const json_t *outcomes, enum status status);

bool outcome_is(const json_t *outcome, enum status status) must_check;

/*
 * How long a process stood still to be searched, how much of it was, and what makes that necessary: "3.10 ms of that, ...". NULL where `why` is, and,
 * unless `always`, where the search took less than a quarter of the pause. free() it.
 */
char *outcome_search_text(uint64_t paused, uint64_t ns, uint64_t bytes, const char *why, bool always) must_check;

/* "done", "nothing", ... */
const char *outcome_name(enum status status);

/* By pid, then in the order in which they are. */
void outcomes_sort(json_t *outcomes);

#endif
