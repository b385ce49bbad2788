#include "cmd/everywhere.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cmd/progress_bar.h"
#include "process/relatives.h"

#define SHOWN 5		/* processes that could not be looked at */

struct scan {
	struct everywhere *everywhere;
	struct tids pids;
	struct crew crew;
	json_t **answer;	/* of each pid; NULL: none yet */
	struct progress_bar bar;
};

json_t *everywhere_lines(struct error *error)
{
	json_t *lines = json_array();
	char *rest = error->text, *line;

	while ((line = strsep(&rest, "\n")))
		json_array_append_new(lines, json_string(utf8_make_printable(line)));
	error_clear(error);
	return lines;
}

const char *everywhere_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* In a child. */
static char *look_at(void *context, size_t job)
{
	struct scan *scan = context;
	json_t *answer = json_object();
	struct error error = { 0 };
	struct process process;
	struct survey survey;
	enum machine_sight sight = machine_look(scan->pids.item[job], &process, &survey, &error);
	char *text = NULL;

	json_object_set_new(answer, "pid", json_integer(process.pid));
	json_object_set_new(answer, "comm", json_string(process.comm));
	if (sight == MACHINE_SEEN)
		scan->everywhere->look(scan->everywhere->context, &process, &survey, answer);
	else if (sight == MACHINE_UNSEEN)
		json_object_set_new(answer, "why", everywhere_lines(&error));
	if (sight != MACHINE_NONE)
		text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	survey_free(&survey);
	process_close(&process);
	return text ? text : text_copy("");
}

/* No answer: the process's name is known from elsewhere, and that it is still there. */
static json_t *describe_unseen(const struct scan *scan, pid_t pid, enum crew_end end)
{
	char comm[COMM_MAX], *text = crew_end_text(&scan->crew, end);
	json_t *answer = NULL, *why = json_array();
	struct error error = { 0 };

	process_comm_of(pid, comm);
	(void)error_add(&error, STATUS_ERROR, "process %d (%s): the look at it %s", pid, comm, text);
	json_decref(why);
	why = everywhere_lines(&error);
	answer = json_pack("{s:i, s:s, s:o}", "pid", (int)pid, "comm", comm, "why", why);
	free(text);
	return answer;
}

static void take_answer(void *context, size_t job, enum crew_end end, const char *text)
{
	struct scan *scan = context;

	if (end == CREW_DONE)
		scan->answer[job] = *text ? json_loads(text, 0, NULL) : NULL;
	else
		scan->answer[job] = describe_unseen(scan, scan->pids.item[job], end);
	progress_bar_step(&scan->bar);
}

/* By pid, whatever the order in which the answers came. */
static void sort_answers(struct scan *scan)
{
	struct everywhere *everywhere = scan->everywhere;

	for (size_t i = 0; i < scan->pids.count; i++) {
		json_t *answer = scan->answer[i];

		if (!answer)
			continue;
		if (json_object_get(answer, "why")) {
			json_array_append(everywhere->unseen, answer);
		} else {
			everywhere->seen++;
			if (json_object_size(answer) > 2)
				json_array_append(everywhere->found, answer);
		}
		json_decref(answer);
	}
}

/* Only those that descend from a process, and that one. */
static enum status keep_tree(struct tids *pids, pid_t tree, struct error *error)
{
	struct relatives relatives = { 0 };
	size_t kept = 0;

	relatives_list(&relatives);
	for (size_t i = 0; i < pids->count; i++) {
		const struct relative *relative = relatives_find(&relatives, pids->item[i]);

		if (relative && (relative->pid == tree || relatives_descends(&relatives, relative, tree)))
			pids->item[kept++] = relative->pid;
	}
	pids->count = kept;
	array_free(&relatives);
	return kept ? STATUS_OK : fail(error, "process %d: there is no such process", tree);
}

enum status everywhere_look(struct everywhere *everywhere, struct error *error)
{
	struct scan scan = { .everywhere = everywhere };
	enum status status = machine_list(&scan.pids, error);

	if (status == STATUS_OK && everywhere->tree)
		status = keep_tree(&scan.pids, everywhere->tree, error);

	everywhere->seen = 0;
	everywhere->found = json_array();
	everywhere->unseen = json_array();
	scan.crew = (struct crew){
		.work = look_at,
		.take = take_answer,
		.context = &scan,
		.limit = everywhere->limit,
		.cancelled = everywhere->cancelled,
	};
	if (status == STATUS_OK) {
		scan.answer = memory_zeroed(scan.pids.count, sizeof(*scan.answer));
		progress_bar_start(&scan.bar, "looking at processes", everywhere->progress ? scan.pids.count : 0);
		crew_run(&scan.crew, scan.pids.count);
		progress_bar_end(&scan.bar);
		sort_answers(&scan);
		free(scan.answer);
	}
	array_free(&scan.pids);
	return status;
}

void everywhere_free(struct everywhere *everywhere)
{
	json_decref(everywhere->found);
	json_decref(everywhere->unseen);
}

void everywhere_print_unseen(const struct everywhere *everywhere)
{
	const json_t *process, *why;

	fflush(stdout);
	for (size_t index = 0; (process = json_array_get(everywhere->unseen, index)); index++) {
		if (index == SHOWN) {
			fprintf(stderr, "stent: ... and %zu more processes could not be looked at\n",
				json_array_size(everywhere->unseen) - SHOWN);
			break;
		}
		for (size_t line = 0; (why = json_array_get(json_object_get(process, "why"), line)); line++)
			fprintf(stderr, "stent: not looked at: %s\n", json_string_value(why));
	}
}
