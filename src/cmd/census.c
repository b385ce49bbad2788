#include "cmd/census.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "diff/comparison.h"
#include "unwind/alternatives.h"

static void count_refusal(struct refusals *refusals, const char *why)
{
	for (size_t i = 0; i < refusals->count; i++)
		if (!strcmp(refusals->item[i].why, why)) {
			refusals->item[i].count++;
			return;
		}
	*array_add(refusals) = (struct refusal){ why, 1 };
}

static int compare_refusals(const void *one, const void *other)
{
	size_t a = ((const struct refusal *)one)->count, b = ((const struct refusal *)other)->count;

	return (a < b) - (a > b);
}

/* What refers to a place right behind a function's entry, where a redirection may be in its way: all that a plan asks of the
 * program's references, about each function. Sorted by target. */
struct near_refs {
	ARRAY(struct code_ref) code;
	ARRAY(struct data_ref) data;
};

static bool near_entry(const struct program *program, uint64_t target)
{
	/* The entry of another function is in nobody's way. */
	for (size_t i = program_range_search(program, target) + 1; i-- > 0;) {
		const struct code_range *range = &program->ranges.item[i];

		if (i == program->ranges.count || range->span.start > target)
			continue;
		if (range->span.start + PROGRAM_HEAD <= target)
			return false;
		if (program->functions.item[range->function].entry == range->span.start)
			return range->span.start != target;
	}
	return false;
}

static int compare_code_refs(const void *one, const void *other)
{
	uint64_t a = ((const struct code_ref *)one)->target, b = ((const struct code_ref *)other)->target;

	return (a > b) - (a < b);
}

static int compare_data_refs(const void *one, const void *other)
{
	uint64_t a = ((const struct data_ref *)one)->target, b = ((const struct data_ref *)other)->target;

	return (a > b) - (a < b);
}

static void find_near_refs(const struct program *program, struct near_refs *near)
{
	for (size_t i = 0; i < program->refs.count; i++)
		if (near_entry(program, program->refs.item[i].target))
			*array_add(&near->code) = program->refs.item[i];
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (near_entry(program, program->data_refs.item[i].target))
			*array_add(&near->data) = program->data_refs.item[i];
	if (near->code.count)
		qsort(near->code.item, near->code.count, sizeof(*near->code.item), compare_code_refs);
	if (near->data.count)
		qsort(near->data.item, near->data.count, sizeof(*near->data.item), compare_data_refs);
}

/* The program with only those of its references that lead right behind the entry. */
static void view_refs(struct program *view, const struct near_refs *near, uint64_t entry)
{
	size_t code = array_search(&near->code, target, entry), data = array_search(&near->data, target, entry);

	view->refs.item = near->code.item + code;
	view->refs.count = array_search(&near->code, target, entry + PROGRAM_HEAD) - code;
	view->data_refs.item = near->data.item + data;
	view->data_refs.count = array_search(&near->data, target, entry + PROGRAM_HEAD) - data;
}

/* Does another part of the function jump back to its head? By function; free() it. */
static bool *find_jumps_back(const struct program *program)
{
	bool *jumps_back = memory_zeroed(program->functions.count, sizeof(*jumps_back));

	for (size_t i = 0; i < program->refs.count; i++) {
		const struct code_ref *ref = &program->refs.item[i];
		uint32_t function;

		if (ref->kind != REF_BRANCH || ref->insn_kind == INSN_CALL)
			continue;
		function = program_function(program, ref->insn);
		if (function != NO_FUNCTION && ref->target - program->functions.item[function].entry < PROGRAM_HEAD)
			jumps_back[function] = true;
	}
	return jumps_back;
}

/* Functions without the parts that have nothing to do with their entries: a plan decodes all that it is shown. */
static void view_entries(struct program *view, const struct program *program)
{
	bool *jumps_back = find_jumps_back(program);

	view->ranges.item = memory_copy(program->ranges.item, program->ranges.count * sizeof(*program->ranges.item));
	for (size_t i = 0; i < view->ranges.count; i++) {
		struct code_range *range = &view->ranges.item[i];
		const struct function *function = &program->functions.item[range->function];

		if (range->span.start != function->entry && !jumps_back[range->function])
			range->span.end = range->span.start;
	}
	free(jumps_back);
}

static void sort_refusals(struct refusals *refusals)
{
	if (refusals->count)
		qsort(refusals->item, refusals->count, sizeof(*refusals->item), compare_refusals);
}

#define COPY_DISTANCE 0x10000	/* of the copies from the image's end, where a patch's region would be at best */

/* Has the entry, once it is redirected, the frame that it has now? */
static void count_alternatives(struct census *census, uint64_t entry, const struct patch_function *plan)
{
	struct alternatives alternatives = {
		.arch = census->image.arch, .rows = census->rows, .entry = entry, .code = plan->old_bytes, .plan = &plan->plan,
		.at = census->image.span.end + COPY_DISTANCE,
	};
	struct entry_copy copy;
	const char *why;

	alternatives.copy = &copy;
	why = census->image.arch->copy_entry(plan->old_bytes, &plan->plan, entry, alternatives.at, &copy);
	if (!why)
		(void)alternatives_compare(&alternatives, &why);
	if (why)
		count_refusal(&census->flagged, why);
	else
		census->agreeing++;
}

static void count_functions(struct census *census)
{
	const struct program *program = &census->program;
	struct program view = *program;
	struct near_refs near = { 0 };

	find_near_refs(program, &near);
	view_entries(&view, program);
	for (uint32_t i = 0; i < program->functions.count; i++) {
		struct patch_function plan = { 0 };
		const char *why = "it runs at start-up only";

		view_refs(&view, &near, program->functions.item[i].entry);
		if (!program->functions.item[i].startup)
			why = entry_plan_make(&view, i, &plan);
		census->functions++;
		if (why) {
			count_refusal(&census->refusals, why);
			continue;
		}
		census->redirectable++;
		count_alternatives(census, program->functions.item[i].entry, &plan);
	}
	array_free(&near.code);
	array_free(&near.data);
	free(view.ranges.item);
	sort_refusals(&census->refusals);
	sort_refusals(&census->flagged);
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
	array_free(&census->flagged);
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
