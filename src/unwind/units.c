/*
 * units.c: the FDEs of an image, and the places inside of them that something else refers to.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "unwind/validating.h"

static bool has_entry_row(const struct row *row)
{
	bool claims = row->kind == ROW_REGISTER && row->base == REGISTER_STACK_POINTER && row->offset == 8 &&
		      row->return_at == -1 && !(row->flags & (ROW_RETURN_IN_REGISTER | ROW_SAVED_AT_FRAME));

	for (unsigned int i = 0; i < FRAME_SAVED && claims; i++)
		claims = row->saved[i] == ROW_SAME || row->saved[i] == ROW_LOST;
	return claims || row->kind == ROW_END || row->kind == ROW_SIGNAL;
}

static bool in_stubs(const struct image *image, uint64_t address)
{
	const struct section *section = image_section(image, address);

	return section && !strncmp(section->name, ".plt", 4);
}

/* Nothing but nops from the address to the next row? gcc begins a cold part with one, so that no address in it is the end
 * of the part before, and claims a function's entry for it. */
static bool is_only_padding(const struct image *image, uint64_t start, uint64_t end)
{
	const uint8_t *code = image_bytes(image, start, end - start);
	struct insn_effect effect;

	for (uint64_t at = start; at < end; at += effect.length)
		if (!code || !image->arch->effect(code + (at - start), end - at, at, &effect) || effect.insn != INSN_NOP)
			return false;
	return true;
}

/* Is this a function that is called, or a part of one that only jumps lead to? */
static bool begins_function(const struct validating *all, const struct unit *unit)
{
	const struct row *row = &all->rows->item[unit->row];

	if (!has_entry_row(row))
		return false;
	return unit->rows == 1 || has_entry_row(row + 1) || !is_only_padding(all->image, unit->code.start, row_end(all->rows, row));
}

/* The FDEs that have rows of their own, in the rows' order. */
static void find_units(struct validating *all)
{
	const struct rows *rows = all->rows;

	for (uint32_t i = 0; i + 1 < rows->count; i++) {
		struct unit *unit;
		uint64_t start = rows->text.start + rows->item[i].start;

		if (!(rows->item[i].flags & ROW_STARTS_FDE))
			continue;
		unit = array_add(&all->units);
		*unit = (struct unit){ .row = i, .rows = 1, .tail = NOTHING, .leader = (uint32_t)all->units.count - 1 };
		while (rows->item[i + 1].kind != ROW_NONE && !(rows->item[i + 1].flags & ROW_STARTS_FDE) &&
		       rows->item[i + 1].reason != REASON_DISPUTED) {
			i++;
			unit->rows++;
		}
		unit->code = (struct range){ start, rows->text.start + rows->item[i + 1].start };
		unit->function = begins_function(all, unit);
		unit->stubs = in_stubs(all->image, start);
	}
}

static void index_units(struct validating *all)
{
	const struct unit *units = all->units.item;
	uint64_t start, end;
	uint32_t next = 0;

	if (!all->units.count)
		return;
	/* All are in the rows' text, which is smaller than 4 GiB. */
	start = units[0].code.start;
	end = units[all->units.count - 1].code.end;
	all->unit_index = memory_zeroed((end - start) / UNIT_STEP + 1, sizeof(*all->unit_index));
	for (uint64_t at = start; at < end; at += UNIT_STEP) {
		while (units[next].code.end <= at)
			next++;
		all->unit_index[(at - start) / UNIT_STEP] = next;
	}
}

static void find_landing_areas(struct validating *all)
{
	size_t offset = 0;
	struct eh_fde fde;
	const char *why;

	while (eh_frame_next(&all->image->eh_frame, &offset, &fde, &why)) {
		uint32_t unit = fde.lsda ? validating_unit(all, fde.code.start) : NOTHING;

		if (unit != NOTHING && all->units.item[unit].code.start == fde.code.start)
			all->units.item[unit].lsda = fde.lsda;
	}
}

/* Is it a place in a unit that the unit's own entry does not account for? */
static bool is_inside(const struct validating *all, uint64_t address)
{
	uint32_t unit = validating_unit(all, address);

	return unit != NOTHING && !all->units.item[unit].stubs &&
	       (all->units.item[unit].code.start != address || !all->units.item[unit].function);
}

static void find_labels(struct validating *all)
{
	const struct image *image = all->image;

	for (size_t i = 0; i < image->relocations.count; i++) {
		const struct relocation *relocation = &image->relocations.item[i];
		uint64_t target = (uint64_t)relocation->addend;

		if (image->arch->relocation(relocation->type) == RELOC_RELATIVE && is_inside(all, target))
			*array_add(&all->labels) = target;
	}
	for (size_t i = 0; i < image->sections.count && image->fixed_address; i++) {
		const struct section *section = &image->sections.item[i];

		if (section->execute || !section->data)
			continue;
		for (uint64_t at = (section->span.start + 7) & ~UINT64_C(7); at + 8 <= section->span.end; at += 8) {
			uint64_t target = load64(section->data + (at - section->span.start));

			if (is_inside(all, target))
				*array_add(&all->labels) = target;
		}
	}
	if (all->labels.count)
		qsort(all->labels.item, all->labels.count, sizeof(uint64_t), compare_addresses);
}

static void find_entries(struct validating *all)
{
	const struct image *image = all->image;

	for (size_t i = 0; i < image->symbols.count; i++) {
		const struct symbol *symbol = &image->symbols.item[i];

		/* gcc gives cold parts local names. */
		if (symbol->defined && symbol->type == STT_FUNC && is_inside(all, symbol->value) &&
		    (symbol->dynamic || all->units.item[validating_unit(all, symbol->value)].code.start != symbol->value))
			*array_add(&all->entries) = symbol->value;
	}
	if (all->entries.count)
		qsort(all->entries.item, all->entries.count, sizeof(uint64_t), compare_addresses);
}

void units_find(struct validating *all)
{
	find_units(all);
	index_units(all);
	find_landing_areas(all);
	find_labels(all);
	find_entries(all);
}

void units_add_taken_labels(struct validating *all)
{
	size_t before = all->labels.count;

	for (size_t i = 0; i < all->taken.count; i++) {
		if (!is_inside(all, all->taken.item[i]))
			continue;
		*array_add(&all->labels) = all->taken.item[i];
		all->units.item[all->units.item[validating_unit(all, all->taken.item[i])].leader].recheck = true;
	}
	if (all->labels.count > before)
		qsort(all->labels.item, all->labels.count, sizeof(uint64_t), compare_addresses);
}
