#include <stdlib.h>
#include <string.h>

#include "live/install.h"
#include "live/live.h"
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
	const struct ledger *above;
	const char *function;
	struct ledger ledger;
	enum status status;

	if (found->state == LEDGER_REVERTED)
		return error_add(error, STATUS_NOTHING, "process %d (%s): patch %s is reverted already", process->pid,
				 process->comm, found->name);
	if (found->lost)
		return error_add(error, STATUS_NOTHING, "process %d (%s): patch %s is gone, together with the mapping of %s "
				 "that it was in", process->pid, process->comm, found->name, found->image);
	above = stacking_above(survey, found, &function);
	if (above)
		return refuse(error, "process %d (%s): patch %s lies on top of %s, in %s: revert that first", process->pid,
			      process->comm, above->name, found->name, function);
	/* Nothing ever led to a region that was only prepared. */
	if (found->state == LEDGER_PREPARED)
		return install_remove(survey, found, patience, error);

	ledger_copy(found, &ledger);	/* the survey may be renewed */
	survey_unwind(survey);
	status = transition_run(survey, &ledger, VERSION_OLD, options, patience, report, error);
	report->state = ledger.state;
	ledger_free(&ledger);
	return status;
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
			report->name = text_copy(ledger->name);
			report->image = text_copy(ledger->image);
			report->redirected = ledger_redirected(ledger);
			report->added = ledger->functions.count - report->redirected;
			status = revert_ledger(&survey, ledger, options, &patience, report, error);
		} else {
			status = not_there(&survey, name, error);
		}
	}
	survey_free(&survey);
	return status;
}
