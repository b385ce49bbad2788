/*
 * unwind_index.c: made here and not taken from the new image, which has a row for each of its functions, in the slice or not.
 *
 * Format: LSB Core 5.0, 10.6.2 "The .eh_frame_hdr section". The one encoding of the table that unwinders search: 4-byte
 * distances from the section's start, sorted by the functions' addresses.
 */
#include "live/unwind_index.h"

#include <stdlib.h>

#include "image/eh_frame.h"

enum { VERSION = 1, POINTER_PCREL_SDATA4 = 0x1b, COUNT_UDATA4 = 0x03, TABLE_DATAREL_SDATA4 = 0x3b };
enum { POINTER_AT = 4, COUNT_AT = 8, TABLE_AT = 12, ROW = 8 };

struct index_row {
	uint64_t code, fde;
};

uint64_t unwind_index_size(const struct patch *patch)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < patch->functions.count; i++)
		rows += patch->functions.item[i].new_ranges.count;
	return TABLE_AT + rows * ROW;
}

static bool is_part(const struct ledger *ledger, uint64_t image, uint64_t address)
{
	for (size_t i = 0; i < ledger->functions.count; i++)
		for (size_t j = 0; j < ledger->functions.item[i].new_ranges.count && ledger->functions.item[i].image == image; j++)
			if (ledger->functions.item[i].new_ranges.item[j].start == address)
				return true;
	return false;
}

static int compare_rows(const void *one, const void *other)
{
	const struct index_row *a = one, *b = other;

	return (a->code > b->code) - (a->code < b->code);
}

/* Local bytes of the slice's tables, at their run-time address. */
static struct eh_frame local_tables(const struct link *link, struct range range)
{
	const uint8_t *bytes = link_bytes(link, range.start);

	return bytes ? (struct eh_frame){ bytes, range.end - range.start, range.start } : (struct eh_frame){ 0 };
}

enum status unwind_index_write(struct link *link, uint64_t image, struct error *error)
{
	const struct range index = link->ledger.images.item[image].unwind_index;
	const struct eh_frame tables = local_tables(link, link->ledger.images.item[image].eh_frame);
	uint8_t *bytes = link_bytes(link, index.start);
	size_t offset = 0, room = (index.end - index.start - TABLE_AT) / ROW;
	ARRAY(struct index_row) rows = { 0 };
	const char *why = NULL;
	struct eh_fde fde;

	while (eh_frame_next(&tables, &offset, &fde, &why))
		if (fde.code.start < fde.code.end && is_part(&link->ledger, image, fde.code.start))
			*array_add(&rows) = (struct index_row){ fde.code.start, tables.address + fde.offset };
	if (rows.count)
		qsort(rows.item, rows.count, sizeof(struct index_row), compare_rows);
	if (!why && rows.count > room)
		why = "two are for the same code";
	if (!why) {
		bytes[0] = VERSION;
		bytes[1] = POINTER_PCREL_SDATA4;
		bytes[2] = COUNT_UDATA4;
		bytes[3] = TABLE_DATAREL_SDATA4;
		store32(bytes + POINTER_AT, (uint32_t)(tables.address - (index.start + POINTER_AT)));
		store32(bytes + COUNT_AT, (uint32_t)rows.count);
		for (size_t i = 0; i < rows.count; i++) {
			store32(bytes + TABLE_AT + i * ROW, (uint32_t)(rows.item[i].code - index.start));
			store32(bytes + TABLE_AT + i * ROW + 4, (uint32_t)(rows.item[i].fde - index.start));
		}
	}
	array_free(&rows);
	return why ? refuse(error, "patch %s: its unwind tables can't be used: %s", link->ledger.name, why) : STATUS_OK;
}
