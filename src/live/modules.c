/*
 * The code of a process, and what its unwind data is worth: for every image, and for the slices of patches, whose new
 * functions are on stacks like any other.
 *
 * Rows are compiled and validated from an image's file, which has all that the validator looks at. They hold for the
 * process where its code is the same, byte by byte; anything else there (a breakpoint, another patcher's jump) takes
 * its part of the code out. Entries that stent itself has redirected count as what they were: the jump is the first
 * instruction there, with the frame of the entry in both versions.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "image/image.h"
#include "live/finders.h"
#include "live/survey.h"
#include "unwind/rows_cache.h"

#define TEXT_MAX (512u << 20)	/* bytes of one executable mapping; the largest browsers have 150 MB */
#define SLICE_MAX (256u << 20)	/* bytes of a patch's region */
#define BLOCK 64		/* bytes that are altered together */

/* Rows of everything that was seen by this program, whatever the process: it ends with the program. */
static struct rows_cache *known_rows(void)
{
	static struct rows_cache *cache;

	if (!cache) {
		char *folder = rows_cache_folder();

		cache = rows_cache_open(folder);
		free(folder);
	}
	return cache;
}

static void note_restorers(struct survey *survey, const struct image *image, uint64_t bias)
{
	size_t offset = 0;
	struct eh_fde fde;
	const char *why;

	while (eh_frame_next(&image->eh_frame, &offset, &fde, &why))
		if (fde.cie.signal_frame)
			*array_add(&survey->restorers) = (struct range){ fde.code.start + bias, fde.code.end + bias };
}

/* One entry, if it is redirected. */
static bool undo_entry(const struct ledger_site *site, struct range range, struct survey_code *code)
{
	const struct ledger_function *function = site->function;
	const uint8_t *below = ledger_below(site->ledger, function);
	uint8_t *bytes = code->text + (site->address - range.start);

	if (range.end - site->address < function->size ||
	    (memcmp(bytes, function->jump, function->size) != 0 && memcmp(bytes, function->settled, function->size) != 0) ||
	    !memcmp(bytes, below, function->size))
		return false;
	memcpy(bytes, below, function->size);
	return true;
}

/* The entry that finders stand before has the jump of one of them. */
static void undo_finder(const struct ledger_finder *finder, struct range range, struct survey_code *code)
{
	uint8_t *bytes;

	if (!range_holds(range, finder->site) || range.end - finder->site < finder->size)
		return;
	bytes = code->text + (finder->site - range.start);
	if (memcmp(bytes, finder->jump, finder->size) != 0)
		return;
	memcpy(bytes, finder->original, finder->size);
	*array_add(&code->altered) = (struct range){ finder->site + 1, finder->site + finder->size };
}

/*
 * Write the original bytes of redirected entries into `text`; nothing jumps behind their first byte. One patch's original may be
 * another one's jump: as often as there are patches at one address. (Forged ones may lead in a circle.)
 */
static void undo_entries(const struct survey *survey, struct range range, struct survey_code *code)
{
	const struct ledgers *ledgers = &survey->ledgers;
	size_t first = array_search(&ledgers->sites, address, range.start), count;

	for (; first < ledgers->sites.count && ledgers->sites.item[first].address < range.end; first += count) {
		const struct ledger_site *there = ledgers_at(ledgers, ledgers->sites.item[first].address, &count);
		size_t altered = 0;
		bool more = true;

		for (size_t round = 0; more && round < count; round++) {
			more = false;
			for (size_t i = 0; i < count; i++) {
				if (!undo_entry(&there[i], range, code))
					continue;
				more = true;
				if (there[i].function->size > altered)
					altered = there[i].function->size;
			}
		}
		if (altered)
			*array_add(&code->altered) = (struct range){ there->address + 1, there->address + altered };
	}
	for (size_t i = 0; i < survey->ledgers.count; i++)
		for (size_t j = 0; j < survey->ledgers.item[i].finders.count; j++)
			undo_finder(&survey->ledgers.item[i].finders.item[j], range, code);
}

static void note_differences(struct range range, const uint8_t *file, struct survey_code *code)
{
	for (uint64_t at = 0; at < range.end - range.start; at += BLOCK) {
		uint64_t size = range.end - range.start - at < BLOCK ? range.end - range.start - at : BLOCK;
		struct range *last = code->altered.count ? &code->altered.item[code->altered.count - 1] : NULL;

		if (!memcmp(code->text + at, file + at, size))
			continue;
		if (last && last->end == range.start + at)
			last->end += size;
		else
			*array_add(&code->altered) = (struct range){ range.start + at, range.start + at + size };
	}
}

static int compare_ranges(const void *one, const void *other)
{
	const struct range *a = one, *b = other;

	return (a->start > b->start) - (a->start < b->start);
}

/* What the program has in place of an executable mapping; NULL when it can't be read. */
static struct survey_code *read_code(struct survey *survey, struct range range)
{
	struct survey_code *code;
	uint8_t *text;

	if (range.end - range.start > TEXT_MAX)
		return NULL;
	text = memory_resize(NULL, range.end - range.start, 1);
	if (!process_read(survey->process, range.start, text, range.end - range.start)) {
		free(text);
		return NULL;
	}
	code = array_add(&survey->codes);
	*code = (struct survey_code){ .text = text };
	return code;
}

static void add_module(struct survey *survey, struct range range, uint64_t bias, const struct image *image,
		       const struct rows *rows, const char *name)
{
	struct unwind_module module = { .code = range, .bias = bias, .rows = rows, .name = name };
	const uint8_t *bytes = image ? image_bytes(image, range.start - bias, range.end - range.start) : NULL;
	struct survey_code *code = bytes ? read_code(survey, range) : NULL;

	if (code) {
		undo_entries(survey, range, code);
		note_differences(range, bytes, code);
		if (code->altered.count)
			qsort(code->altered.item, code->altered.count, sizeof(struct range), compare_ranges);
		module.text = code->text;
		module.altered = code->altered.item;
		module.altered_count = code->altered.count;
	} else {
		module.rows = NULL;
		module.why = image ? "its code can't be read" : "its file can't be read, so its unwind data was not validated";
	}
	*array_add(&survey->modules) = module;
}

/* The vdso is a whole file, in memory. */
static enum status read_vdso(const struct survey *survey, const struct mapping *mapping, struct image *image, struct error *error)
{
	size_t size = mapping->range.end - mapping->range.start;
	uint8_t *bytes = memory_zeroed(size, 1);

	if (!process_read(survey->process, mapping->range.start, bytes, size)) {
		free(bytes);
		return STATUS_ERROR;
	}
	return image_read_bytes("[vdso]", bytes, size, image, error);
}

/*
 * The file that is mapped, also when its name is gone. Not everybody may follow that link; the name in the process's own view
 * leads to the same file or to another one, and which of the two, the code tells.
 */
static enum status read_mapped_file(const struct survey *survey, const struct mapping *mapping, struct image *image,
				    struct error *error)
{
	pid_t task = process_living_task(survey->process);	/* the first thread's folder is empty once it has ended */
	char path[96], *named;
	enum status status;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, task,
		 mapping->range.start, mapping->range.end);
	status = image_read(path, image, error);
	if (status == STATUS_OK)
		return status;
	image_close(image);
	named = text_format("/proc/%d/root%s", task, mapping->name);
	status = image_read(named, image, error);
	free(named);
	return status;
}

bool survey_read_image(const struct survey *survey, const struct mapped_image *mapped, struct image *image)
{
	const struct mapping *mapping = maps_find(&survey->maps, mapped->span.start);
	struct error unused = { 0 };
	enum status status = STATUS_ERROR;

	*image = (struct image){ 0 };
	if (mapping && mapping_special(mapping, "[vdso]"))
		status = read_vdso(survey, mapping, image, &unused);
	else if (mapping && mapping->inode)
		status = read_mapped_file(survey, mapping, image, &unused);
	error_clear(&unused);
	return status == STATUS_OK && build_id_equal(&image->id, &mapped->id) &&
	       image->span.start + mapped->bias == mapped->span.start && image->span.end + mapped->bias == mapped->span.end;
}

static void add_image(struct survey *survey, const struct mapped_image *mapped)
{
	const struct code_rows *code;
	struct image image;
	bool found = survey_read_image(survey, mapped, &image);

	if (found) {
		code = rows_cache_get(known_rows(), &image);
		note_restorers(survey, &image, mapped->bias);
		survey_note_switches(survey, mapped, &image, code);
		survey_note_unwinder(survey, mapped, &image);
	}
	for (size_t i = 0; i < mapped->code.count; i++)
		add_module(survey, mapped->code.item[i], mapped->bias, found ? &image : NULL, found ? code->rows : NULL, mapped->name);
	image_close(&image);
}

static void add_stubs(struct survey *survey, const struct ledger *ledger, struct range code)
{
	*array_add(&survey->modules) = (struct unwind_module){
		.code = code,
		.name = ledger->name,
		.why = "in a stub or a displaced copy of stent's",
	};
}

/* A slice has everything at run-time addresses. Stubs, switches and displaced copies have no rows. */
static void add_slice(struct survey *survey, const struct ledger *ledger, const struct ledger_image *of)
{
	ARRAY(struct image_part) parts = { 0 };
	uint8_t *bytes;
	struct image image;
	const struct code_rows *code;

	if (of->region.end - of->region.start > SLICE_MAX)
		return;
	bytes = memory_zeroed(of->region.end - of->region.start, 1);
	for (size_t i = 0; i < ledger->parts.count; i++) {
		const struct ledger_part *part = &ledger->parts.item[i];

		if (!range_holds(of->region, part->range.start) || part->range.start == of->code.start ||
		    !process_read(survey->process, part->range.start, bytes + (part->range.start - of->region.start),
				  part->range.end - part->range.start))
			continue;
		*array_add(&parts) = (struct image_part){ part->range, part->flags & SEGMENT_EXECUTE, part->flags & SEGMENT_WRITE };
	}
	image_assemble(ledger->name, arch_by_machine(ledger->machine), of->region, bytes, parts.item, parts.count, of->eh_frame, &image);
	code = rows_cache_get(known_rows(), &image);
	for (size_t i = 0; i < parts.count; i++)
		if (parts.item[i].execute)
			add_module(survey, parts.item[i].span, 0, &image, code->rows, ledger->name);
	add_stubs(survey, ledger, of->code);
	array_free(&parts);
	image_close(&image);
}

static void add_ledger(struct survey *survey, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->images.count; i++)
		add_slice(survey, ledger, &ledger->images.item[i]);
	for (size_t i = 0; i < ledger->finders.count; i++)
		add_stubs(survey, ledger, ledger->finders.item[i].code);
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
	for (size_t i = 0; i < survey->images.count; i++)
		add_image(survey, &survey->images.item[i]);
	for (size_t i = 0; i < survey->ledgers.count; i++)
		add_ledger(survey, &survey->ledgers.item[i]);
	if (survey->modules.count)
		qsort(survey->modules.item, survey->modules.count, sizeof(struct unwind_module), compare_modules);
	drop_overlaps(survey);
}
