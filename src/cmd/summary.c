#include "cmd/summary.h"

#include <inttypes.h>
#include <stdio.h>

#define NOTES_MAX 8	/* the others are counted */

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static void print_build(const char *title, const struct patch *patch, const struct build_id *id, const char *version)
{
	printf("  %-12s %s%s%s, build-id ", title, patch->image, *version ? " " : "", version);
	for (size_t i = 0; i < id->size; i++)
		printf("%02x", id->bytes[i]);
	puts("");
}

static size_t count_functions(const struct patch *patch, enum action action, enum change change)
{
	size_t count = 0;

	for (size_t i = 0; i < patch->functions.count; i++)
		count += patch->functions.item[i].action == action && (change == CHANGE_COUNT || patch->functions.item[i].change == change);
	return count;
}

/* "will change  9 functions (8 code, 1 callees), with 2 that are new" */
static void print_changing(const struct patch *patch)
{
	size_t redirected = count_functions(patch, ACTION_REDIRECT, CHANGE_COUNT), added = count_functions(patch, ACTION_ADD, CHANGE_COUNT);
	const char *separator = " (";

	printf("  %-12s %zu function%s", "will change", redirected, plural(redirected));
	for (unsigned int change = 0; change < CHANGE_COUNT; change++) {
		size_t count = count_functions(patch, ACTION_REDIRECT, (enum change)change);

		if (!count)
			continue;
		printf("%s%zu %s", separator, count, change_name((enum change)change));
		separator = ", ";
	}
	if (redirected)
		putchar(')');
	if (added)
		printf(", with %zu that %s new", added, added == 1 ? "is" : "are");
	puts("");
}

static void print_staying(const struct patch *patch)
{
	size_t startup = count_functions(patch, ACTION_STARTUP, CHANGE_COUNT), noise = count_functions(patch, ACTION_NOISE, CHANGE_COUNT);
	const char *title = "will not";

	if (startup)
		printf("  %-12s %zu function%s that run%s at start-up only: a restart brings %s\n", title, startup, plural(startup),
		       startup == 1 ? "s" : "", startup == 1 ? "it" : "them");
	if (noise)
		printf("  %-12s %zu in which only line numbers differ ('stent diff --lines' takes %s)\n", startup ? "" : title, noise,
		       noise == 1 ? "it" : "them");
	if (!startup && !noise)
		printf("  %-12s nothing that differs is left out\n", title);
}

/* A patch is written only when nothing is refused; what had to be allowed for that is among the notes. */
static void print_notes(const struct patch *patch)
{
	size_t shown = patch->notes.count <= NOTES_MAX ? patch->notes.count : NOTES_MAX - 1;

	for (size_t i = 0; i < shown; i++)
		printf("  %-12s %s\n", "note", patch->notes.item[i]);
	if (shown < patch->notes.count)
		printf("  %-12s %zu more: 'stent show --json' has them all\n", "", patch->notes.count - shown);
}

static void print_image(const struct patch *patch)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < patch->segments.count; i++)
		bytes += patch->segments.item[i].size;
	print_build("runs now", patch, &patch->old_id, patch->old_version);
	print_build("becomes", patch, &patch->new_id, patch->new_version);
	print_changing(patch);
	print_staying(patch);
	print_notes(patch);
	printf("  %-12s %" PRIu64 " KiB in %zu segment%s, %zu reference%s to bind, for %s%s\n", "brings", bytes >> 10,
	       patch->segments.count, plural(patch->segments.count), patch->bindings.count, plural(patch->bindings.count),
	       arch_by_machine(patch->machine)->name, patch->fixed_address ? " at a fixed address" : "");
}

void summary_print(const struct bundle *bundle)
{
	const struct patch *first = &bundle->item[0];

	printf("%s\n", first->name);
	if (first->description && *first->description)
		printf("  %s\n", first->description);
	if (bundle->count > 1)
		printf("  %-12s %zu images, in one transition: of each process those that it has mapped\n", "is for", bundle->count);
	for (size_t i = 0; i < bundle->count; i++)
		print_image(&bundle->item[i]);
	printf("  %-12s %s\n", "made by", first->tool);
}
