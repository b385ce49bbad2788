/*
 * Regions that a process has because another one had them when it was forked.
 *
 * fork() copies all memory, so the child has the ledger in the state of that moment, the table of threads, and the jumps; of the threads
 * only the one that called it, with its thread pointer. What dispatchers say of that one is as true in the child as in the parent. The
 * entries of the others lie about nobody; a thread that is created with a pointer of theirs goes by them until it is
 * looked at, as one that is created in the parent does. So nothing has to be put right before the child goes on, and it is
 * brought to an end like the transition of a stent that was killed. Not inherited are breakpoints (the event
 * is of one thread) and stent's control (PTRACE_O_TRACEFORK is never set); inherited is what SIGTRAP does.
 */
#include <string.h>

#include "live/install.h"
#include "live/kin.h"
#include "live/live.h"
#include "live/reclaim.h"
#include "live/stacking.h"
#include "live/transition.h"

enum live_copy live_look_at_copy(pid_t pid, struct live_region region, bool *unfinished)
{
	static const enum live_copy copies[] = {
		[LEDGER_PREPARED] = LIVE_COPY_PREPARED, [LEDGER_INSTALLING] = LIVE_COPY_INSTALLING, [LEDGER_ACTIVE] = LIVE_COPY_ACTIVE,
		[LEDGER_REVERTING] = LIVE_COPY_REVERTING, [LEDGER_REVERTED] = LIVE_COPY_REVERTED,
	};
	enum live_copy copy = LIVE_COPY_NONE;
	struct error unused = { 0 };
	struct process process;
	struct ledger header;

	*unfinished = false;
	if (process_open(pid, PROCESS_LOOK, &process, &unused) == STATUS_OK &&
	    ledger_peek(&process, region.ledger, region.nonce, &header)) {
		copy = copies[header.state];
		*unfinished = header.state == LEDGER_PREPARED || ledger_half_done(&header) || header.traps_ignored;
	}
	process_close(&process);
	error_clear(&unused);
	return copy;
}

static const struct ledger *find_ledger(const struct survey *survey, struct live_region region)
{
	for (size_t i = 0; i < survey->ledgers.count; i++)
		if (ledger_address(&survey->ledgers.item[i]) == region.ledger && survey->ledgers.item[i].nonce == region.nonce)
			return &survey->ledgers.item[i];
	return NULL;
}

static enum status finish_copy(struct survey *survey, const struct ledger *ledger, bool new, const struct live_options *options,
			       const struct patience *patience, struct live_report *report, struct error *error)
{
	const struct process *process = survey->process;
	enum ledger_state wanted = new ? LEDGER_ACTIVE : LEDGER_REVERTED;
	enum status status;

	live_report_describe(report, ledger);
	report->state = ledger->state == LEDGER_PREPARED ? LEDGER_REVERTED : ledger->state;
	if (ledger->state == LEDGER_PREPARED)
		return install_remove(survey, ledger, patience, &report->borrowed, error);
	if (!ledger_half_done(ledger))
		transition_tidy(survey, ledger);
	if (ledger->state == wanted || ledger->lost)
		return STATUS_NOTHING;
	if (ledger->state == LEDGER_REVERTED)
		return refuse(error, "process %d (%s): patch %s has been reverted already, and stays so", process->pid, process->comm,
			      ledger->name);
	status = new ? STATUS_OK : stacking_check_above(survey, ledger, error);
	return status != STATUS_OK ? status :
	       transition_of(survey, ledger, new ? VERSION_NEW : VERSION_OLD, options, patience, report, error);
}

enum status live_finish_copy(const struct process *process, struct live_region region, bool new, const struct live_options *options,
			     struct live_report *report, struct error *error)
{
	const struct patience patience = patience_for(options->timeout, options->cancelled);
	struct survey survey;
	enum status status = survey_read(process, &survey, error);
	const struct ledger *ledger = find_ledger(&survey, region);

	*report = (struct live_report){ 0 };
	survey.search = options->search;
	if (status == STATUS_OK)
		status = ledger ? finish_copy(&survey, ledger, new, options, &patience, report, error) :
			 refuse(error, "process %d (%s) has no patch at %#lx", process->pid, process->comm, region.ledger);
	if (status == STATUS_OK || status == STATUS_NOTHING || status == STATUS_GAVE_UP)
		reclaim(process, options, report);
	survey_free(&survey);
	return status;
}

static enum live_concern concern_of_name(const struct survey *survey, const char *name)
{
	enum live_concern concern = LIVE_UNCONCERNED;

	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];

		if (strcmp(ledger->name, name) != 0)
			continue;
		if (!ledger->lost && (ledger->state != LEDGER_REVERTED || ledger->traps_ignored))
			return LIVE_OPEN;
		concern = LIVE_SETTLED;
	}
	return concern;
}

static enum live_concern concern_of_patch(const struct survey *survey, const struct bundle *bundle)
{
	enum live_concern concern = LIVE_UNCONCERNED;
	uint64_t digest = bundle_digest(bundle);

	for (size_t i = 0; i < bundle->count; i++) {
		if (survey_maps_build(survey, &bundle->item[i].old_id))
			concern = LIVE_OPEN;
		if (survey_maps_build(survey, &bundle->item[i].new_id) && concern == LIVE_UNCONCERNED)
			concern = LIVE_SETTLED;
	}
	for (size_t i = 0; i < survey->ledgers.count && concern == LIVE_OPEN; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];

		if (ledger->digest == digest && ledger->state == LEDGER_ACTIVE && !ledger->lost && !ledger->traps_ignored)
			concern = LIVE_SETTLED;
	}
	return concern;
}

enum live_concern live_look(pid_t pid, const struct bundle *bundle, const char *name)
{
	enum live_concern concern = LIVE_UNCONCERNED;
	struct error unused = { 0 };
	struct survey survey = { 0 };
	struct process process;

	if (process_open(pid, PROCESS_LOOK, &process, &unused) == STATUS_OK && survey_read(&process, &survey, &unused) == STATUS_OK)
		concern = bundle ? concern_of_patch(&survey, bundle) : concern_of_name(&survey, name);
	survey_free(&survey);
	process_close(&process);
	error_clear(&unused);
	return concern;
}

void live_read_ahead(pid_t pid, const struct live_options *options)
{
	const struct patience patience = { .deadline = UINT64_MAX, .cancelled = options->cancelled };
	struct error unused = { 0 };
	struct survey survey = { 0 };
	struct process process;

	if (process_open(pid, PROCESS_LOOK, &process, &unused) == STATUS_OK && survey_read(&process, &survey, &unused) == STATUS_OK) {
		survey.search = options->search;
		survey_unwind(&survey);
		kin_meet(options->kin, &survey, &patience);
	}
	survey_free(&survey);
	process_close(&process);
	error_clear(&unused);
}
