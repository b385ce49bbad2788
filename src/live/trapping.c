/*
 * trapping.c: SIGTRAP is ignored for as long as threads have breakpoints, so that one that fires when stent has just been killed does no harm.
 * The ledger says so before it is done, and the next stent puts back what a killed one has left.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "live/transiting.h"

/* Neither ignored nor handled: /proc/PID/status (proc(5)). */
static bool traps_are_default(const struct process *process)
{
	char *text = process_file(process, "status", NULL);
	const char *ignored = text ? strstr(text, "\nSigIgn:") : NULL, *caught = text ? strstr(text, "\nSigCgt:") : NULL;
	bool is = ignored && caught &&
		  !((strtoull(ignored + 8, NULL, 16) | strtoull(caught + 8, NULL, 16)) & UINT64_C(1) << (SIGTRAP - 1));

	free(text);
	return is;
}

/* (Where nothing but this is to be put right there is no report.) */
static void end(struct transition *transition, struct remote *remote)
{
	uint64_t borrowed = remote_end(remote);

	if (transition->report)
		transition->report->borrowed += borrowed;
}

void trapping_begin(struct transition *transition, const struct patience *patience)
{
	const struct survey *survey = transition->survey;
	struct error unused = { 0 };
	struct remote remote;

	if (transition->traps_tried)
		return;
	transition->traps_tried = true;
	/* What is known before it is changed, so that it can be put right if this stent is killed. */
	transition->ledger->traps_ignored = transition->ledger->traps_ignored || traps_are_default(survey->process);
	if (ledger_store_flags(survey->process, transition->ledger, &unused) != STATUS_OK) {
		error_clear(&unused);
		return;
	}
	if (remote_begin(survey->process, patience, &remote, &unused) == STATUS_OK)
		(void)!traps_ignore(&remote, transition->ledger->scratch, &transition->traps, &unused);
	end(transition, &remote);
	/* A stent that was killed had changed it: what is there now isn't what was, which was the default action (SIG_DFL is 0). */
	if (transition->ledger->traps_ignored && !transition->traps.changed)
		transition->traps = (struct traps){ .changed = true };
	error_clear(&unused);
}

void trapping_end(struct transition *transition)
{
	const struct patience patience = patience_for(5000, NULL);
	const struct survey *survey = transition->survey;
	struct error unused = { 0 };
	struct remote remote;

	if (!transition->traps.changed)
		return;
	transition->traps_tried = false;
	if (remote_begin(survey->process, &patience, &remote, &unused) == STATUS_OK &&
	    traps_restore(&remote, transition->ledger->scratch, &transition->traps, &unused) == STATUS_OK) {
		transition->traps.changed = transition->ledger->traps_ignored = false;
		(void)!ledger_store_flags(survey->process, transition->ledger, &unused);
	}
	end(transition, &remote);
	error_clear(&unused);
}
