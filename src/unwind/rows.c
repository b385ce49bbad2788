#include "unwind/rows.h"

#include <stdlib.h>

#include "base/memory.h"
#include "unwind/row_compile.h"

/* One FDE that is not empty and lies in the text. */
struct unit {
	struct range code;
	size_t offset;		/* of the FDE in the section */
	bool disputed;		/* part of its code is claimed by another FDE too */
};

struct builder {
	struct rows *rows;
	size_t room;
	struct range code;	/* of the FDE whose rows are being added */
	bool starts_fde, signal_frame;
};

static int compare_units(const void *left, const void *right)
{
	uint64_t a = ((const struct unit *)left)->code.start, b = ((const struct unit *)right)->code.start;

	return (a > b) - (a < b);
}

/* A unit may lie inside one far before it, so the one that reaches farthest is kept at hand. */
static void mark_disputed(struct unit *unit, size_t count)
{
	struct unit *farthest = unit;

	for (size_t i = 1; i < count; i++) {
		if (unit[i].code.start < farthest->code.end)
			unit[i].disputed = farthest->disputed = true;
		if (unit[i].code.end > farthest->code.end)
			farthest = &unit[i];
	}
}

static void append_row(struct builder *builder, uint64_t start, struct row row)
{
	struct rows *rows = builder->rows;

	if (rows->count == builder->room)
		rows->item = memory_grow(rows->item, &builder->room, sizeof(*rows->item));
	row.start = (uint32_t)(start - rows->text.start);
	rows->item[rows->count++] = row;
}

/* Add a row that begins at `start`. Equal neighbours become one, but an FDE's first row stays. */
static void add_row(struct builder *builder, uint64_t start, struct row row)
{
	struct rows *rows = builder->rows;

	if (rows->count) {
		struct row *last = &rows->item[rows->count - 1];

		if (!(row.flags & ROW_STARTS_FDE) && row_same(last, &row))
			return;
		if (rows->text.start + last->start == start)
			rows->count--;
	}
	append_row(builder, start, row);
}

static void add_unit_row(struct builder *builder, uint64_t start, struct row row)
{
	if (builder->starts_fde)
		row.flags |= ROW_STARTS_FDE;
	builder->starts_fde = false;
	add_row(builder, start, row);
}

static bool add_cfi_row(void *context, struct range span, const struct cfi_row *row)
{
	struct builder *builder = context;

	if (span.start >= builder->code.end)
		return false;
	add_unit_row(builder, span.start, row_compile(row, builder->signal_frame));
	return true;
}

/* Rows of one unit; its code is known to begin at or behind the end of the one before it. */
static void add_unit(struct builder *builder, const struct eh_frame *section, const struct unit *unit)
{
	const struct row unreadable = { .kind = ROW_UNRELIABLE, .reason = REASON_PROGRAM };
	struct eh_fde fde;
	uint64_t reached = unit->code.start;

	builder->code = unit->code;
	builder->starts_fde = true;
	if (!eh_frame_at(section, unit->offset, &fde)) {
		add_unit_row(builder, reached, unreadable);
		return;
	}
	builder->signal_frame = fde.cie.signal_frame;
	if (cfi_visit_rows(&fde, add_cfi_row, builder, &reached) && reached < unit->code.end)
		add_unit_row(builder, reached, unreadable);
}

static void add_all(struct rows *rows, const struct eh_frame *section, const struct unit *unit, size_t count)
{
	const struct row none = { .kind = ROW_NONE };
	const struct row disputed = { .kind = ROW_UNRELIABLE, .reason = REASON_DISPUTED };
	struct builder builder = { .rows = rows };
	uint64_t end = rows->text.start;

	add_row(&builder, rows->text.start, none);
	for (size_t i = 0; i < count; i++) {
		/* A unit that reaches into the one before it: both are disputed, and this one begins
		 * where the other has ended. */
		if (unit[i].code.end <= end)
			continue;
		if (unit[i].code.start > end)
			add_row(&builder, end, none);
		if (unit[i].disputed)
			add_row(&builder, unit[i].code.start > end ? unit[i].code.start : end, disputed);
		else
			add_unit(&builder, section, &unit[i]);
		end = unit[i].code.end;
	}
	add_row(&builder, end, none);
	/* The text's end has a row of its own, so that every other one has a next. */
	if (rows->item[rows->count - 1].start != rows->text.end - rows->text.start)
		append_row(&builder, rows->text.end, none);
}

void rows_index(struct rows *rows)
{
	uint64_t size = rows->text.end - rows->text.start;
	size_t steps = (size_t)(size / ROWS_STEP) + 1;
	uint32_t row = 0;

	rows->index = memory_zeroed(steps, sizeof(*rows->index));
	for (size_t step = 0; step < steps; step++) {
		while (row + 1 < rows->count && rows->item[row + 1].start <= step * ROWS_STEP)
			row++;
		rows->index[step] = row;
	}
}

struct rows *rows_build(const struct eh_frame *section, struct range text)
{
	struct rows *rows = memory_zeroed(1, sizeof(*rows));
	ARRAY(struct unit) units = { 0 };
	size_t offset = 0;
	struct eh_fde fde;
	bool sorted = true;

	rows->text = text;
	if (text.end < text.start || text.end - text.start >= UINT32_MAX) {
		rows->damage = "the text is too large";
		rows->text.end = text.start;
	}
	while (!rows->damage && eh_frame_next(section, &offset, &fde, &rows->damage)) {
		if (fde.code.start >= fde.code.end || fde.code.start < text.start || fde.code.end > text.end)
			continue;
		if (units.count && units.item[units.count - 1].code.start > fde.code.start)
			sorted = false;
		*array_add(&units) = (struct unit){ .code = fde.code, .offset = fde.offset };
	}
	if (rows->damage)
		units.count = 0;
	if (!sorted && units.count)
		qsort(units.item, units.count, sizeof(*units.item), compare_units);
	if (units.count)
		mark_disputed(units.item, units.count);
	rows->fdes = units.count;
	add_all(rows, section, units.item, units.count);
	rows_index(rows);
	array_free(&units);
	return rows;
}

void rows_free(struct rows *rows)
{
	if (!rows)
		return;
	free(rows->item);
	free(rows->index);
	free(rows);
}

const struct row *rows_find(const struct rows *rows, uint64_t address)
{
	uint32_t offset, row;

	if (!range_holds(rows->text, address))
		return NULL;
	offset = (uint32_t)(address - rows->text.start);
	row = rows->index[offset / ROWS_STEP];
	while (row + 1 < rows->count && rows->item[row + 1].start <= offset)
		row++;
	return &rows->item[row];
}
