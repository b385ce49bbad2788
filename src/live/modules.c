/*
 * Unwind tables from the memory of the process, for every image and for the slices of patches, whose new functions are on
 * stacks like any other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "image/image.h"
#include "live/survey.h"

#define SECTION_MAX (256u << 20)	/* bytes of one .eh_frame; the largest browsers have 30 MB */

static void note_restorers(struct survey *survey, const struct eh_frame *section)
{
	size_t offset = 0;
	struct eh_fde fde;
	const char *why;

	while (eh_frame_next(section, &offset, &fde, &why))
		if (fde.cie.signal_frame)
			*array_add(&survey->restorers) = fde.code;
}

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
	note_restorers(survey, &(struct eh_frame){ .data = bytes, .size = size, .address = start });
	table = array_add(&survey->tables);
	table->bytes = bytes;
	table->table = unwind_table_build(&(struct eh_frame){ .data = bytes, .size = size, .address = start });
	return table->table;
}

/*
 * Where the program headers don't tell where .eh_frame is (static programs of glibc), the section headers of the file do.
 * It counts only when it has the build-id that stands in memory, and only the place is taken from it, not the bytes.
 */
static const struct unwind_table *read_table_by_file(struct survey *survey, const struct mapped_image *mapped)
{
	const struct mapping *mapping = maps_find(&survey->maps, mapped->span.start);
	const struct unwind_table *table = NULL;
	struct image image = { 0 };
	char path[96];

	if (!mapping || !mapping->inode || !mapped->id.size)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, survey->process->pid,
		 mapping->range.start, mapping->range.end);
	if (image_open(path, &image, NULL) == STATUS_OK && build_id_equal(&image.id, &mapped->id))
		table = read_table(survey, image.eh_frame.address + mapped->bias,
				   image.eh_frame.address + mapped->bias + image.eh_frame.size);
	image_close(&image);
	return table;
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
		const struct unwind_table *table = image->eh_frame ?
			read_table(survey, image->eh_frame, image->eh_frame_end) : read_table_by_file(survey, image);

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
