/* check.c: stent check ELF... */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/census.h"
#include "cmd/cmd.h"

static const char usage[] =
	"Usage: stent check [options] ELF...\n"
	"\n"
	"Compare the unwind data of programs and libraries with their instructions, along every path: which\n"
	"rows are exact and prove a stack, which can't be verified, and which are wrong. And say how many of\n"
	"their functions could be redirected by a patch.\n"
	"\n"
	"Options:\n"
	"      --json   one JSON array, with an object per file\n"
	"  -h, --help   this text\n"
	"\n"
	"Exit codes: 0 done, whatever was found; 1 a file can't be read.\n";

enum { OPTION_JSON = 256 };

static const struct option options[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* A share that is 100% only if nothing is missing. */
static double percent(size_t part, size_t whole)
{
	double share = whole ? 100.0 * (double)part / (double)whole : 100;

	return part < whole && share > 99.99 ? 99.99 : share;
}

static void print_contradiction(const struct census *census, const struct contradiction *found)
{
	const uint8_t *code = image_bytes(&census->image, found->address, 1);
	const struct row *row = rows_find(census->rows, found->address);
	char *place = census_place(census, found->address);
	char text[96] = "?";

	/* The text ends with the FDE at the latest, and with it the segment that image_bytes() found. */
	if (code && row)
		(void)census->image.arch->print(code, row_end(census->rows, row) - found->address, found->address, text, sizeof(text));
	printf("  0x%" PRIx64 "%s%s%s: %s: %s claimed %s, computed %s (behind 0x%" PRIx64 ")\n", found->address, place ? " (" : "",
	       place ? place : "", place ? ")" : "", text, found->subject, found->claimed, found->computed, found->from);
	free(place);
}

static void print_census(const char *path, const struct census *census)
{
	const struct validation *validation = &census->validation;

	printf("%s: %zu FDEs, %zu exact (%.2f%%), %zu contradicted\n", path, validation->fdes, validation->fdes_exact,
	       percent(validation->fdes_exact, validation->fdes), validation->fdes_contradicted);
	if (census->rows->damage)
		printf("  its unwind data is damaged: %s\n", census->rows->damage);
	printf("  %zu rows: %zu exact (%.2f%%), %zu unverifiable, %zu contradicted\n", validation->rows, validation->exact,
	       percent(validation->exact, validation->rows), validation->unverifiable, validation->contradicted);
	for (int i = 0; i < REASON_COUNT; i++)
		if (validation->reasons[i])
			printf("    %6zu unverifiable: %s\n", validation->reasons[i], row_reason_text((enum row_reason)i));
	if (validation->switches.count)
		printf("  %zu instructions switch stacks, the first at 0x%" PRIx64 "\n", validation->switches.count,
		       validation->switches.item[0]);
	printf("  %" PRIu64 " bytes of text, %" PRIu64 " of them without unwind data\n", validation->text, validation->uncovered);
	printf("  %zu functions: %zu can be redirected (%.2f%%)\n", census->functions, census->redirectable,
	       percent(census->redirectable, census->functions));
	for (size_t i = 0; i < census->refusals.count; i++)
		printf("    %6zu cannot: %s\n", census->refusals.item[i].count, census->refusals.item[i].why);
	printf("    %zu of those have one frame before and after, and exact rows for it (%.2f%%)\n", census->agreeing,
	       percent(census->agreeing, census->redirectable));
	for (size_t i = 0; i < census->flagged.count; i++)
		printf("    %6zu have not: %s\n", census->flagged.item[i].count, census->flagged.item[i].why);
	for (size_t i = 0; i < validation->contradictions.count; i++)
		print_contradiction(census, &validation->contradictions.item[i]);
}

/* Without `array` as text. */
static enum status check_file(const char *path, json_t *array, struct error *error)
{
	struct census census;
	enum status status = census_take(path, &census, error);

	if (!status && !array)
		print_census(path, &census);
	else if (!status && !census_add_json(array, path, &census))
		status = fail(error, "%s: no memory for its JSON form", path);
	census_free(&census);
	return status;
}

int cmd_check(int argc, char **argv)
{
	struct error error = { 0 };
	enum status status = STATUS_OK;
	json_t *array = NULL;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (option) {
		case OPTION_JSON:
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return cmd_misused_option("check");
		}
	if (optind == argc)
		return cmd_misused("check", "needs a file");

	if (json)
		array = json_array();
	for (int i = optind; i < argc; i++)
		if (check_file(argv[i], array, &error))
			status = STATUS_ERROR;
	if (json && cmd_print_json(array, &error) != STATUS_OK)
		status = STATUS_ERROR;
	return cmd_report(status, &error);
}
