/*
 * Putting a patch in: everything slow first, with the process running; then one stop of one thread for the
 * mappings; then the switch. Until the switch nothing leads to what has been written.
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "live/install.h"
#include "live/link.h"
#include "live/live.h"
#include "live/survey.h"
#include "live/transition.h"
#include "live/versions.h"

#define CLEANINGS 4	/* how often something of an earlier stent is put right: one can leave only one region behind */
#define PLACE_TRIES 8	/* how often a free place may be taken by the program before we get there */

void live_report_free(struct live_report *report)
{
	free(report->image);
	free(report->name);
	array_free(&report->blockers);
}

/* A displaced call returns by a jump, which a thread whose returns are checked would not survive. */
static enum status check_shadow_stacks(const struct process *process, struct error *error)
{
	struct tids tids = { 0 };
	enum status status = STATUS_OK;
	struct task task;

	process_tids(process, &tids);
	for (size_t i = 0; i < tids.count && status == STATUS_OK; i++)
		if (process_task(process, tids.item[i], &task) && task.shadow_stack)
			status = refuse(error, "process %d (%s): thread %d has a shadow stack", process->pid, process->comm,
					tids.item[i]);
	array_free(&tids);
	return status;
}

static bool is_half_done(const struct ledger *ledger)
{
	return ledger->state == LEDGER_INSTALLING || ledger->state == LEDGER_REVERTING;
}

/* Take back what a killed stent left half done. */
static enum status finish_revert(struct survey *survey, const struct ledger *found, const struct patience *patience,
				 struct error *error)
{
	struct live_report report = { 0 };
	struct ledger ledger;
	enum status status;

	ledger_copy(found, &ledger);
	survey_unwind(survey);
	status = transition_run(survey, &ledger, TO_OLD, patience, &report, error);
	live_report_free(&report);
	ledger_free(&ledger);
	return status;
}

/*
 * What an earlier stent has left for this image: *clean is false when something was done, and the survey is
 * out of date. STATUS_OK with *kept: a reverted ledger of the same patch, whose memory can be used again.
 */
static enum status settle_ledgers(struct survey *survey, const struct patch *patch, const struct mapped_image *image,
				  const struct patience *patience, bool *clean, const struct ledger **kept,
				  struct error *error)
{
	const struct process *process = survey->process;
	uint64_t digest = patch_digest(patch);

	*clean = true;
	*kept = NULL;
	if (survey->damaged)
		return ledgers_refuse_damaged(process, &survey->ledgers, error);
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];

		if (ledger->bias != image->bias || !build_id_equal(&ledger->old_id, &patch->old_id))
			continue;
		if (ledger->lost)	/* what it was in has gone; its memory stays */
			continue;
		if (ledger->state == LEDGER_ACTIVE && ledger->digest == digest)
			return error_add(error, STATUS_NOTHING, "process %d (%s): patch %s is applied already",
					 process->pid, process->comm, ledger->name);
		if (ledger->state == LEDGER_ACTIVE)
			return refuse(error, "process %d (%s): %s already carries patch %s: revert that first",
				      process->pid, process->comm, image->name, ledger->name);
		if (ledger->state == LEDGER_PREPARED) {
			*clean = false;
			return install_remove(survey, ledger, patience, error);
		}
		if (is_half_done(ledger)) {
			*clean = false;
			return finish_revert(survey, ledger, patience, error);
		}
		if (ledger->digest == digest)
			*kept = ledger;
	}
	return STATUS_OK;
}

/* The same parts at the same places. */
static bool same_layout(const struct ledger *one, const struct ledger *other)
{
	if (one->parts.count != other->parts.count || one->functions.count != other->functions.count ||
	    one->slots != other->slots || one->selector != other->selector || one->switches != other->switches)
		return false;
	for (size_t i = 0; i < one->parts.count; i++)
		if (one->parts.item[i].range.start != other->parts.item[i].range.start ||
		    one->parts.item[i].range.end != other->parts.item[i].range.end ||
		    one->parts.item[i].flags != other->parts.item[i].flags)
			return false;
	return true;
}

/* Bring the region into the process, where nothing leads to it yet. */
static enum status install(struct survey *survey, const struct patch *patch, const struct mapped_image *image,
			   const struct ledger *kept, const struct patience *patience, struct link *link, bool *reused,
			   struct error *error)
{
	enum status status = STATUS_NOTHING;

	*reused = false;
	*link = (struct link){ 0 };
	if (kept) {
		status = link_patch(survey, patch, image, kept->region.start, link, error);
		if (status != STATUS_OK)
			return status;
		if (same_layout(&link->ledger, kept)) {
			*reused = true;
			link->ledger.state = LEDGER_REVERTED;	/* as the ledger that stays there */
			link->ledger.nonce = kept->nonce;
			return install_again(survey, link, error);
		}
		link_free(link);
		status = STATUS_NOTHING;
	}
	for (unsigned int i = 0; i < PLACE_TRIES && status == STATUS_NOTHING; i++) {
		link_free(link);
		maps_free(&survey->maps);
		status = maps_read(survey->process, &survey->maps, error);
		if (status == STATUS_OK)
			status = link_patch(survey, patch, image, 0, link, error);
		if (status == STATUS_OK)
			status = install_region(survey, link, patience, error);
	}
	if (status == STATUS_NOTHING)
		return refuse(error, "process %d (%s): every place for the patch was taken before it could be mapped",
			      survey->process->pid, survey->process->comm);
	return status;
}

static void describe_report(struct live_report *report, const struct ledger *ledger, const char *image)
{
	report->name = text_copy(ledger->name);
	report->image = utf8_make_printable(text_copy(image));
	report->redirected = ledger_redirected(ledger);
	report->added = ledger->functions.count - report->redirected;
}

/* Unmap a region that nothing has ever led to, unless the program has gone or has put something else there. */
static enum status take_back(const struct survey *survey, const struct ledger *ledger, struct error *error)
{
	const struct patience undo = patience_for(INSTALL_UNDO_MILLISECONDS, NULL);

	return ledger_is_there(survey->process, ledger) ? install_remove(survey, ledger, &undo, error) : STATUS_OK;
}

/* Nothing has ever led to a new region, unless the switch began; and what that wrote was undone in the same stop if it could be. */
static bool never_used(const struct ledger *ledger, bool reused)
{
	return ledger->state == LEDGER_PREPARED || (ledger->state == LEDGER_REVERTED && !reused);
}

static enum status apply_to(struct survey *survey, const struct patch *patch, const struct mapped_image *image,
			    const struct ledger *kept, const struct patience *patience, struct live_report *report,
			    struct error *error)
{
	struct link link = { 0 };
	enum status status = survey_check_sites(survey, patch, image, error);

	if (status == STATUS_OK)
		status = install(survey, patch, image, kept, patience, &link, &report->reused, error);
	if (status == STATUS_OK) {
		describe_report(report, &link.ledger, image->name);
		survey_unwind(survey);
		status = transition_run(survey, &link.ledger, TO_NEW, patience, report, error);
		if (status != STATUS_OK && never_used(&link.ledger, report->reused) &&
		    take_back(survey, &link.ledger, error) != STATUS_OK)
			status = STATUS_ERROR;
	}
	link_free(&link);
	return status;
}

/* STATUS_OK with *clean false: something that an earlier stent left was put right first, and all has to be read again. */
static enum status apply_once(const struct process *process, const struct patch *patch, const struct patience *patience,
			      uint64_t search, bool *clean, struct live_report *report, struct error *error)
{
	const struct mapped_image *image = NULL;
	const struct ledger *kept = NULL;
	struct survey survey;
	enum status status = survey_read(process, &survey, error);

	survey.search = search;
	if (status == STATUS_OK)
		status = survey_find_image(&survey, patch, &image, error);
	if (status == STATUS_OK)
		status = settle_ledgers(&survey, patch, image, patience, clean, &kept, error);
	if (status == STATUS_OK && *clean)
		status = apply_to(&survey, patch, image, kept, patience, report, error);
	survey_free(&survey);
	return status;
}

enum status live_apply(const struct process *process, const struct patch *patch, const struct live_options *options,
		       struct live_report *report, struct error *error)
{
	const struct patience patience = patience_for(options->timeout, options->cancelled);
	enum status status = check_shadow_stacks(process, error);
	bool clean = false;

	*report = (struct live_report){ 0 };
	for (unsigned int cleanings = 0; status == STATUS_OK && !clean; cleanings++) {
		/* A program may forge ledgers as fast as they are put right. */
		if (cleanings > CLEANINGS)
			return refuse(error, "process %d (%s): the ledger of a patch that was half done is there again each "
				      "time it has been put right", process->pid, process->comm);
		status = apply_once(process, patch, &patience, options->search, &clean, report, error);
	}
	return status;
}
