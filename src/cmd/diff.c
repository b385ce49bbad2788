/* diff.c: stent diff OLD NEW -o FILE */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cmd/cmd.h"
#include "diff/diff.h"
#include "diff/packages.h"
#include "image/package.h"

static const char usage[] =
	"Usage: stent diff [options] OLD NEW -o FILE\n"
	"\n"
	"Compare two builds of one program or library, and write a patch that takes a running\n"
	"process from the OLD one to the NEW one. Neither needs symbols or debug information.\n"
	"\n"
	"OLD and NEW may also be Debian packages (.deb), folders that hold such packages, or folders that\n"
	"packages were unpacked into. Then all programs and libraries that both have are compared, and\n"
	"the patch is for all that changed: a process gets it as one, for those of them that it runs.\n"
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
	"      --new-data NAME       take a variable of the new build for a new one, which the patch is to bring\n"
	"                            along (a name as the refusal prints it; may be repeated)\n"
	"      --exclude IMAGE       of packages: leave this program or library as it is (a path, file name or\n"
	"                            soname; may be repeated)\n"
	"      --allow-layout        go on although structures seem to have another layout or size\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit codes: 0 written; 1 error; 2 refused, with every reason; 3 nothing to do.\n";

enum { OPTION_NAME = 256, OPTION_DESCRIPTION, OPTION_OLD_VERSION, OPTION_NEW_VERSION, OPTION_LINES, OPTION_DATA, OPTION_NEW_DATA, OPTION_EXCLUDE, OPTION_LAYOUT };

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "description", required_argument, NULL, OPTION_DESCRIPTION },
	{ "old-version", required_argument, NULL, OPTION_OLD_VERSION },
	{ "new-version", required_argument, NULL, OPTION_NEW_VERSION },
	{ "lines", no_argument, NULL, OPTION_LINES },
	{ "allow-data", required_argument, NULL, OPTION_DATA },
	{ "new-data", required_argument, NULL, OPTION_NEW_DATA },
	{ "exclude", required_argument, NULL, OPTION_EXCLUDE },
	{ "allow-layout", no_argument, NULL, OPTION_LAYOUT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct names {
	const char **item;
	size_t count, room;
};

struct lists {
	struct names allowed, added, excluded;
};

/* Returns the option that ended parsing: -1 all read, 'h' help, '?' wrong. */
static int parse(int argc, char **argv, struct diff_options *wanted, struct lists *lists, const char **output)
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
		case OPTION_DATA: *array_add(&lists->allowed) = optarg; break;
		case OPTION_NEW_DATA: *array_add(&lists->added) = optarg; break;
		case OPTION_EXCLUDE: *array_add(&lists->excluded) = optarg; break;
		case OPTION_LAYOUT: wanted->allow_layout = true; break;
		default: return option;
		}
	return -1;
}

static void print_summary(const struct patch *patch, const char *title)
{
	size_t counts[ACTION_COUNT] = { 0 };

	for (size_t i = 0; i < patch->functions.count; i++)
		counts[patch->functions.item[i].action]++;
	printf("%s: %zu function%s redirected, %zu added, %zu left alone (%zu line numbers only, %zu start-up only)\n", title,
	       counts[ACTION_REDIRECT], counts[ACTION_REDIRECT] == 1 ? "" : "s", counts[ACTION_ADD],
	       counts[ACTION_NOISE] + counts[ACTION_STARTUP], counts[ACTION_NOISE], counts[ACTION_STARTUP]);
}

static void print_result(const struct bundle *bundle, const char *output)
{
	const struct patch *first = &bundle->item[0];
	size_t bindings = 0;

	for (size_t i = 0; i < bundle->count; i++)
		bindings += bundle->item[i].bindings.count;
	if (bundle->count > 1)
		printf("%s: %zu images\n", first->name, bundle->count);
	for (size_t i = 0; i < bundle->count; i++)
		print_summary(&bundle->item[i], bundle->count > 1 ? bundle->item[i].image : first->name);
	printf("%zu references bound to the running image%s; written to %s\n", bindings, bundle->count > 1 ? "s" : "", output);
}

/* What became of each image of the packages, the same builds in one line. */
static void print_images(const struct package_report *report)
{
	static const char *const verdicts[] = {
		[PACKAGE_CHANGED] = "changed",
		[PACKAGE_SAME] = "identical",
		[PACKAGE_NOTHING] = "nothing to do",
		[PACKAGE_REFUSED] = "refused",
		[PACKAGE_EXCLUDED] = "excluded",
		[PACKAGE_ONLY_OLD] = "only in the old packages",
		[PACKAGE_ONLY_NEW] = "only in the new packages",
	};
	size_t same = 0;

	for (size_t i = 0; i < report->images.count; i++) {
		const struct package_image *image = &report->images.item[i];

		same += image->verdict == PACKAGE_SAME;
		if (image->verdict != PACKAGE_SAME)
			printf("%s: %s\n", utf8_make_printable(image->path), verdicts[image->verdict]);
	}
	if (same)
		printf("%zu identical in both\n", same);
}

static enum status compare(const char *old, const char *new, const struct diff_options *wanted, struct bundle *bundle,
			   struct error *error)
{
	struct package_report report;
	enum status status;

	if (packages_expected(old) != packages_expected(new))
		return fail(error, "%s is a package or a folder, and %s is not", packages_expected(old) ? old : new,
			    packages_expected(old) ? new : old);
	if (!packages_expected(old) && wanted->exclude_count)
		return fail(error, "--exclude is for packages and folders");
	if (!packages_expected(old))
		return diff_images(old, new, wanted, array_add(bundle), error);
	status = diff_packages(old, new, wanted, bundle, &report, error);
	print_images(&report);
	package_report_free(&report);
	return status;
}

/* What there is to decide comes before the reasons: how many there are, and how many of them an option overrules. */
static void print_refusal(const struct bundle *bundle, const struct error *error)
{
	size_t reasons = 0, overruled = 0;

	for (const char *line = error->text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *option = strstr(line, "(--"), *end = strchr(line, '\n');

		reasons++;
		overruled += option && (!end || option < end);
	}
	fflush(stdout);
	fprintf(stderr, "stent: %s: refused, no patch was written: %zu reason%s, %zu of which an option would overrule\n",
		bundle->count == 1 && bundle->item[0].name ? bundle->item[0].name : "diff", reasons, reasons == 1 ? "" : "s", overruled);
}

int cmd_diff(int argc, char **argv)
{
	struct diff_options wanted = { 0 };
	const char *output = NULL;
	struct error error = { 0 };
	struct bundle bundle = { 0 };
	enum status status;
	struct lists lists = { 0 };
	int option = parse(argc, argv, &wanted, &lists, &output);

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
	wanted.allow_data = lists.allowed.item;
	wanted.allow_data_count = lists.allowed.count;
	wanted.new_data = lists.added.item;
	wanted.new_data_count = lists.added.count;
	wanted.exclude = lists.excluded.item;
	wanted.exclude_count = lists.excluded.count;
	status = compare(argv[optind], argv[optind + 1], &wanted, &bundle, &error);
	if (!status)
		status = bundle_write(&bundle, output, &error);
	if (!status)
		print_result(&bundle, output);
	if (status == STATUS_REFUSED)
		print_refusal(&bundle, &error);
	bundle_free(&bundle);
	array_free(&lists.allowed);
	array_free(&lists.added);
	array_free(&lists.excluded);
	return cmd_report(status, &error);
}
