/*
 * show.c: what a person must know to decide about a patch comes first, then a line per function.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/show_json.h"
#include "patch/patch.h"

static const char usage[] =
	"Usage: stent show [--json] FILE\n"
	"Says what a patch changes: for which build of which image it is, how many functions differ and\n"
	"what is done about each, and what was left out. Reads the file only; no process is touched.\n"
	"\n"
	"  -j, --json  print the same as one JSON object\n"
	"  -h, --help  print this text\n"
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
	"Exit codes: 0 done; 1 the file cannot be read, is damaged, or is not a patch.\n";

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static uint64_t total_size(const struct range *ranges, size_t count)
{
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += ranges[i].end - ranges[i].start;
	return size;
}

static void print_build_id(const char *title, const struct build_id *id, const char *version)
{
	printf("  %-11s ", title);
	for (size_t i = 0; i < id->size; i++)
		printf("%02x", id->bytes[i]);
	printf("%s%s\n", *version ? "  " : "", version);
}

static size_t count_action(const struct patch *patch, enum action action)
{
	size_t count = 0;

	for (size_t i = 0; i < patch->functions.count; i++)
		count += patch->functions.item[i].action == action;
	return count;
}

static void print_changes(const struct patch *patch)
{
	size_t startup = count_action(patch, ACTION_STARTUP), noise = count_action(patch, ACTION_NOISE);
	const char *separator = "";

	printf("  %-11s %zu redirected, %zu added, %zu left out", "functions", count_action(patch, ACTION_REDIRECT),
	       count_action(patch, ACTION_ADD), startup + noise);
	if (startup + noise)
		printf(" (%zu run%s at start-up only, %zu only line numbers)", startup, startup == 1 ? "s" : "", noise);
	printf("\n  %-11s ", "changes");
	for (unsigned int change = 0; change < CHANGE_COUNT; change++) {
		size_t count = 0;

		for (size_t i = 0; i < patch->functions.count; i++)
			count += patch->functions.item[i].change == change;
		if (!count)
			continue;
		printf("%s%zu %s", separator, count, change_name((enum change)change));
		separator = ", ";
	}
	puts(*separator ? "" : "none");
}

static void print_summary(const struct patch *patch)
{
	const struct arch *arch = arch_by_machine(patch->machine);
	uint64_t bytes = 0;

	for (size_t i = 0; i < patch->segments.count; i++)
		bytes += patch->segments.item[i].size;
	printf("%s\n", patch->name);
	if (patch->description && *patch->description)
		printf("  %s\n", patch->description);
	printf("  %-11s %s (%s%s)\n", "image", patch->image, arch->name,
	       patch->fixed_address ? ", linked at a fixed address" : "");
	print_build_id("from", &patch->old_id, patch->old_version);
	print_build_id("to", &patch->new_id, patch->new_version);
	print_changes(patch);
	printf("  %-11s %" PRIu64 " KiB in %zu segment%s, %zu reference%s to bind\n", "slice", bytes >> 10,
	       patch->segments.count, plural(patch->segments.count), patch->bindings.count,
	       plural(patch->bindings.count));
	printf("  %-11s %s\n", "made by", patch->tool);
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
static void print_patch(const struct patch *patch)
{
	print_summary(patch);
	if (patch->functions.count)
		printf("\n%-8s  %-12s  %-18s  %-18s  %s\n", "ACTION", "CHANGE", "OLD, BYTES", "NEW, BYTES", "FUNCTION");
	for (unsigned int action = 0; action < ACTION_COUNT; action++)
		print_functions(patch, (enum action)action);
	if (patch->notes.count)
		puts("");
	for (size_t i = 0; i < patch->notes.count; i++)
		printf("note: %s\n", patch->notes.item[i]);
}

int cmd_show(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct error error = { 0 };
	struct patch patch;
	enum status status;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "jh", options, NULL)) >= 0) {
		switch (option) {
		case 'j':
			json = true;
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

	status = patch_read(argv[optind], &patch, &error);
	if (!status && json)
		status = show_json(&patch, &error);
	else if (!status)
		print_patch(&patch);
	patch_free(&patch);
	return cmd_report(status, &error);
}
