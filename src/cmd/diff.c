/* diff.c: stent diff OLD NEW -o FILE */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "diff/diff.h"

static const char usage[] =
	"Usage: stent diff [options] OLD NEW -o FILE\n"
	"\n"
	"Compare two builds of one program or library, and write a patch that takes a running\n"
	"process from the OLD one to the NEW one. Neither needs symbols or debug information.\n"
	"\n"
	"Options:\n"
	"  -o, --output FILE         the patch file to write (.stent)\n"
	"      --name NAME           name of the patch in the process; by default image and versions\n"
	"      --description TEXT    one line for 'stent show' and 'stent status'\n"
	"      --old-version VERSION,\n"
	"      --new-version VERSION versions to show; by default the start of each build-id\n"
	"      --lines               also redirect functions in which only line numbers changed\n"
	"      --allow-data NAME     leave a variable whose initial value changed as it is in the\n"
	"                            process (may be repeated; 'all' for every one)\n"
	"      --allow-layout        go on although a structure's layout seems to have moved\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit codes: 0 written; 1 error; 2 refused, with every reason; 3 nothing to do.\n";

enum { OPTION_NAME = 256, OPTION_DESCRIPTION, OPTION_OLD_VERSION, OPTION_NEW_VERSION, OPTION_LINES, OPTION_DATA, OPTION_LAYOUT };

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "description", required_argument, NULL, OPTION_DESCRIPTION },
	{ "old-version", required_argument, NULL, OPTION_OLD_VERSION },
	{ "new-version", required_argument, NULL, OPTION_NEW_VERSION },
	{ "lines", no_argument, NULL, OPTION_LINES },
	{ "allow-data", required_argument, NULL, OPTION_DATA },
	{ "allow-layout", no_argument, NULL, OPTION_LAYOUT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct names {
	const char **item;
	size_t count, room;
};

/* Returns the option that ended parsing: -1 all read, 'h' help, '?' wrong. */
static int parse(int argc, char **argv, struct diff_options *wanted, struct names *allowed, const char **output)
{
	int option;

	while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1)
		switch (option) {
		case 'o': *output = optarg; break;
		case OPTION_NAME: wanted->name = optarg; break;
		case OPTION_DESCRIPTION: wanted->description = optarg; break;
		case OPTION_OLD_VERSION: wanted->old_version = optarg; break;
		case OPTION_NEW_VERSION: wanted->new_version = optarg; break;
		case OPTION_LINES: wanted->keep_lines = true; break;
		case OPTION_DATA: *array_add(allowed) = optarg; break;
		case OPTION_LAYOUT: wanted->allow_layout = true; break;
		default: return option;
		}
	return -1;
}

static void print_summary(const struct patch *patch, const char *output)
{
	size_t counts[ACTION_COUNT] = { 0 };

	for (size_t i = 0; i < patch->functions.count; i++)
		counts[patch->functions.item[i].action]++;
	printf("%s: %zu function%s redirected, %zu added, %zu left alone (%zu line numbers only, %zu start-up only)\n", patch->name,
	       counts[ACTION_REDIRECT], counts[ACTION_REDIRECT] == 1 ? "" : "s", counts[ACTION_ADD],
	       counts[ACTION_NOISE] + counts[ACTION_STARTUP], counts[ACTION_NOISE], counts[ACTION_STARTUP]);
	printf("%zu references bound to the running image; written to %s\n", patch->bindings.count, output);
}

/* What there is to decide comes before the reasons: how many there are, and how many of them an option overrules. */
static void print_refusal(const struct patch *patch, const struct error *error)
{
	size_t reasons = 0, overruled = 0;

	for (const char *line = error->text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *option = strstr(line, "(--"), *end = strchr(line, '\n');

		reasons++;
		overruled += option && (!end || option < end);
	}
	fflush(stdout);
	fprintf(stderr, "stent: %s: refused, no patch was written: %zu reason%s, %zu of which an option would overrule\n",
		patch->name ? patch->name : "diff", reasons, reasons == 1 ? "" : "s", overruled);
}

int cmd_diff(int argc, char **argv)
{
	struct diff_options wanted = { 0 };
	const char *output = NULL;
	struct error error = { 0 };
	struct patch patch;
	enum status status;
	struct names allowed = { 0 };
	int option = parse(argc, argv, &wanted, &allowed, &output);

	if (option == 'h') {
		fputs(usage, stdout);
		return STATUS_OK;
	}
	if (option != -1)
		return cmd_misused_option("diff");
	if (argc - optind != 2)
		return cmd_misused("diff", "needs two files, OLD and NEW");
	if (!output)
		return cmd_misused("diff", "needs -o FILE, the patch file to write");

	wanted.debug_info = true;
	wanted.allow_data = allowed.item;
	wanted.allow_data_count = allowed.count;
	status = diff_images(argv[optind], argv[optind + 1], &wanted, &patch, &error);
	if (!status)
		status = patch_write(&patch, output, &error);
	if (!status)
		print_summary(&patch, output);
	if (status == STATUS_REFUSED)
		print_refusal(&patch, &error);
	patch_free(&patch);
	array_free(&allowed);
	return cmd_report(status, &error);
}
