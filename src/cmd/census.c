#include "cmd/census.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "diff/comparison.h"

static void count_refusal(struct census *census, const char *why)
{
	for (size_t i = 0; i < census->refusals.count; i++)
		if (!strcmp(census->refusals.item[i].why, why)) {
			census->refusals.item[i].count++;
			return;
		}
	*array_add(&census->refusals) = (struct refusal){ why, 1 };
}

static int compare_refusals(const void *one, const void *other)
{
	size_t a = ((const struct refusal *)one)->count, b = ((const struct refusal *)other)->count;

	return (a < b) - (a > b);
}

/* Bytes from an entry on that a redirection can possibly touch. */
#define ENTRY_REACH 64

static bool near_entry(const struct program *program, uint64_t target)
{
	size_t behind = array_search(&program->functions, entry, target);

	/* The entry of another function is in nobody's way. */
	if (behind < program->functions.count && program->functions.item[behind].entry == target)
		return false;
	return behind && target - program->functions.item[behind - 1].entry < ENTRY_REACH;
}

/*
 * A program with only those references that lead right behind an entry. A plan asks for no others, and asks about all of
 * them for every function: with the few that are left, the time does not grow with the square of the image.
 */
static void keep_refs_behind_entries(const struct program *program, struct program *view)
{
	*view = *program;
	memset(&view->refs, 0, sizeof(view->refs));
	memset(&view->data_refs, 0, sizeof(view->data_refs));
	for (size_t i = 0; i < program->refs.count; i++)
		if (near_entry(program, program->refs.item[i].target))
			*array_add(&view->refs) = program->refs.item[i];
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (near_entry(program, program->data_refs.item[i].target))
			*array_add(&view->data_refs) = program->data_refs.item[i];
}

static void count_functions(struct census *census)
{
	const struct program *program = &census->program;
	struct program view;

	keep_refs_behind_entries(program, &view);
	for (uint32_t i = 0; i < program->functions.count; i++) {
		struct patch_function plan = { 0 };
		const char *why = "it runs at start-up only";

		if (!program->functions.item[i].startup)
			why = entry_plan_make(&view, i, &plan);
		census->functions++;
		if (why)
			count_refusal(census, why);
		else
			census->redirectable++;
	}
	array_free(&view.refs);
	array_free(&view.data_refs);
	if (census->refusals.count)
		qsort(census->refusals.item, census->refusals.count, sizeof(*census->refusals.item), compare_refusals);
}

enum status census_take(const char *path, struct census *census, struct error *error)
{
	struct error unused = { 0 };
	enum status status;

	*census = (struct census){ 0 };
	status = image_open(path, &census->image, error);
	if (status)
		return status;
	census->rows = rows_build(&census->image.eh_frame, census->image.span);
	validate_image(&census->image, census->rows, &census->validation);
	/* A file without a single function is no error here: it has none. */
	if (!program_load(&census->image, &census->program, &unused))
		count_functions(census);
	error_clear(&unused);
	return STATUS_OK;
}

void census_free(struct census *census)
{
	array_free(&census->refusals);
	program_free(&census->program);
	validation_free(&census->validation);
	rows_free(census->rows);
	image_close(&census->image);
}

char *census_place(const struct census *census, uint64_t address)
{
	uint32_t function = program_function(&census->program, address);
	const struct function *found;

	if (function == NO_FUNCTION)
		return NULL;
	found = &census->program.functions.item[function];
	if (!found->name)
		return NULL;
	if (address < found->entry)	/* in a part that stands before the entry */
		return text_format("%s-0x%" PRIx64, found->name, found->entry - address);
	return text_format("%s+0x%" PRIx64, found->name, address - found->entry);
}
