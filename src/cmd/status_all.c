/*
 * status_all.c: stent status of the whole machine. No process is stopped.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/everywhere.h"
#include "cmd/status.h"

#define LIMIT 10000u	/* milliseconds for one process: some are enough, unless somebody makes stent wait on purpose */

/* In a child. */
static void look_at(void *context, const struct process *process, struct survey *survey, json_t *answer)
{
	const struct everywhere *everywhere = context;
	json_t *patches;

	(void)process;
	if (!survey->ledgers.count && !survey->damaged && !everywhere->tree)
		return;
	patches = json_array();
	for (size_t i = 0; i < survey->ledgers.count; i++)
		json_array_append_new(patches, status_patch_object(&(struct patch_status){ .ledger = &survey->ledgers.item[i] }));
	json_object_set_new(answer, "unreadable", json_integer((json_int_t)survey->damaged));
	json_object_set_new(answer, "patches", patches);
}

static bool holds_some(const json_t *process)
{
	return json_array_size(json_object_get(process, "patches")) || json_integer_value(json_object_get(process, "unreadable"));
}

static void print_rows(const json_t *process, size_t *count)
{
	int pid = (int)json_integer_value(json_object_get(process, "pid"));
	const char *comm = everywhere_text(process, "comm");
	json_int_t unreadable = json_integer_value(json_object_get(process, "unreadable"));
	const json_t *patch;

	for (size_t index = 0; (patch = json_array_get(json_object_get(process, "patches"), index)); index++) {
		printf("%7d  %-15s  %-10s  %-24s  %s\n", pid, comm, everywhere_text(patch, "state"), everywhere_text(patch, "image"),
		       everywhere_text(patch, "name"));
		++*count;
	}
	if (!holds_some(process))
		printf("%7d  %-15s  no patch\n", pid, comm);
	if (unreadable)
		printf("%7d  %-15s  %-10s  %lld ledger%s that can't be read: see stent status -p %d\n", pid, comm, "damaged",
		       (long long)unreadable, unreadable == 1 ? "" : "s", pid);
}

static void print_table(const struct everywhere *everywhere)
{
	size_t processes = json_array_size(everywhere->found), patches = 0, holders = 0;
	const json_t *process;

	if (processes)
		printf("%7s  %-15s  %-10s  %-24s  %s\n", "PID", "PROCESS", "STATE", "IMAGE", "PATCH");
	for (size_t index = 0; (process = json_array_get(everywhere->found, index)); index++) {
		holders += holds_some(process);
		print_rows(process, &patches);
	}
	printf("%s%zu patch%s in %zu of %zu processes\n", processes ? "\n" : "", patches, patches == 1 ? "" : "es", holders,
	       everywhere->seen);
	everywhere_print_unseen(everywhere);
}

static enum status print_json(const struct everywhere *everywhere, struct error *error)
{
	json_t *object = json_object();

	json_object_set(object, "processes", everywhere->found);
	json_object_set_new(object, "seen", json_integer((json_int_t)everywhere->seen));
	json_object_set(object, "unseen", everywhere->unseen);
	return cmd_print_json(object, error);
}

enum status status_all(pid_t tree, bool json, struct error *error)
{
	struct everywhere everywhere = { .look = look_at, .tree = tree, .limit = LIMIT, .progress = true };
	enum status status;

	everywhere.context = &everywhere;
	status = everywhere_look(&everywhere, error);
	if (status == STATUS_OK && json)
		status = print_json(&everywhere, error);
	else if (status == STATUS_OK)
		print_table(&everywhere);
	everywhere_free(&everywhere);
	return status;
}
