/*
 * upgrade.c: bring every process to the builds that are on disk now.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/outcomes.h"
#include "cmd/upgrade.h"

#define ROUNDS 5	/* a program may fork all the time */

static const char usage[] =
	"Usage: stent upgrade [--dry-run] [--json] [--timeout SECONDS] [--only IMAGE] [--exclude IMAGE]\n"
	"Finds every process that runs a program or library which has been replaced on disk, as a package manager does it,\n"
	"compares the build that it runs with the one that is there now, and patches it. The old build is read through the\n"
	"process, the new one from the process's own file system, so containers and chroots get what is theirs. What can't be\n"
	"patched is listed with the reason: it needs a restart. Process 1 and stent itself are left alone.\n"
	"\n"
	"  -n, --dry-run          find and compare, and say what would be patched; touch no process\n"
	"  -j, --json             print the result as one JSON object\n"
	"  -t, --timeout SECONDS  how long to wait in each process for all threads to be out of the old functions (30)\n"
	"      --only IMAGE       patch only images of that name, soname or path; * and ? stand for any characters. May be\n"
	"                         given several times\n"
	"      --exclude IMAGE    leave these alone; likewise\n"
	"      --replace          take out patches of the same image that stent upgrade has not made; its own are replaced\n"
	"                         by newer ones anyway\n"
	"  -h, --help             print this text\n"
	"\n"
	"Exit codes:\n"
	"  0  done: every process that ran an old build has been patched\n"
	"  1  there was an error in some process, or the processes can't be listed\n"
	"  2  some can't be patched, and need a restart; the reasons were printed. All others have been patched\n"
	"  3  nothing to do: no process runs a build that was replaced, or all that do are patched\n"
	"  4  gave up waiting in some process, and took everything back there. All others have been patched\n"
	"The first of 1, 2, 4, 0 that holds for some process. SIGINT (Ctrl-C), SIGTERM and SIGHUP: what is done stays done.\n";

enum { OPTION_ONLY = 256, OPTION_EXCLUDE, OPTION_REPLACE };

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'j' },
	{ "timeout", required_argument, NULL, 't' },
	{ "only", required_argument, NULL, OPTION_ONLY },
	{ "exclude", required_argument, NULL, OPTION_EXCLUDE },
	{ "replace", no_argument, NULL, OPTION_REPLACE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* False: all is said, and *code is the exit code. */
static bool parse(int argc, char **argv, struct upgrade *upgrade, int *code)
{
	struct error error = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "njt:h", options, NULL)) != -1)
		switch (option) {
		case 'n': upgrade->dry_run = true; break;
		case 'j': upgrade->json = true; break;
		case 't':
			if (live_parse_timeout(optarg, &upgrade->options.timeout, &error) == STATUS_OK)
				break;
			*code = cmd_report(STATUS_ERROR, &error);
			return false;
		case OPTION_ONLY: *array_add(&upgrade->only) = optarg; break;
		case OPTION_EXCLUDE: *array_add(&upgrade->except) = optarg; break;
		case OPTION_REPLACE: upgrade->replace = true; break;
		case 'h':
			fputs(usage, stdout);
			*code = STATUS_OK;
			return false;
		default:
			*code = cmd_misused_option("upgrade");
			return false;
		}
	if (optind == argc)
		return true;
	*code = cmd_misused("upgrade", "takes no arguments but options");
	return false;
}

/* Again for those that were forked or started meanwhile, until a look finds no more of them. */
static enum status run(struct upgrade *upgrade, struct error *error)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		json_t *processes = NULL;
		enum status status = upgrade_scan(upgrade, &processes, error);
		bool found = status == STATUS_OK && json_array_size(processes);

		if (found) {
			upgrade_compare(upgrade, processes);
			upgrade_apply(upgrade, processes);
		}
		json_decref(processes);
		if (status != STATUS_OK)
			return status;
		if (!upgrade->seen && json_array_size(upgrade->unseen))
			return fail(error, "no process can be looked at; the first: %s",
				    json_string_value(json_array_get(json_object_get(json_array_get(upgrade->unseen, 0), "why"), 0)));
		if (!found || upgrade->dry_run)
			break;
	}
	outcomes_sort(upgrade->outcomes);
	return STATUS_OK;
}

static void free_upgrade(struct upgrade *upgrade)
{
	for (size_t i = 0; i < upgrade->pairs.count; i++) {
		struct upgrade_pair *pair = &upgrade->pairs.item[i];

		free(pair->key);
		free(pair->image);
		free(pair->old_version);
		free(pair->new_version);
		array_free(&pair->sources);
		json_decref(pair->why);
		bundle_free(&pair->bundle);
	}
	live_kin_free(upgrade->options.kin);
	array_free(&upgrade->pairs);
	array_free(&upgrade->only);
	array_free(&upgrade->except);
	json_decref(upgrade->unseen);
	json_decref(upgrade->tried);
	json_decref(upgrade->outcomes);
}

int cmd_upgrade(int argc, char **argv)
{
	struct upgrade upgrade = { .options = live_default_options(), .tried = json_object(), .outcomes = json_array() };
	struct error error = { 0 };
	enum status status;
	int code;

	upgrade.options.kin = live_kin_new(true);
	if (parse(argc, argv, &upgrade, &code)) {
		live_hold_signals();
		status = upgrade.dry_run ? STATUS_OK : policy_check_upgrade(&error);
		if (status == STATUS_OK)
			status = run(&upgrade, &error);
		if (status == STATUS_OK)
			status = upgrade_print(&upgrade, &error);
		if (status == STATUS_OK)
			status = outcomes_status(upgrade.outcomes);
		code = live_finish(status, &error);
	}
	free_upgrade(&upgrade);
	return code;
}
