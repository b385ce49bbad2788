#include <stdlib.h>
#include <string.h>

#include "live/install.h"
#include "live/live.h"
#include "live/reclaim.h"
#include "live/stacking.h"
#include "live/survey.h"
#include "live/transition.h"

static enum status not_there(const struct survey *survey, const char *name, struct error *error)
{
	const struct process *process = survey->process;

	refuse(error, "process %d (%s) holds no patch named %s", process->pid, process->comm, name);
	for (size_t i = 0; i < survey->ledgers.count; i++)
		refuse(error, "process %d (%s) holds patch %s (%s)", process->pid, process->comm,
		       survey->ledgers.item[i].name, ledger_condition(&survey->ledgers.item[i]));
	if (survey->damaged)
		return ledgers_refuse_damaged(process, &survey->ledgers, error);
	return STATUS_REFUSED;
}

/* The one that is in force comes before one that was reverted earlier. */
static const struct ledger *find_ledger(const struct survey *survey, const char *name)
{
	const struct ledger *found = NULL;

	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];

		if (!strcmp(ledger->name, name) && (!found || found->lost || found->state == LEDGER_REVERTED))
			found = ledger;
	}
	return found;
}

static enum status revert_ledger(struct survey *survey, const struct ledger *found, const struct live_options *options,
				 const struct patience *patience, struct live_report *report, struct error *error)
{
	const struct process *process = survey->process;
	enum status status;

	if (found->state == LEDGER_REVERTED) {
		transition_tidy(survey, found);
		return error_add(error, STATUS_NOTHING, "process %d (%s): patch %s is reverted already", process->pid,
				 process->comm, found->name);
	}
	if (found->lost)
		return error_add(error, STATUS_NOTHING, "process %d (%s): patch %s is gone, together with the mapping of %s "
				 "that it was in", process->pid, process->comm, found->name, found->images.item[0].name);
	status = stacking_check_above(survey, found, error);
	if (status != STATUS_OK)
		return status;
	/* Nothing ever led to a region that was only prepared. */
	if (found->state == LEDGER_PREPARED) {
		report->state = LEDGER_REVERTED;
		return install_remove(survey, found, patience, &report->borrowed, error);
	}
	return transition_of(survey, found, VERSION_OLD, options, patience, report, error);
}

enum status live_revert(const struct process *process, const char *name, const struct live_options *options,
			struct live_report *report, struct error *error)
{
	const struct patience patience = patience_for(options->timeout, options->cancelled);
	const struct ledger *ledger;
	struct survey survey;
	enum status status = survey_read(process, &survey, error);

	*report = (struct live_report){ 0 };
	survey.search = options->search;
	if (status == STATUS_OK) {
		ledger = find_ledger(&survey, name);
		if (ledger) {
			live_report_describe(report, ledger);
			status = revert_ledger(&survey, ledger, options, &patience, report, error);
		} else {
			status = not_there(&survey, name, error);
		}
	}
	/* Where there is no patch of that name a killed stent may have left something all the same. */
	if (status == STATUS_OK || status == STATUS_NOTHING || status == STATUS_GAVE_UP || !report->name)
		reclaim(process, options, report);
	survey_free(&survey);
	return status;
}
