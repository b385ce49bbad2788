/*
 * status.c: which patches a process holds, from the ledgers in its memory. The process is stopped only to see how far a
 * transition has come. status_all.c has all processes.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cmd/cmd.h"
#include "cmd/status.h"
#include "live/survey.h"

static const char usage[] =
	"Usage: stent status [--json] [-p PID [--tree]]\n"
	"Lists the patches in all processes, or more about those in one, and in which state each is. No process is stopped; but\n"
	"the one that is named, if a patch in it is between the versions: then for a moment, to see which thread runs\n"
	"which, and what those that are behind wait for.\n"
	"\n"
	"  -p, --pid PID  only this process\n"
	"      --tree     this process and all that descend from it: a line for each patch, and for who has none\n"
	"  -j, --json     print the same as one JSON object\n"
	"  -h, --help     print this text\n"
	"\n"
	"States:\n"
	"  active      all calls lead to the new code\n"
	"  reverted    all calls lead to the old code again; memory is kept\n"
	"  prepared    written, but nothing leads there: a stent that works on it now, or that was killed\n"
	"  installing  threads move to the new code, each when it is outside of the old\n"
	"  reverting   the same in the other direction. 'stent apply' and 'stent revert' go on with both\n"
	"  replaced    a later patch has taken its place (apply --replace), and gives it back when it is reverted\n"
	"  lost        the program has unmapped the library that was patched\n"
	"\n"
	"Exit codes: 0 done (also when there is no patch, and when some processes can't be looked at, which are counted);\n"
	"1 there is no such process, or no permission; 2 the process named can't have patches: it is of another machine, of\n"
	"the kernel, or stent itself.\n";

enum { OPTION_TREE = 256 };

static const struct option options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "tree", no_argument, NULL, OPTION_TREE },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void format_time(uint64_t seconds, char *out, size_t room)
{
	time_t moment = (time_t)seconds;
	struct tm local;

	if (!localtime_r(&moment, &local) || !strftime(out, room, "%Y-%m-%d %H:%M:%S", &local))
		snprintf(out, room, "?");
}

static void print_progress(const struct patch_status *patch)
{
	size_t there = 0;

	if (patch->unknown)
		printf("  threads    not known: %s\n", patch->unknown);
	for (size_t i = 0; i < patch->progress.count; i++)
		there += (patch->progress.item[i].version == VERSION_NEW) == (patch->ledger->state == LEDGER_INSTALLING);
	if (patch->progress.count)
		printf("  threads    %zu of %zu have arrived\n", there, patch->progress.count);
	for (size_t i = 0; i < patch->progress.count; i++) {
		const struct thread_progress *thread = &patch->progress.item[i];

		if (*thread->why)
			printf("    thread %d (%s) runs the %s version: %s\n", thread->tid, thread->comm, status_version_name(thread->version),
			       thread->why);
	}
}

static void print_patch(const struct patch_status *patch)
{
	const struct ledger *ledger = patch->ledger;
	size_t redirected = ledger_redirected(ledger);
	char id[2 * BUILD_ID_MAX + 5], moment[64];

	format_time(ledger->applied, moment, sizeof(moment));
	printf("%s: %s%s%s\n", ledger->name, ledger_condition(ledger),
	       ledger->state == LEDGER_REVERTED || ledger->lost ? ", memory kept" : "",
	       ledger->forced ? ", forced: threads were still in the other version" : "");
	if (*ledger->description)
		printf("  %s\n", ledger->description);
	for (size_t i = 0; i < ledger->images.count; i++) {
		const struct ledger_image *image = &ledger->images.item[i];

		printf("  image      %s, build-id %s%s\n", image->name, build_id_text(&image->old_id, id),
		       image->lost && !ledger->lost ? ", lost" : "");
		if (*image->old_version || *image->new_version)
			printf("  versions   %s -> %s\n", image->old_version, image->new_version);
	}
	printf("  functions  %zu redirected, %zu added\n", redirected, ledger->functions.count - redirected);
	printf("  memory     %" PRIu64 " KiB at %#" PRIx64 "\n", status_mapped_size(ledger) / 1024, ledger->images.item[0].region.start);
	printf("  since      %s, by %s\n", moment, ledger->tool);
	print_progress(patch);
}

/* A transition may be waiting for the very moment: threads are stopped to see, if nobody else has them. */
static void read_patch(struct survey *survey, struct ledger *ledger, struct patch_status *patch)
{
	struct error error = { 0 };

	*patch = (struct patch_status){ .ledger = ledger };
	if (progress_is_on(ledger) && progress_look(survey, ledger, &patch->progress, &error) != STATUS_OK)
		patch->unknown = text_copy(error.text ? error.text : "");
	error_clear(&error);
}

static void free_patch(struct patch_status *patch)
{
	array_free(&patch->progress);
	free(patch->unknown);
}

static enum status print_json(const struct process *process, struct survey *survey, struct error *error)
{
	json_t *object = json_object(), *patches = json_array();

	for (size_t i = 0; i < survey->ledgers.count; i++) {
		struct patch_status patch;

		read_patch(survey, &survey->ledgers.item[i], &patch);
		json_array_append_new(patches, status_patch_object(&patch));
		free_patch(&patch);
	}
	json_object_set_new(object, "pid", json_integer(process->pid));
	json_object_set_new(object, "comm", json_string(process->comm));
	json_object_set_new(object, "unreadable", json_integer((json_int_t)survey->damaged));
	json_object_set_new(object, "patches", patches);
	return cmd_print_json(object, error);
}

static void print_text(const struct process *process, struct survey *survey)
{
	if (!survey->ledgers.count && !survey->damaged)
		printf("process %d (%s) holds no patch\n", process->pid, process->comm);
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		struct patch_status patch;

		read_patch(survey, &survey->ledgers.item[i], &patch);
		print_patch(&patch);
		free_patch(&patch);
	}
	if (survey->damaged)
		printf("%zu ledger%s can't be read; at %#" PRIx64 ": %s\n", survey->damaged, survey->damaged == 1 ? "" : "s",
		       survey->ledgers.damaged_at, survey->ledgers.why);
}

static enum status print_status(pid_t pid, bool json, struct error *error)
{
	struct survey survey = { 0 };
	struct process process;
	enum status status = process_open(pid, PROCESS_LOOK, &process, error);

	if (status == STATUS_OK)
		status = survey_read(&process, &survey, error);
	if (status == STATUS_OK && json)
		status = print_json(&process, &survey, error);
	else if (status == STATUS_OK)
		print_text(&process, &survey);
	survey_free(&survey);
	process_close(&process);
	return status;
}

int cmd_status(int argc, char **argv)
{
	struct error error = { 0 };
	bool json = false, tree = false;
	pid_t pid = 0;
	int option;

	while ((option = getopt_long(argc, argv, "p:jh", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			if (cmd_parse_pid(optarg, &pid, &error) != STATUS_OK)
				return cmd_report(STATUS_ERROR, &error);
			break;
		case OPTION_TREE:
			tree = true;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return cmd_misused_option("status");
		}
	}
	if (optind != argc)
		return cmd_misused("status", "takes no arguments but options");
	if (tree && !pid)
		return cmd_misused("status", "--tree needs the process at the top (-p)");
	return cmd_report(pid && !tree ? print_status(pid, json, &error) : status_all(pid, json, &error), &error);
}
