#include "cmd/live_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/everywhere.h"
#include "cmd/outcomes.h"
#include "cmd/progress_bar.h"

#define LOOK_LIMIT 10000u	/* milliseconds to look at one process */
#define CHANGE_LIMIT 60000u	/* and to change it, on top of its timeout */
#define ROUNDS 5		/* a program may fork all the time */

struct round {
	const struct live_all *all;
	struct live_options options;
	json_t *tried;		/* an object: its names are the pids that earlier rounds had */
	json_t *processes;	/* of this round: answers of everywhere_look() */
	json_t *outcomes;	/* of all rounds */
	struct crew crew;
	struct progress_bar bar;
	bool again;		/* not the first round */
};

/* In a child. */
static void look_at(void *context, const struct process *process, struct survey *survey, json_t *answer)
{
	const struct round *round = context;
	char name[16];

	snprintf(name, sizeof(name), "%d", process->pid);
	if (!json_object_get(round->tried, name) && round->all->concerns(round->all->what, survey))
		json_object_set_new(answer, "concerned", json_true());
}

/* In a child. */
static char *change(void *context, size_t job)
{
	const struct round *round = context;
	pid_t pid = (pid_t)json_integer_value(json_object_get(json_array_get(round->processes, job), "pid"));
	const char *spared = machine_spared(pid);
	struct live_report report = { 0 };
	struct error error = { 0 };
	struct process process;
	enum status status = process_open(pid, spared ? PROCESS_LOOK : PROCESS_CHANGE, &process, &error);
	json_t *outcome;
	char *answer;

	if (status == STATUS_OK)
		status = spared ? refuse(&error, "%s", spared) :
			 round->all->change(round->all->what, &process, &round->options, &report, &error);
	/* One that has ended needs nothing any more. */
	if (status == STATUS_ERROR && !process_alive(&process)) {
		error_clear(&error);
		status = STATUS_NOTHING;
	}
	outcome = outcome_make(&process, status, &report, &error);
	answer = json_dumps(outcome, JSON_COMPACT);
	json_decref(outcome);
	live_report_free(&report);
	process_close(&process);
	return answer ? answer : text_copy("");
}

static void take_outcome(void *context, size_t job, enum crew_end end, const char *answer)
{
	struct round *round = context;
	const json_t *process = json_array_get(round->processes, job);
	json_t *outcome = end == CREW_DONE ? json_loads(answer, 0, NULL) : NULL;

	if (!outcome) {
		char *why = crew_end_text(&round->crew, end);
		pid_t pid = (pid_t)json_integer_value(json_object_get(process, "pid"));
		const char *comm = everywhere_text(process, "comm");
		struct error error = { 0 };

		(void)error_add(&error, STATUS_ERROR, "process %d (%s): the work on it %s", pid, comm, why);
		outcome = outcome_without(pid, comm, STATUS_ERROR, &error);
		free(why);
	}
	/* A child that was forked since has what its parent had: that is not worth a line. */
	if (!round->again || strcmp(everywhere_text(outcome, "result"), outcome_name(STATUS_NOTHING)) != 0)
		json_array_append(round->outcomes, outcome);
	json_decref(outcome);
	progress_bar_step(&round->bar);
}

static void change_all(struct round *round)
{
	const struct live_options *options = &round->options;
	size_t count = json_array_size(round->processes);
	const json_t *process;

	round->crew = (struct crew){
		.work = change,
		.take = take_outcome,
		.context = round,
		.limit = options->timeout + CHANGE_LIMIT,
		.cancelled = options->cancelled,
	};
	progress_bar_start(&round->bar, "processes", count);
	crew_run(&round->crew, count);
	progress_bar_end(&round->bar);
	for (size_t index = 0; (process = json_array_get(round->processes, index)); index++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", (int)json_integer_value(json_object_get(process, "pid")));
		json_object_set_new(round->tried, name, json_true());
	}
}

static void print_search(const json_t *outcome)
{
	const json_t *search = json_object_get(outcome, "search");
	char *text = outcome_search_text((uint64_t)json_integer_value(json_object_get(outcome, "paused_ns")),
					 (uint64_t)json_integer_value(json_object_get(search, "ns")),
					 (uint64_t)json_integer_value(json_object_get(search, "bytes")),
					 json_string_value(json_object_get(search, "why")), false);

	if (text)
		printf("         searched %s\n", text);
	free(text);
}

static void print_outcome(const json_t *outcome, const char *done)
{
	const char *result = everywhere_text(outcome, "result");
	double paused = (double)json_integer_value(json_object_get(outcome, "paused_ns")) / 1e6;
	const json_t *line;

	printf("%7d  %-15s  %s", (int)json_integer_value(json_object_get(outcome, "pid")), everywhere_text(outcome, "comm"),
	       strcmp(result, "done") ? result : done);
	if (!strcmp(result, "done"))
		printf("  paused %.2f ms", paused);
	putchar('\n');
	if (!strcmp(result, "done"))
		print_search(outcome);
	for (size_t index = 0; (line = json_array_get(json_object_get(outcome, "why"), index)); index++)
		printf("         %s\n", json_string_value(line));
	for (size_t index = 0; (line = json_array_get(json_object_get(outcome, "kept"), index)); index++)
		printf("         %s\n", json_string_value(line));
}

static void print_outcomes(const json_t *outcomes, const struct live_all *all)
{
	const json_t *outcome;

	for (size_t index = 0; (outcome = json_array_get(outcomes, index)); index++)
		print_outcome(outcome, all->done);
	printf("%zu %s, %zu had nothing to do, %zu refused, %zu gave up, %zu failed\n", outcomes_count(outcomes, STATUS_OK), all->done,
	       outcomes_count(outcomes, STATUS_NOTHING), outcomes_count(outcomes, STATUS_REFUSED),
	       outcomes_count(outcomes, STATUS_GAVE_UP), outcomes_count(outcomes, STATUS_ERROR));
}

enum status live_all(const struct live_all *all, struct error *error)
{
	struct round round = { .all = all, .options = all->arguments->options, .tried = json_object(), .outcomes = json_array() };
	bool (*cancelled)(void) = all->arguments->options.cancelled;
	enum status status = STATUS_OK;

	round.options.kin = live_kin_new(true);
	for (unsigned int i = 0; i < ROUNDS && status == STATUS_OK; i++) {
		struct everywhere everywhere = { .look = look_at, .context = &round, .limit = LOOK_LIMIT, .cancelled = cancelled };
		size_t found;

		status = everywhere_look(&everywhere, error);
		round.again = i > 0;
		round.processes = everywhere.found;
		found = json_array_size(everywhere.found);
		if (status == STATUS_OK)
			change_all(&round);
		if (status == STATUS_OK && !round.again)
			everywhere_print_unseen(&everywhere);
		everywhere_free(&everywhere);
		if (!found)
			break;
	}
	if (status == STATUS_OK) {
		outcomes_sort(round.outcomes);
		print_outcomes(round.outcomes, all);
		status = outcomes_status(round.outcomes);
	}
	live_kin_free(round.options.kin);
	json_decref(round.outcomes);
	json_decref(round.tried);
	return status;
}
