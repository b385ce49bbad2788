#include "cmd/outcomes.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/everywhere.h"

const char *outcome_name(enum status status)
{
	static const char *const names[] = {
		[STATUS_OK] = "done",
		[STATUS_ERROR] = "error",
		[STATUS_REFUSED] = "refused",
		[STATUS_NOTHING] = "nothing",
		[STATUS_GAVE_UP] = "gave up",
	};

	return names[status];
}

json_t *outcome_without(pid_t pid, const char *comm, enum status status, struct error *error)
{
	json_t *outcome = json_object();

	json_object_set_new(outcome, "pid", json_integer(pid));
	json_object_set_new(outcome, "comm", json_string(comm));
	json_object_set_new(outcome, "result", json_string(outcome_name(status)));
	json_object_set_new(outcome, "why", everywhere_lines(error));
	return outcome;
}

static json_t *search_of(const struct live_report *report)
{
	json_t *search = json_object();

	json_object_set_new(search, "ns", json_integer((json_int_t)report->searching));
	json_object_set_new(search, "bytes", json_integer((json_int_t)report->searched));
	json_object_set_new(search, "why", json_string(report->searched_for));
	return search;
}

char *outcome_search_text(uint64_t paused, uint64_t ns, uint64_t bytes, const char *why, bool always)
{
	if (!why || (!always && ns < paused / 4))
		return NULL;
	return text_format("%.2f ms of that, %.1f MiB, for suspended coroutines: %s", (double)ns / 1e6, (double)bytes / (1 << 20), why);
}

json_t *outcome_make(const struct process *process, enum status status, const struct live_report *report, struct error *error)
{
	json_t *outcome = outcome_without(process->pid, process->comm, status, error), *kept = json_array();

	for (size_t i = 0; i < report->kept.count; i++)
		json_array_append_new(kept, json_string(report->kept.item[i]));
	json_object_set_new(outcome, "kept", kept);
	if (report->image)
		json_object_set_new(outcome, "image", json_string(report->image));
	if (report->name)
		json_object_set_new(outcome, "patch", json_string(report->name));
	json_object_set_new(outcome, "paused_ns", json_integer((json_int_t)(report->paused + report->reclaiming)));
	if (report->searched_for)
		json_object_set_new(outcome, "search", search_of(report));
	json_object_set_new(outcome, "borrowed_ns", json_integer((json_int_t)report->borrowed));
	json_object_set_new(outcome, "threads", json_integer((json_int_t)report->threads));
	return outcome;
}

bool outcome_is(const json_t *outcome, enum status status)
{
	return !strcmp(everywhere_text(outcome, "result"), outcome_name(status));
}

size_t outcomes_count(const json_t *outcomes, enum status status)
{
	const json_t *outcome;
	size_t count = 0;

	for (size_t index = 0; (outcome = json_array_get(outcomes, index)); index++)
		count += outcome_is(outcome, status);
	return count;
}

enum status outcomes_status(const json_t *outcomes)
{
	static const enum status order[] = { STATUS_ERROR, STATUS_REFUSED, STATUS_GAVE_UP, STATUS_OK };

	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++)
		if (outcomes_count(outcomes, order[i]))
			return order[i];
	return STATUS_NOTHING;
}

struct ranked {
	json_t *outcome;
	json_int_t pid;
	size_t index;
};

static int compare_ranked(const void *one, const void *other)
{
	const struct ranked *a = one, *b = other;

	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

void outcomes_sort(json_t *outcomes)
{
	size_t count = json_array_size(outcomes);
	struct ranked *ranked = memory_zeroed(count, sizeof(*ranked));

	for (size_t i = 0; i < count; i++) {
		json_t *outcome = json_incref(json_array_get(outcomes, i));

		ranked[i] = (struct ranked){ outcome, json_integer_value(json_object_get(outcome, "pid")), i };
	}
	qsort(ranked, count, sizeof(*ranked), compare_ranked);
	json_array_clear(outcomes);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(outcomes, ranked[i].outcome);
	free(ranked);
}
