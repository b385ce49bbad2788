#include "unwind/landing.h"

#include <stdlib.h>

#include "base/search.h"
#include "image/dwarf_bytes.h"

/* DW_EH_PE_*: LSB Core 5.0, 10.5.1. */
enum { PE_ULEB128 = 0x01, PE_UDATA2 = 0x02, PE_UDATA4 = 0x03, PE_UDATA8 = 0x04, PE_SDATA4 = 0x0b, PE_PCREL = 0x10, PE_OMIT = 0xff };

static uint64_t read_number(struct dwarf_cursor *cursor, uint8_t encoding)
{
	switch (encoding & 0x0f) {
	case 0: case PE_UDATA8: case PE_UDATA8 | 8:
		return dwarf_read64(cursor);
	case PE_ULEB128:
		return dwarf_read_uleb(cursor);
	case PE_UDATA2:
		return dwarf_read16(cursor);
	case PE_UDATA4:
		return dwarf_read32(cursor);
	case PE_SDATA4:
		return (uint64_t)(int64_t)(int32_t)dwarf_read32(cursor);
	}
	cursor->bad = true;
	return 0;
}

static int compare_pads(const void *left, const void *right)
{
	uint64_t a = ((const struct landing_pad *)left)->calls.start, b = ((const struct landing_pad *)right)->calls.start;

	return (a > b) - (a < b);
}

/* The bytes from the address to the end of its section. */
static bool open_area(const struct image *image, uint64_t lsda, struct dwarf_cursor *cursor)
{
	const struct section *section = image_section(image, lsda);

	if (!section || !section->data)
		return false;
	*cursor = (struct dwarf_cursor){
		section->data + (lsda - section->span.start), section->data + (section->span.end - section->span.start), false,
	};
	return true;
}

void landing_pads_read(const struct image *image, uint64_t lsda, uint64_t start, struct landing_pads *pads)
{
	struct dwarf_cursor area, table;
	uint64_t base = start, size;
	const uint8_t *bytes;
	uint8_t encoding;

	if (!lsda || !open_area(image, lsda, &area))
		return;
	encoding = dwarf_read8(&area);
	if (encoding != PE_OMIT) {
		uint64_t place = lsda + 1;

		base = read_number(&area, encoding);
		if ((encoding & 0x70) == PE_PCREL)
			base += place;
	}
	if (dwarf_read8(&area) != PE_OMIT)	/* encoding and distance of the type table */
		dwarf_read_uleb(&area);
	encoding = dwarf_read8(&area);
	size = dwarf_read_uleb(&area);
	bytes = dwarf_read_block(&area, size);
	if (!bytes)
		return;

	table = (struct dwarf_cursor){ bytes, bytes + size, false };
	while (dwarf_left(&table)) {
		uint64_t from = read_number(&table, encoding), length = read_number(&table, encoding);
		uint64_t pad = read_number(&table, encoding);

		dwarf_read_uleb(&table);	/* action */
		if (table.bad)
			break;
		if (pad)
			*array_add(pads) = (struct landing_pad){ { start + from, start + from + length }, base + pad };
	}
	if (pads->count)
		qsort(pads->item, pads->count, sizeof(*pads->item), compare_pads);
}

uint64_t landing_pad_find(const struct landing_pads *pads, uint64_t call)
{
	size_t index = pads->count ? search_address(&pads->item->calls.start, pads->count, sizeof(*pads->item), call + 1) : 0;

	return index && range_holds(pads->item[index - 1].calls, call) ? pads->item[index - 1].pad : 0;
}
