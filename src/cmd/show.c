/*
 * show.c: what a person must know to decide about a patch comes first, then a line per function.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/listing.h"
#include "cmd/show_json.h"
#include "cmd/summary.h"

static const char usage[] =
	"Usage: stent show [--json] [--asm {--old IMAGE | -p PID}] FILE\n"
	"Says what a patch changes: first what a person must know to decide about it, then, for each function that\n"
	"differs, what changed in it, why, and what is done about it; of a patch for several images it says so\n"
	"for each. No process is touched.\n"
	"\n"
	"  -a, --asm        also print old and new code side by side. The old code is not in the patch:\n"
	"  -o, --old IMAGE  take it from this file, the old build\n"
	"  -p, --pid PID    take it from the file that this process has mapped, even if its name is gone\n"
	"  -j, --json       print the same as one JSON object\n"
	"  -h, --help       print this text\n"
	"\n"
	"What is done about a function:\n"
	"  redirect  calls of the old function lead to the new one\n"
	"  add       new code that only new code reaches\n"
	"  startup   runs at start-up only, so a running process does not profit: left alone\n"
	"  noise     behaves the same (only line numbers of messages moved): left alone\n"
	"\n"
	"What changed in it:\n"
	"  code          instructions\n"
	"  callees       the same instructions call or refer to something else\n"
	"  constant      only numbers\n"
	"  line          only line numbers of messages\n"
	"  string        only the text of strings that it uses\n"
	"  data          only other read-only data that it uses\n"
	"  displacement  only offsets into structures, whose layout may have moved\n"
	"  new           it is not in the old image\n"
	"\n"
	"Side by side, a line is marked where the instruction is another one (|), only old (<) or only new (>);\n"
	"addresses are those of the old and of the new image, and behind ; stands what is referred to.\n"
	"\n"
	"Exit codes: 0 done; 1 a file cannot be read, is damaged, is not a patch, or is not the old build;\n"
	"2 the process can't be looked at.\n";

static uint64_t total_size(const struct range *ranges, size_t count)
{
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += ranges[i].end - ranges[i].start;
	return size;
}

/* "0x401100 72": where it is, and bytes of code. */
static void print_place(uint64_t entry, const struct range *ranges, size_t count)
{
	char place[40] = "-";

	if (count)
		snprintf(place, sizeof(place), "0x%" PRIx64 " %" PRIu64, entry, total_size(ranges, count));
	printf("  %-18s", place);
}

static void print_functions(const struct patch *patch, enum action action)
{
	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];

		if (function->action != action)
			continue;
		printf("%-8s  %-12s", action_name(action), change_name(function->change));
		print_place(function->old_entry, function->old_ranges.item, function->old_ranges.count);
		print_place(function->new_entry, function->new_ranges.item, function->new_ranges.count);
		printf("  %s%s%s\n", function->name, function->detail ? ": " : "",
		       function->detail ? function->detail : "");
	}
}

/* What the patch does comes before what it leaves alone. */
static void print_patch(const struct patch *patch, bool alone)
{
	if (!alone)
		printf("\n%s\n", patch->image);
	if (patch->functions.count)
		printf("\n%-8s  %-12s  %-18s  %-18s  %s\n", "ACTION", "CHANGE", "OLD, BYTES", "NEW, BYTES", "FUNCTION");
	for (unsigned int action = 0; action < ACTION_COUNT; action++)
		print_functions(patch, (enum action)action);
}

static void print_listings(const struct patch *patch, const struct old_code *old)
{
	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];
		struct listing listing;

		if (!function->new_ranges.count)
			continue;
		printf("\n%s: %s\n", function->name, change_name(function->change));
		listing_make(patch, function, old, &listing);
		listing_print(&listing);
		listing_free(&listing);
	}
}

struct arguments {
	const char *file, *old;
	pid_t pid;
	bool json, listings;
};

/* Returns -1 when all is read, else the exit code. */
static int parse(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
		{ "asm", no_argument, NULL, 'a' },
		{ "old", required_argument, NULL, 'o' },
		{ "pid", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct error error = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "ao:p:jh", options, NULL)) >= 0) {
		switch (option) {
		case 'a':
			arguments->listings = true;
			break;
		case 'o':
			arguments->old = optarg;
			break;
		case 'p':
			if (cmd_parse_pid(optarg, &arguments->pid, &error) != STATUS_OK)
				return cmd_report(STATUS_ERROR, &error);
			break;
		case 'j':
			arguments->json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return cmd_misused_option("show");
		}
	}
	if (argc - optind != 1)
		return cmd_misused("show", "show takes one patch file");
	if (arguments->old && arguments->pid)
		return cmd_misused("show", "--old and --pid exclude each other");
	if (arguments->listings != (arguments->old || arguments->pid))
		return cmd_misused("show", arguments->listings ? "--asm needs the old code, which is not in a patch: --old IMAGE or --pid PID"
							       : "--old and --pid are for --asm");
	arguments->file = argv[optind];
	return -1;
}

static enum status read_old(const struct arguments *arguments, const struct patch *patch, struct old_code *old, struct error *error)
{
	if (arguments->old)
		return old_code_read(arguments->old, patch, old, error);
	return old_code_read_mapped(arguments->pid, patch, old, error);
}

/* Of a patch for several images, one at least must be what is named; `old` has room for all. *error is empty before. */
static enum status read_all_old(const struct arguments *arguments, const struct bundle *bundle, struct old_code *old, bool *known,
				struct error *error)
{
	struct error reasons = { 0 };
	enum status status = STATUS_OK;
	bool some = false;

	for (size_t i = 0; i < bundle->count; i++) {
		status = read_old(arguments, &bundle->item[i], &old[i], &reasons);
		known[i] = status == STATUS_OK;
		some |= known[i];
	}
	if (!some) {
		*error = reasons;
		return status;
	}
	error_clear(&reasons);
	return STATUS_OK;
}

static void print_bundle(const struct bundle *bundle, const struct old_code *old, const bool *known)
{
	summary_print(bundle);
	for (size_t i = 0; i < bundle->count; i++) {
		print_patch(&bundle->item[i], bundle->count == 1);
		if (known[i])
			print_listings(&bundle->item[i], &old[i]);
	}
}

int cmd_show(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct old_code *old;
	struct error error = { 0 };
	struct bundle bundle;
	enum status status;
	bool *known;
	int code = parse(argc, argv, &arguments);

	if (code >= 0)
		return code;
	status = bundle_read(arguments.file, &bundle, &error);
	old = memory_zeroed(bundle.count, sizeof(*old));
	known = memory_zeroed(bundle.count, sizeof(*known));
	if (!status && arguments.listings)
		status = read_all_old(&arguments, &bundle, old, known, &error);
	if (!status && arguments.json)
		status = show_json(&bundle, old, known, &error);
	else if (!status)
		print_bundle(&bundle, old, known);
	for (size_t i = 0; i < bundle.count; i++)
		old_code_free(&old[i]);
	free(old);
	free(known);
	bundle_free(&bundle);
	return cmd_report(status, &error);
}
