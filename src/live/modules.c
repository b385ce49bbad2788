/*
 * Unwind tables from the memory of the process, for every image and for the slices of patches, whose new functions are on
 * stacks like any other.
 */
#include <stdlib.h>

#include "live/survey.h"

#define SECTION_MAX (256u << 20)	/* bytes of one .eh_frame; the largest browsers have 30 MB */

static const struct unwind_table *read_table(struct survey *survey, uint64_t start, uint64_t end)
{
	struct survey_table *table;
	size_t size = end - start;
	uint8_t *bytes;

	if (!start || end <= start || size > SECTION_MAX)
		return NULL;
	bytes = memory_zeroed(size, 1);
	if (!process_read(survey->process, start, bytes, size)) {
		free(bytes);
		return NULL;
	}
	table = array_add(&survey->tables);
	table->bytes = bytes;
	table->table = unwind_table_build(&(struct eh_frame){ .data = bytes, .size = size, .address = start });
	return table->table;
}

static int compare_modules(const void *one, const void *other)
{
	const struct unwind_module *a = one, *b = other;

	return a->code.start < b->code.start ? -1 : a->code.start > b->code.start;
}

/* Images can't overlap, but what a hostile one says of itself may. */
static void drop_overlaps(struct survey *survey)
{
	size_t kept = 0;

	for (size_t i = 0; i < survey->modules.count; i++)
		if (!kept || survey->modules.item[kept - 1].code.end <= survey->modules.item[i].code.start)
			survey->modules.item[kept++] = survey->modules.item[i];
	survey->modules.count = kept;
}

void survey_unwind(struct survey *survey)
{
	for (size_t i = 0; i < survey->images.count; i++) {
		const struct mapped_image *image = &survey->images.item[i];
		const struct unwind_table *table = read_table(survey, image->eh_frame, image->eh_frame_end);

		for (size_t j = 0; j < image->code.count; j++)
			*array_add(&survey->modules) =
				(struct unwind_module){ .code = image->code.item[j], .table = table, .name = image->name };
	}
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];
		const struct unwind_table *table = read_table(survey, ledger->eh_frame.start, ledger->eh_frame.end);

		for (size_t j = 0; j < ledger->parts.count; j++)
			if (ledger->parts.item[j].flags & SEGMENT_EXECUTE)
				*array_add(&survey->modules) = (struct unwind_module){
					.code = ledger->parts.item[j].range,
					.table = ledger->parts.item[j].range.start == ledger->code.start ? NULL : table,
					.name = ledger->name,
				};
	}
	if (survey->modules.count)
		qsort(survey->modules.item, survey->modules.count, sizeof(struct unwind_module), compare_modules);
	drop_overlaps(survey);
}
