#include "image/lsda.h"

#include <stdlib.h>

#include "image/dwarf_bytes.h"

#define ACTIONS_MAX 65536u	/* of one area: chains share their ends, so a small area may have many */
#define CHAIN_MAX 1024u		/* actions of one call */

/* The parts of the area. */
struct area {
	struct dwarf_cursor all;	/* from its start to the end of the section */
	uint64_t address;	/* of all.at */
	const uint8_t *actions;
	const uint8_t *types;	/* end of the table, which grows downwards, and start of the specifications; NULL: none */
};

static bool open_area(const struct image *image, uint64_t address, struct area *area)
{
	const struct section *section = image_section(image, address);

	if (!section || !section->data)
		return false;
	area->address = address;
	area->all = (struct dwarf_cursor){
		section->data + (address - section->span.start), section->data + (section->span.end - section->span.start), false,
	};
	return true;
}

static uint64_t address_of(const struct area *area, const uint8_t *at)
{
	return area->address + (uint64_t)(at - area->all.at);
}

/* False: an encoding whose base isn't known. */
static bool read_address(const struct area *area, struct dwarf_cursor *cursor, uint8_t encoding, uint64_t *address)
{
	uint64_t place = address_of(area, cursor->at), value = dwarf_read_encoded(cursor, encoding);
	uint8_t base = encoding & PE_BASE;

	*address = value && base == PE_PCREL ? place + value : value;
	return !cursor->bad && (!base || base == PE_PCREL);
}

/* The numbers of the types in a specification, and the 0 behind them. */
static bool add_specification(const struct area *area, int64_t filter, struct lsda *lsda)
{
	uint64_t offset = (uint64_t)-(filter + 1);
	struct dwarf_cursor list = { area->types, area->all.end, false };
	uint64_t number;

	if (!area->types || !dwarf_read_block(&list, offset))
		return false;
	do {
		number = dwarf_read_uleb(&list);
		if (list.bad || number > INT32_MAX || lsda->actions.count > ACTIONS_MAX)
			return false;
		*array_add(&lsda->actions) = (int64_t)number;
	} while (number);
	return true;
}

/* The chain of actions that begins `offset` bytes behind the start of the table. */
static bool add_chain(const struct area *area, uint64_t offset, struct lsda *lsda)
{
	struct dwarf_cursor action = { area->actions, area->all.end, false };

	if (!dwarf_read_block(&action, offset))
		return false;
	for (unsigned int i = 0; i < CHAIN_MAX && lsda->actions.count <= ACTIONS_MAX; i++) {
		int64_t filter = dwarf_read_sleb(&action), next;
		const uint8_t *place = action.at;

		next = dwarf_read_sleb(&action);
		if (action.bad || filter < INT32_MIN || filter > INT32_MAX)
			return false;
		*array_add(&lsda->actions) = filter;
		if (filter < 0 && !add_specification(area, filter, lsda))
			return false;
		if (!next)
			return true;
		if (next < area->actions - place || next > area->all.end - place)
			return false;
		action.at = place + next;
	}
	return false;
}

static const char *read_calls(const struct area *area, struct dwarf_cursor table, uint8_t encoding, uint64_t start, uint64_t pads,
			      struct lsda *lsda)
{
	while (dwarf_left(&table)) {
		uint64_t from = dwarf_read_encoded(&table, encoding), length = dwarf_read_encoded(&table, encoding);
		uint64_t pad = dwarf_read_encoded(&table, encoding), action = dwarf_read_uleb(&table);
		uint32_t first = (uint32_t)lsda->actions.count;

		if (table.bad)
			return "its list of calls is cut off";
		if (action && !add_chain(area, action - 1, lsda))
			return "an action of a call can't be read";
		*array_add(&lsda->calls) = (struct lsda_call){ { start + from, start + from + length }, pad ? pads + pad : 0, !action, first,
							       (uint32_t)lsda->actions.count - first };
	}
	return NULL;
}

static int compare_types(const void *one, const void *other)
{
	int64_t a = ((const struct lsda_type *)one)->number, b = ((const struct lsda_type *)other)->number;

	return (a > b) - (a < b);
}

/* Which types are named; each once. */
static void collect_types(struct lsda *lsda)
{
	size_t kept = 0;

	for (size_t i = 0; i < lsda->actions.count; i++)
		if (lsda->actions.item[i] > 0)
			*array_add(&lsda->types) = (struct lsda_type){ .number = lsda->actions.item[i] };
	if (lsda->types.count)
		qsort(lsda->types.item, lsda->types.count, sizeof(struct lsda_type), compare_types);
	for (size_t i = 0; i < lsda->types.count; i++)
		if (!kept || lsda->types.item[kept - 1].number != lsda->types.item[i].number)
			lsda->types.item[kept++] = lsda->types.item[i];
	lsda->types.count = kept;
}

static const char *read_types(const struct area *area, struct lsda *lsda)
{
	size_t size = dwarf_encoded_size(lsda->type_encoding);

	collect_types(lsda);
	for (size_t i = 0; i < lsda->types.count; i++) {
		struct lsda_type *type = &lsda->types.item[i];
		struct dwarf_cursor field = { area->types, area->all.end, false };

		if (!area->types || !size || (uint64_t)type->number > (uint64_t)(area->types - area->all.at) / size)
			return "a type lies outside of its table";
		field.at -= (size_t)type->number * size;
		type->where = address_of(area, field.at);
		if (!read_address(area, &field, lsda->type_encoding, &type->target))
			return "its types are encoded in a way that is not known";
	}
	return NULL;
}

const char *lsda_read(const struct image *image, uint64_t address, uint64_t start, struct lsda *lsda)
{
	struct area area = { 0 };
	struct dwarf_cursor cursor;
	uint64_t pads = start, size;
	const uint8_t *table;
	uint8_t encoding;
	const char *why;

	*lsda = (struct lsda){ .type_encoding = PE_OMIT };
	if (!open_area(image, address, &area))
		return "it lies in no section";
	cursor = area.all;
	encoding = dwarf_read8(&cursor);
	if (encoding != PE_OMIT && (!read_address(&area, &cursor, encoding, &pads) || encoding & PE_INDIRECT))
		return "the start of its landing pads is encoded in a way that is not known";
	lsda->type_encoding = dwarf_read8(&cursor);
	if (lsda->type_encoding != PE_OMIT) {
		uint64_t distance = dwarf_read_uleb(&cursor);

		if (cursor.bad || distance > dwarf_left(&cursor))
			return "its types lie outside of the section";
		area.types = cursor.at + distance;
	}
	encoding = dwarf_read8(&cursor);
	size = dwarf_read_uleb(&cursor);
	table = dwarf_read_block(&cursor, size);
	if (!table)
		return "its list of calls is cut off";
	area.actions = cursor.at;
	why = read_calls(&area, (struct dwarf_cursor){ table, table + size, false }, encoding, start, pads, lsda);
	return why ? why : read_types(&area, lsda);
}

void lsda_free(struct lsda *lsda)
{
	array_free(&lsda->calls);
	array_free(&lsda->actions);
	array_free(&lsda->types);
}
