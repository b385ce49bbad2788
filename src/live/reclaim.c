/*
 * In a stop of all threads, for all reverted patches together:
 *
 *	search registers and memory	only reads
 *	ask what the kernel holds	a thread makes system calls (remote.c), which change nothing but the scratch memory of a patch that nobody
 *					uses
 *	finders out of their chains	where they had to stay (--force): nobody is in them, as it has turned out
 *	ledger PREPARED			from here on no proof is needed any more
 *	unmap				install.c, with what is left where
 *
 * Where stent is killed up to the fourth step all is as before, and behind it the next stent unmaps what is left. A process that is killed takes all with
 * it. A signal that comes to the thread that makes the calls has to be handled first: then all is done again.
 */
#include "live/reclaim.h"

#include <stdlib.h>
#include <time.h>

#include "live/finders.h"
#include "live/headroom.h"
#include "live/held.h"
#include "live/install.h"
#include "live/leavings.h"
#include "live/references.h"
#include "live/stacking.h"
#include "process/sharing.h"

#define ROUNDS 3
#define NAP 20000000		/* ns between two of them */
#define STOP_TIME 50u		/* ms for all threads to stop */
#define SIZE_MOST (UINT64_C(1) << 31)	/* bytes of all regions together: the time of a search depends on it, and a program may forge its ledgers */

struct reclaiming {
	const struct process *process;
	const struct live_options *options;
	struct live_report *report;
	struct survey survey;
	struct remote_leftovers stubs;
	ARRAY(struct ledger *) candidates;	/* owners of references.targets, by index */
	uint64_t size;			/* of their regions */
	struct references references;
	struct maps maps;		/* in the stop */
	struct threads threads;
};

static uint64_t size_of(const struct ledger *ledger)
{
	uint64_t size = 0;

	for (size_t i = 0; i < ledger->parts.count; i++)
		size += ledger->parts.item[i].range.end - ledger->parts.item[i].range.start;
	for (size_t i = 0; i < ledger->finders.count; i++)
		size += ledger->finders.item[i].code.end - ledger->finders.item[i].code.start;
	return size;
}

static void keep(struct reclaiming *reclaiming, const struct ledger *ledger, const char *why)
{
	*array_add(&reclaiming->report->kept) = text_format("%lu KiB of patch %s stay mapped: %s", size_of(ledger) / 1024, ledger->name, why);
}

static void keep_all(struct reclaiming *reclaiming, const char *why)
{
	for (size_t i = 0; i < reclaiming->candidates.count; i++)
		keep(reclaiming, reclaiming->candidates.item[i], why);
	reclaiming->candidates.count = 0;
}

/* False: that would be too much. */
static bool add_size(uint64_t *size, struct range range)
{
	if (range.end - range.start > SIZE_MOST - *size)
		return false;
	*size += range.end - range.start;
	return true;
}

static bool has_room(struct reclaiming *reclaiming, const struct ledger *ledger)
{
	uint64_t size = reclaiming->size;

	for (size_t i = 0; i < ledger->images.count; i++)
		if (!add_size(&size, ledger->images.item[i].region))
			return false;
	for (size_t i = 0; i < ledger->finders.count; i++)
		if (!add_size(&size, ledger->finders.item[i].code))
			return false;
	reclaiming->size = size;
	return true;
}

static bool is_candidate(struct reclaiming *reclaiming, const struct ledger *ledger)
{
	struct error error = { 0 };
	const char *needed;

	/* (What SIGTRAP does is put back by the ledger.) */
	if (ledger->state != LEDGER_REVERTED || ledger->traps_ignored || !has_room(reclaiming, ledger))
		return false;
	needed = stacking_lead_to(&reclaiming->survey, ledger);
	if (needed) {
		char *why = text_format("%s goes back to it", needed);

		keep(reclaiming, ledger, why);
		free(why);
	} else if (headroom_check_transition(&reclaiming->survey, ledger, &error) != STATUS_OK) {
		keep(reclaiming, ledger, error.text);
		needed = "";
	}
	error_clear(&error);
	return !needed;
}

/* What nothing ever led to, or nothing leads to any more: no stop of all is needed. */
static void remove_prepared(struct reclaiming *reclaiming)
{
	const struct patience patience = patience_for(INSTALL_UNDO_MILLISECONDS, NULL);
	struct error unused = { 0 };

	for (size_t i = 0; i < reclaiming->survey.ledgers.count; i++) {
		const struct ledger *ledger = &reclaiming->survey.ledgers.item[i];

		if (ledger->state == LEDGER_PREPARED &&
		    install_remove(&reclaiming->survey, ledger, &patience, &reclaiming->report->borrowed, &unused) == STATUS_OK)
			reclaiming->report->unmapped += size_of(ledger);
	}
	error_clear(&unused);
}

/* Memory of stent's own, but for the variables of new code: addresses there lead nowhere (stacking_lead_to() and finders_lead_to() know better). */
static void pass_by_own(struct reclaiming *reclaiming)
{
	struct references *references = &reclaiming->references;

	for (size_t i = 0; i < reclaiming->survey.ledgers.count; i++) {
		const struct ledger *ledger = &reclaiming->survey.ledgers.item[i];

		for (size_t j = 0; j < ledger->parts.count; j++)
			if (!(ledger->parts.item[j].flags & SEGMENT_WRITE) || ledger->parts.item[j].range.start == ledger->scratch)
				*array_add(&references->passed_by) = ledger->parts.item[j].range;
		for (size_t j = 0; j < ledger->finders.count; j++)
			*array_add(&references->passed_by) = ledger->finders.item[j].code;
	}
}

static void add_targets(struct reclaiming *reclaiming)
{
	struct references *references = &reclaiming->references;

	for (size_t i = 0; i < reclaiming->candidates.count; i++) {
		const struct ledger *ledger = reclaiming->candidates.item[i];

		for (size_t j = 0; j < ledger->images.count; j++)
			*array_add(&references->targets) = (struct reference_target){ ledger->images.item[j].region, i };
		for (size_t j = 0; j < ledger->finders.count; j++)
			*array_add(&references->targets) = (struct reference_target){ ledger->finders.item[j].code, i };
	}
}

/* Without a stop: is it worth one? */
static void foresee(struct reclaiming *reclaiming)
{
	const struct survey *survey = &reclaiming->survey;
	const struct references *references = &reclaiming->references;
	uint64_t limit = reclaiming->options->reclaim;
	bool swapped;
	char *why;

	if (!limit)
		why = text_copy("pointers into it are not searched for (--reclaim 0)");
	else
		why = held_foresee(reclaiming->process, &survey->maps);
	if (!why) {
		if (!references_fit(reclaiming->process, &survey->maps, references->passed_by.item, references->passed_by.count, limit, &swapped))
			why = text_format("pointers into it could be in more than the %lu MiB that are searched (--reclaim)", limit >> 20);
		else if (swapped)
			why = text_copy("some of the memory in which pointers into it could be is swapped out");
	}
	if (why)
		keep_all(reclaiming, why);
	free(why);
}

/* Nothing refers to it any more: all threads are stopped, and one of them makes the calls. */
static enum status unmap(struct reclaiming *reclaiming, struct ledger *ledger, struct remote *remote, struct error *error)
{
	const struct survey *survey = &reclaiming->survey;
	const char *needed = stacking_lead_to(survey, ledger);
	enum status status = STATUS_OK;

	if (!needed && finders_lead_to(survey, ledger)) {
		status = finders_remove(survey, ledger, ledger, error);
		if (status == STATUS_OK && finders_lead_to(survey, ledger))
			needed = "an unwinder's function";
	}
	if (status == STATUS_OK && (needed || !ledger_is_there(reclaiming->process, ledger))) {
		keep(reclaiming, ledger, needed ? "an entry leads to it" : "it has been changed by somebody else");
		return STATUS_OK;
	}
	if (status == STATUS_OK)
		status = ledger_store_state(reclaiming->process, ledger, LEDGER_PREPARED, error);
	if (status == STATUS_OK)
		status = install_unmap(remote, ledger, error);
	if (status == STATUS_OK)
		reclaiming->report->unmapped += size_of(ledger);
	return status;
}

/* With all threads stopped. Any status but STATUS_OK: it may go better next time. */
static enum status search_and_unmap(struct reclaiming *reclaiming, struct error *error)
{
	const struct patience patience = patience_for(INSTALL_UNDO_MILLISECONDS, NULL);
	struct references *references = &reclaiming->references;
	struct remote remote;
	enum status status;

	references->survey = &reclaiming->survey;
	references->arch = arch_by_machine(reclaiming->candidates.item[0]->machine);
	references->maps = &reclaiming->maps;
	references->limit = reclaiming->options->reclaim;
	add_targets(reclaiming);
	references_search(references, &reclaiming->threads);
	if (!references_open(references))
		return STATUS_OK;
	status = remote_begin_stopped(reclaiming->process, &reclaiming->threads, &reclaiming->maps, &reclaiming->survey.images, &patience,
				      &remote, error);
	if (status == STATUS_OK)
		status = held_search(references, &reclaiming->threads, &remote, reclaiming->candidates.item[0]->scratch, error);
	for (size_t i = 0; i < reclaiming->candidates.count && status == STATUS_OK; i++)
		if (!references->why.item[i])
			status = unmap(reclaiming, reclaiming->candidates.item[i], &remote, error);
	(void)remote_end(&remote);	/* part of the stop of all */
	return status;
}

static void sweep(const struct reclaiming *reclaiming)
{
	const struct remote_leftovers *stubs = &reclaiming->stubs;

	if (stubs->count && leavings_are_left(&reclaiming->survey, &reclaiming->threads, &reclaiming->maps, stubs->item, stubs->count))
		remote_sweep(reclaiming->process, stubs);
}

/* A stop of all threads. */
static enum status stop_and_unmap(struct reclaiming *reclaiming, struct error *error)
{
	const struct process *process = reclaiming->process;
	pid_t other = sharing_look(process);
	enum status status = other ? error_add(error, STATUS_GAVE_UP, "another process runs in the same memory") :
				     threads_stop(process, STOP_TIME, &reclaiming->threads, error);
	bool stopped = !other;

	if (status == STATUS_OK)
		status = maps_read(process, &reclaiming->maps, error);
	/* A child may have been made since the look before the stop; none can be made now. */
	if (status == STATUS_OK && sharing_process(process))
		status = error_add(error, STATUS_GAVE_UP, "another process runs in the same memory");
	if (status == STATUS_OK && reclaiming->candidates.count)
		status = search_and_unmap(reclaiming, error);
	if (status == STATUS_OK)
		sweep(reclaiming);
	if (stopped)
		reclaiming->report->reclaiming += threads_release(process, &reclaiming->threads);
	return status;
}

static void say_kept(struct reclaiming *reclaiming)
{
	for (size_t i = 0; i < reclaiming->candidates.count; i++)
		if (i < reclaiming->references.why.count && reclaiming->references.why.item[i])
			keep(reclaiming, reclaiming->candidates.item[i], reclaiming->references.why.item[i]);
}

static void clear_kept(struct live_report *report)
{
	for (size_t i = 0; i < report->kept.count; i++)
		free(report->kept.item[i]);
	report->kept.count = 0;
}

static void find_candidates(struct reclaiming *reclaiming)
{
	struct ledgers *ledgers = &reclaiming->survey.ledgers;

	for (size_t i = 0; i < ledgers->count; i++)
		if (is_candidate(reclaiming, &ledgers->item[i]))
			*array_add(&reclaiming->candidates) = &ledgers->item[i];
	if (reclaiming->candidates.count) {
		pass_by_own(reclaiming);
		foresee(reclaiming);
	}
	remote_leftovers(reclaiming->process, &reclaiming->survey.maps, &reclaiming->survey.images, &reclaiming->stubs);
}

static bool is_between(const struct ledgers *ledgers)
{
	for (size_t i = 0; i < ledgers->count; i++)
		if (ledger_half_done(&ledgers->item[i]))
			return true;
	return false;
}

/* Any status but STATUS_OK: it may go better next time. */
static enum status once(struct reclaiming *reclaiming, struct error *error)
{
	enum status status = survey_read(reclaiming->process, &reclaiming->survey, error);

	/* Of what can't be read nobody knows where it leads. */
	if (status != STATUS_OK || reclaiming->survey.damaged || is_between(&reclaiming->survey.ledgers))
		return STATUS_OK;
	remove_prepared(reclaiming);
	find_candidates(reclaiming);
	if (!reclaiming->candidates.count && !reclaiming->stubs.count)
		return STATUS_OK;
	survey_unwind(&reclaiming->survey);
	status = stop_and_unmap(reclaiming, error);
	if (status != STATUS_OK) {
		keep_all(reclaiming, error->text ? error->text : "its threads could not be stopped");
		return status;
	}
	say_kept(reclaiming);
	return reclaiming->references.passing ? STATUS_NOTHING : STATUS_OK;
}

void reclaim(const struct process *process, const struct live_options *options, struct live_report *report)
{
	const struct timespec nap = { 0, NAP };
	enum status status = STATUS_ERROR;

	for (unsigned int i = 0; i < ROUNDS && status != STATUS_OK && !(options->cancelled && options->cancelled()); i++) {
		struct reclaiming reclaiming = { .process = process, .options = options, .report = report };
		struct error error = { 0 };

		if (i)
			nanosleep(&nap, NULL);
		clear_kept(report);
		status = once(&reclaiming, &error);
		error_clear(&error);
		references_free(&reclaiming.references);
		array_free(&reclaiming.candidates);
		array_free(&reclaiming.stubs);
		maps_free(&reclaiming.maps);
		threads_free(&reclaiming.threads);
		survey_free(&reclaiming.survey);
	}
}
