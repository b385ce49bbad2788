#include "live/traces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live/stacks.h"
#include "process/threads.h"

/* Milliseconds that all threads may take to stop. The others stand still meanwhile; one that waits for its vfork child won't stop. */
#define STOP_TIME 100u

static struct thread_trace *add_thread(struct traces *traces, pid_t tid)
{
	struct thread_trace *thread = array_add(&traces->threads);
	struct task task;

	*thread = (struct thread_trace){ .tid = tid };
	if (process_task(traces->survey.process, tid, &task))
		memcpy(thread->comm, task.comm, sizeof(thread->comm));
	return thread;
}

static void trace_thread(struct traces *traces, const struct maps *maps, const struct thread *thread, struct unwind_trace *trace)
{
	struct thread_trace *out = add_thread(traces, thread->tid);
	struct range stack;
	const char *doubt;

	if (thread->state != THREAD_STOPPED) {
		snprintf(out->why, sizeof(out->why), "it does not stop");
		return;
	}
	if (thread->unreadable) {
		snprintf(out->why, sizeof(out->why), "it runs 32-bit code");
		return;
	}
	doubt = stack_find(&traces->survey, maps, thread, &stack);
	stack_walk(&traces->survey, maps, registers_arch(), thread, stack, doubt, NULL, trace);
	out->proven = unwind_trace_proven(trace);
	traces->proven += out->proven;
	if (!out->proven)
		stack_reason(maps, trace, out->why, sizeof(out->why));
	out->frames.item = memory_copy(trace->frames.item, trace->frames.count * sizeof(*trace->frames.item));
	out->frames.count = out->frames.room = trace->frames.count;
}

/* With all threads stopped: nothing here waits or prints. */
static void trace_all(struct traces *traces, const struct maps *maps, const struct threads *threads)
{
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));

	for (size_t i = 0; i < threads->count; i++)
		if (threads->item[i].state != THREAD_ENDED)
			trace_thread(traces, maps, &threads->item[i], trace);
	unwind_trace_free(trace);
	free(trace);
}

enum status traces_take(const struct process *process, struct traces *traces, struct error *error)
{
	struct threads threads = { 0 };
	struct maps maps = { 0 };
	enum status status;

	*traces = (struct traces){ 0 };
	status = survey_read(process, &traces->survey, error);
	if (status != STATUS_OK)
		return status;
	survey_unwind(&traces->survey);
	status = threads_stop(process, STOP_TIME, &threads, error);
	if (status == STATUS_GAVE_UP)	/* of those that stopped there is something to say */
		status = STATUS_OK;
	if (status == STATUS_OK)
		status = maps_read(process, &maps, error);
	if (status == STATUS_OK)
		trace_all(traces, &maps, &threads);
	traces->paused = threads_release(process, &threads);
	threads_free(&threads);
	maps_free(&maps);
	return status;
}

void traces_free(struct traces *traces)
{
	for (size_t i = 0; i < traces->threads.count; i++)
		array_free(&traces->threads.item[i].frames);
	array_free(&traces->threads);
	survey_free(&traces->survey);
}
