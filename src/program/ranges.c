/* ranges.c: where code is: FDEs, and the text between them. */
#include <stdlib.h>
#include <string.h>

#include "program/analysis.h"

/* Sections that hold nothing but stubs for imports: program_stub() reads them, they are no functions. */
static bool holds_stubs(const struct section *section)
{
	return strncmp(section->name, ".plt", 4) == 0;
}

/* DW_CFA_*: DWARF 5, 7.24 table 7.29. Does the FDE change its frame before it advances: was a frame built already? */
static bool starts_with_frame(const struct eh_fde *fde)
{
	if (!fde->program_size)
		return false;

	uint8_t first = fde->program[0];
	bool advances = (first >> 6) == 1 || (first >= 0x01 && first <= 0x04);

	return first != 0 && !advances;
}

static int compare_ranges(const void *one, const void *other)
{
	const struct range *a = &((const struct code_range *)one)->span, *b = &((const struct code_range *)other)->span;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->end > b->end) - (a->end < b->end);
}

static void sort_ranges(struct program *program)
{
	if (program->ranges.count)
		qsort(program->ranges.item, program->ranges.count, sizeof(*program->ranges.item), compare_ranges);
}

/* FDEs of hand-written code may overlap or repeat: the first one keeps the bytes. */
static void drop_overlaps(struct program *program)
{
	size_t kept = 0;

	for (size_t i = 0; i < program->ranges.count; i++) {
		struct code_range *range = &program->ranges.item[i];

		if (kept && range->span.start < program->ranges.item[kept - 1].span.end)
			continue;
		program->ranges.item[kept++] = *range;
	}
	program->ranges.count = kept;
}

static void find_covered(struct program *program)
{
	const struct image *image = program->image;
	size_t offset = 0;
	struct eh_fde fde;
	const char *why;

	while (eh_frame_next(&image->eh_frame, &offset, &fde, &why)) {
		const struct section *section = image_section(image, fde.code.start);

		if (fde.code.end <= fde.code.start || !section || !section->execute || !section->data ||
		    fde.code.end > section->span.end || holds_stubs(section))
			continue;
		*array_add(&program->ranges) = (struct code_range){
			.span = fde.code,
			.covered = true,
			.cold_start = starts_with_frame(&fde),
			.handlers = fde.lsda || fde.cie.has_personality,
			.fde = fde.offset,
		};
	}
	sort_ranges(program);
	drop_overlaps(program);
}

/* Skip the nops, traps and zero bytes that fill the space between functions. */
static uint64_t skip_padding(const struct image *image, const struct section *section, uint64_t address, uint64_t end)
{
	while (address < end) {
		const uint8_t *code = section->data + (address - section->span.start);
		struct insn insn;

		if (*code == image->arch->trap || *code == 0)
			address++;
		else if (image->arch->decode(code, end - address, address, &insn) && insn.kind == INSN_NOP)
			address += insn.length;
		else
			break;
	}
	return address < end ? address : end;
}

static void add_gap(struct program *program, const struct section *section, uint64_t start, uint64_t end)
{
	start = skip_padding(program->image, section, start, end);
	if (start < end)
		*array_add(&program->ranges) = (struct code_range){ .span = { start, end } };
}

static void find_uncovered(struct program *program)
{
	const struct image *image = program->image;
	size_t covered = program->ranges.count, next = 0;

	for (size_t i = 0; i < image->sections.count; i++) {
		const struct section *section = &image->sections.item[i];
		uint64_t at = section->span.start;

		if (!section->execute || !section->data || holds_stubs(section))
			continue;
		while (next < covered && program->ranges.item[next].span.start < at)
			next++;
		for (; next < covered && program->ranges.item[next].span.start < section->span.end; next++) {
			struct range span = program->ranges.item[next].span;

			add_gap(program, section, at, span.start);
			at = span.end;
		}
		add_gap(program, section, at, section->span.end);
	}
	sort_ranges(program);
}

#define INDEX_SPAN_MAX (UINT64_C(1) << 30)	/* bytes of code: what is larger has holes */

void ranges_index(struct program *program)
{
	const struct code_range *range = program->ranges.item;
	struct range span;
	uint32_t next = 0;

	free(program->range_index);
	program->range_index = NULL;
	if (!program->ranges.count)
		return;
	span = (struct range){ range[0].span.start, range[program->ranges.count - 1].span.end };
	if (span.end - span.start > INDEX_SPAN_MAX)
		return;
	program->range_index = memory_zeroed((span.end - span.start) / PROGRAM_INDEX_STEP + 1, sizeof(*program->range_index));
	for (uint64_t at = span.start; at < span.end; at += PROGRAM_INDEX_STEP) {
		while (range[next].span.end <= at)
			next++;
		program->range_index[(at - span.start) / PROGRAM_INDEX_STEP] = next;
	}
}

void ranges_find(struct program *program)
{
	find_covered(program);
	find_uncovered(program);
	ranges_index(program);
}
