/*
 * Putting a patch in: everything slow first, with the process running; then one stop of one thread for the
 * mappings; then the switch. Until the switch nothing leads to what has been written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "live/install.h"
#include "live/link.h"
#include "live/live.h"
#include "live/probes.h"
#include "live/reclaim.h"
#include "live/survey.h"
#include "live/transition.h"
#include "live/versions.h"

#define CLEANINGS 4	/* how often something of an earlier stent is put right: one can leave only one region behind */
#define PLACE_TRIES 8	/* how often a free place may be taken by the program before we get there */

void live_report_free(struct live_report *report)
{
	free(report->image);
	free(report->name);
	free(report->searched_for);
	array_free(&report->blockers);
	for (size_t i = 0; i < report->skipped.count; i++)
		free(report->skipped.item[i]);
	array_free(&report->skipped);
	for (size_t i = 0; i < report->kept.count; i++)
		free(report->kept.item[i]);
	array_free(&report->kept);
}

void live_report_describe(struct live_report *report, const struct ledger *ledger)
{
	report->name = text_copy(ledger->name);
	report->image = utf8_make_printable(ledger_image_names(ledger));
	report->redirected = ledger_redirected(ledger);
	report->added = ledger->functions.count - report->redirected;
	report->region = (struct live_region){ ledger_address(ledger), ledger->nonce };
}

/* A displaced call returns by a jump, which a thread whose returns are checked would not survive. */
static enum status check_shadow_stacks(const struct process *process, struct error *error)
{
	if (!process->shadow_stack)
		return STATUS_OK;
	return refuse(error, "process %d (%s): thread %d has a shadow stack", process->pid, process->comm, process->shadow_stack);
}

/* One application, and what it is told. */
struct application {
	const struct bundle *bundle;
	const struct live_options *options;
	const struct patience *patience;
	struct live_report *report;
	struct targets targets;
	const struct ledger *kept;	/* a reverted ledger of the same patch, whose memory can be used again, or NULL */
	bool others;			/* the process had ledgers before, of whatever patches and states */
	bool done;			/* nothing is left to do */
};

/* What has to be brought to an end first. *again: something was changed, and all has to be read again. */
static enum status finish_ledger(struct application *application, struct survey *survey, const struct ledger *ledger,
				 bool *again, struct error *error)
{
	*again = true;
	if (ledger->state == LEDGER_PREPARED)
		return install_remove(survey, ledger, application->patience, &application->report->borrowed, error);
	/* One transition at a time: each thread would be in one version of this and one of that. */
	if (ledger->digest != bundle_digest(application->bundle))
		return refuse(error, "process %d (%s): patch %s is between the versions: apply it to finish that, or revert it",
			      survey->process->pid, survey->process->comm, ledger->name);
	application->done = true;
	live_report_describe(application->report, ledger);
	return transition_of(survey, ledger, VERSION_NEW, application->options, application->patience, application->report,
			     error);
}

/* How many of the images that the patch is to go into does the ledger have, at the place where each is now? */
static size_t count_shared(const struct ledger *ledger, const struct targets *targets)
{
	size_t count = 0;

	for (size_t i = 0; i < targets->count; i++) {
		const struct target *target = &targets->item[i];
		const struct ledger_image *image = ledger_find_image(ledger, &target->patch->old_id, target->image->bias);

		count += image && !image->lost;
	}
	return count;
}

/* The same images in the same order. */
static bool same_images(const struct ledger *ledger, const struct targets *targets)
{
	bool same = ledger->images.count == targets->count;

	for (size_t i = 0; i < targets->count && same; i++)
		same = ledger_find_image(ledger, &targets->item[i].patch->old_id, targets->item[i].image->bias) == &ledger->images.item[i];
	return same;
}

/* A patch goes in as a whole: what was mapped since would be in the old version. */
static enum status say_applied(const struct process *process, const struct ledger *ledger, bool whole, struct error *error)
{
	if (whole)
		return error_add(error, STATUS_NOTHING, "process %d (%s): patch %s is applied already", process->pid, process->comm,
				 ledger->name);
	return refuse(error, "process %d (%s): patch %s is applied, but not to an image that was mapped since: revert it, and apply it "
		      "again", process->pid, process->comm, ledger->name);
}

/* Another patch in force that a replacement would take out; or NULL. */
static const struct ledger *find_other(const struct survey *survey, const struct ledger *ledger, const struct targets *targets)
{
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *other = &survey->ledgers.item[i];

		if (other != ledger && !other->lost && other->state == LEDGER_ACTIVE && count_shared(other, targets))
			return other;
	}
	return NULL;
}

/* What an earlier stent has left for these images. STATUS_OK with *again false: the patch can go in. */
static enum status settle_ledgers(struct application *application, struct survey *survey, bool *again, struct error *error)
{
	const struct process *process = survey->process;
	const struct targets *targets = &application->targets;
	uint64_t digest = bundle_digest(application->bundle);
	const struct ledger *other;

	*again = false;
	application->kept = NULL;
	if (survey->damaged)
		return ledgers_refuse_damaged(process, &survey->ledgers, error);
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];
		size_t shared = count_shared(ledger, targets);

		if (!shared || ledger->lost)	/* what it was in has gone; its memory stays */
			continue;
		if (ledger->state == LEDGER_ACTIVE && ledger->digest == digest) {
			application->report->region = (struct live_region){ ledger_address(ledger), ledger->nonce };
			transition_tidy(survey, ledger);
			other = application->options->replace ? find_other(survey, ledger, targets) : NULL;
			if (other)
				return refuse(error, "process %d (%s): patch %s is applied already, and patch %s is in force with it: revert that one",
					      process->pid, process->comm, ledger->name, other->name);
			return say_applied(process, ledger, shared == targets->count, error);
		}
		if (ledger->state == LEDGER_PREPARED || ledger_half_done(ledger))
			return finish_ledger(application, survey, ledger, again, error);
		if (ledger->digest == digest && ledger->state == LEDGER_REVERTED && same_images(ledger, targets))
			application->kept = ledger;
	}
	return STATUS_OK;
}

static bool same_finders(const struct ledger *one, const struct ledger *other)
{
	if (one->finders.count != other->finders.count)
		return false;
	for (size_t i = 0; i < one->images.count; i++)
		if (one->images.item[i].unwind_index.start != other->images.item[i].unwind_index.start)
			return false;
	for (size_t i = 0; i < one->finders.count; i++)
		if (one->finders.item[i].site != other->finders.item[i].site ||
		    one->finders.item[i].code.start != other->finders.item[i].code.start ||
		    memcmp(one->finders.item[i].original, other->finders.item[i].original, ARCH_ENTRY_MAX) != 0)
			return false;
	return true;
}

/* The same parts at the same places, and the same versions below it. */
static bool same_layout(const struct ledger *one, const struct ledger *other)
{
	if (one->images.count != other->images.count || one->parts.count != other->parts.count || one->functions.count != other->functions.count ||
	    one->replaced.count || other->replaced.count || !same_finders(one, other) ||
	    one->dispatch.selector != other->dispatch.selector || one->dispatch.table != other->dispatch.table ||
	    one->dispatch.table_bits != other->dispatch.table_bits || one->scratch != other->scratch)
		return false;
	for (size_t i = 0; i < one->parts.count; i++)
		if (one->parts.item[i].range.start != other->parts.item[i].range.start ||
		    one->parts.item[i].range.end != other->parts.item[i].range.end ||
		    one->parts.item[i].flags != other->parts.item[i].flags)
			return false;
	for (size_t i = 0; i < one->functions.count; i++)
		if (one->functions.item[i].old_entry != other->functions.item[i].old_entry ||
		    memcmp(one->functions.item[i].original, other->functions.item[i].original, ARCH_ENTRY_MAX) != 0)
			return false;
	return true;
}

/* Bring the regions into the process, where nothing leads to them yet. */
static enum status install(const struct application *application, struct survey *survey, struct link *link, struct error *error)
{
	const struct ledger *kept = application->kept;
	bool replace = application->options->replace;
	enum status status = STATUS_NOTHING;

	*link = (struct link){ 0 };
	if (kept) {
		status = link_patch(survey, application->bundle, &application->targets, replace, kept, link, error);
		if (status != STATUS_OK)
			return status;
		if (same_layout(&link->ledger, kept)) {
			application->report->reused = true;
			link->ledger.state = LEDGER_REVERTED;	/* as the ledger that stays there */
			link->ledger.nonce = kept->nonce;
			link->ledger.forced = kept->forced;
			link->ledger.traps_ignored = kept->traps_ignored;
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
			status = link_patch(survey, application->bundle, &application->targets, replace, NULL, link, error);
		if (status == STATUS_OK)
			status = install_region(survey, link, application->patience, &application->report->borrowed, error);
	}
	if (status == STATUS_NOTHING)
		return refuse(error, "process %d (%s): every place for the patch was taken before it could be mapped",
			      survey->process->pid, survey->process->comm);
	return status;
}

/* Unmap a region that nothing has ever led to, unless the program has gone or has put something else there. */
static enum status take_back(const struct survey *survey, const struct ledger *ledger, uint64_t *borrowed, struct error *error)
{
	const struct patience undo = patience_for(INSTALL_UNDO_MILLISECONDS, NULL);

	return ledger_is_there(survey->process, ledger) ? install_remove(survey, ledger, &undo, borrowed, error) : STATUS_OK;
}

static enum status apply_to(struct application *application, struct survey *survey, struct error *error)
{
	struct live_report *report = application->report;
	struct link link = { 0 };
	enum status status = survey_check_sites(survey, &application->targets, error);

	for (size_t i = 0; i < application->targets.count; i++)
		if (probes_check(survey, application->targets.item[i].patch, application->targets.item[i].image, error) != STATUS_OK)
			status = STATUS_REFUSED;
	if (status == STATUS_OK) {
		survey_unwind(survey);
		status = install(application, survey, &link, error);
	}
	if (status == STATUS_OK) {
		live_report_describe(report, &link.ledger);
		status = transition_run(survey, &link.ledger, VERSION_NEW, application->options, application->patience, report,
					error);
		report->state = link.ledger.state;
		/* If it has begun, threads were in the new code, and may keep pointers into its data. */
		if (status != STATUS_OK && link.ledger.state == LEDGER_PREPARED &&
		    take_back(survey, &link.ledger, &report->borrowed, error) != STATUS_OK)
			status = STATUS_ERROR;
	}
	link_free(&link);
	return status;
}

static void take_skipped(struct application *application)
{
	for (size_t i = 0; i < application->targets.skipped.count; i++)
		*array_add(&application->report->skipped) = application->targets.skipped.item[i];
	application->targets.skipped.count = 0;
}

/* STATUS_OK with application->done false: something that an earlier stent left was put right first, and all has to be read again. */
static enum status apply_once(struct application *application, const struct process *process, struct error *error)
{
	bool again = false;
	struct survey survey;
	enum status status = survey_read(process, &survey, error);

	application->targets = (struct targets){ 0 };
	application->others = survey.ledgers.count || survey.damaged;
	survey.search = application->options->search;
	if (status == STATUS_OK)
		status = survey_find_targets(&survey, application->bundle, &application->targets, error);
	if (status == STATUS_OK)
		status = settle_ledgers(application, &survey, &again, error);
	if (status == STATUS_OK && !again) {
		application->done = true;
		status = apply_to(application, &survey, error);
	}
	if (application->done)
		take_skipped(application);
	targets_free(&application->targets);
	survey_free(&survey);
	return status;
}

enum status live_apply(const struct process *process, const struct bundle *bundle, const struct live_options *options,
		       struct live_report *report, struct error *error)
{
	const struct patience patience = patience_for(options->timeout, options->cancelled);
	struct application application = { .bundle = bundle, .options = options, .patience = &patience, .report = report };
	enum status status = check_shadow_stacks(process, error);

	*report = (struct live_report){ 0 };
	for (unsigned int cleanings = 0; status == STATUS_OK && !application.done; cleanings++) {
		/* A program may forge ledgers as fast as they are put right. */
		if (cleanings > CLEANINGS)
			return refuse(error, "process %d (%s): the ledger of a patch that was half done is there again each "
				      "time it has been put right", process->pid, process->comm);
		status = apply_once(&application, process, error);
	}
	/* What it has taken the place of, or has brought and taken back: none of that where it has come to stay, and is the first. */
	if (status != STATUS_REFUSED && status != STATUS_ERROR && (status != STATUS_OK || application.others))
		reclaim(process, options, report);
	return status;
}
