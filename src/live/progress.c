#include "live/progress.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "live/transiting.h"

#define STOP_TIME 200u		/* milliseconds that all threads may take to stop */

bool progress_is_on(const struct ledger *ledger)
{
	return !ledger->lost && ledger_half_done(ledger);
}

static void look_at(const struct transition *transition, const struct versions *versions, const struct maps *maps,
		    const struct thread *thread, struct progress *progress)
{
	struct thread_progress *out = array_add(progress);
	struct stack_result result = { .verdict = STACK_FREE };
	struct task task;

	*out = (struct thread_progress){ .tid = thread->tid };
	if (process_task(transition->survey->process, thread->tid, &task))
		memcpy(out->comm, task.comm, sizeof(out->comm));
	if (thread->state != THREAD_STOPPED) {
		strcpy(out->why, "it does not stop");
		return;
	}
	out->version = versions_of(transition->ledger, versions, registers_thread_pointer(&thread->registers));
	if (out->version == transition->to)
		return;
	stack_check_thread(&transition->leaving, maps, thread, &result);
	memcpy(out->why, result.text, sizeof(out->why));
	utf8_make_printable(out->why);
}

static void look_at_all(const struct transition *transition, const struct versions *versions, const struct maps *maps,
			struct progress *progress)
{
	for (size_t i = 0; i < transition->threads.count; i++)
		if (transition->threads.item[i].state != THREAD_ENDED)
			look_at(transition, versions, maps, &transition->threads.item[i], progress);
}

/* Another stent has the threads: what it has written down. */
static enum status read_notes(const struct survey *survey, const struct ledger *ledger, struct progress *progress, struct error *error)
{
	enum version to = ledger->state == LEDGER_INSTALLING ? VERSION_NEW : VERSION_OLD;
	struct tids tids = { 0 };
	struct notes notes;
	struct task task;

	if (!notes_read(survey->process, ledger, &notes))
		return fail(error, "process %d (%s): its notes can't be read", survey->process->pid, survey->process->comm);
	(void)!process_tids(survey->process, &tids);
	for (size_t i = 0; i < tids.count; i++) {
		struct thread_progress *out;

		if (!process_task(survey->process, tids.item[i], &task) || task_ended(&task))
			continue;
		out = array_add(progress);
		*out = (struct thread_progress){ .tid = tids.item[i], .version = to };
		memcpy(out->comm, task.comm, sizeof(out->comm));
		for (uint32_t j = 0; j < notes.count; j++)
			if (notes.item[j].tid == tids.item[i]) {
				out->version = to == VERSION_NEW ? VERSION_OLD : VERSION_NEW;
				memcpy(out->why, notes.item[j].text, NOTE_TEXT);
			}
	}
	array_free(&tids);
	return STATUS_OK;
}

/* Is one of the threads under another's control? */
static bool is_traced(const struct process *process)
{
	struct tids tids = { 0 };
	bool traced = false;
	struct task task;

	(void)!process_tids(process, &tids);
	for (size_t i = 0; i < tids.count && !traced; i++)
		traced = process_task(process, tids.item[i], &task) && task.tracer;
	array_free(&tids);
	return traced;
}

enum status progress_look(struct survey *survey, struct ledger *ledger, struct progress *progress, struct error *error)
{
	const struct live_options none = { 0 };
	struct transition transition = {
		.survey = survey,
		.ledger = ledger,
		.to = ledger->state == LEDGER_INSTALLING ? VERSION_NEW : VERSION_OLD,
		.options = &none,
	};
	struct versions versions = { 0 };
	struct maps maps = { 0 };
	enum status status;

	*progress = (struct progress){ 0 };
	if (is_traced(survey->process))
		return read_notes(survey, ledger, progress, error);
	survey_unwind(survey);
	transition_prepare(&transition);
	status = threads_stop(survey->process, STOP_TIME, &transition.threads, error);
	if (status == STATUS_GAVE_UP)	/* of those that stopped there is something to say */
		status = STATUS_OK;
	if (status == STATUS_OK)
		status = maps_read(survey->process, &maps, error);
	if (status == STATUS_OK)
		status = versions_read(survey->process, ledger, &versions, error);
	if (status == STATUS_OK)
		look_at_all(&transition, &versions, &maps, progress);
	(void)threads_release(survey->process, &transition.threads);
	versions_free(&versions);
	maps_free(&maps);
	threads_free(&transition.threads);
	stack_check_free(&transition.leaving);
	stack_check_free(&transition.entries);
	return status;
}
