/* Names for addresses: the symbols of the image's file, and for the slice of a patch what its ledger says. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "live/traces.h"

struct place_symbol {
	uint64_t address, size;
	char *name;
};

struct place_image {
	uint64_t start;		/* of its span in the process */
	ARRAY(struct place_symbol) symbols;	/* functions, by address */
};

static int compare_symbols(const void *one, const void *other)
{
	const struct place_symbol *a = one, *b = other;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return strcmp(a->name, b->name);	/* of several names always the same one */
}

static void read_symbols(const struct image *image, struct place_image *out)
{
	for (size_t i = 0; i < image->symbols.count; i++) {
		const struct symbol *symbol = &image->symbols.item[i];

		if (!symbol->defined || !*symbol->name || (symbol->type != STT_FUNC && symbol->type != STT_GNU_IFUNC))
			continue;
		*array_add(&out->symbols) = (struct place_symbol){ symbol->value, symbol->size, text_copy(symbol->name) };
	}
	if (out->symbols.count)
		qsort(out->symbols.item, out->symbols.count, sizeof(*out->symbols.item), compare_symbols);
}

static const struct mapped_image *image_around(const struct survey *survey, uint64_t address)
{
	for (size_t i = 0; i < survey->images.count; i++)
		if (range_holds(survey->images.item[i].span, address))
			return &survey->images.item[i];
	return NULL;
}

static const struct place_image *symbols_of(struct places *places, const struct survey *survey, const struct mapped_image *mapped)
{
	struct place_image *found;
	struct image image;

	for (size_t i = 0; i < places->images.count; i++)
		if (places->images.item[i].start == mapped->span.start)
			return &places->images.item[i];
	found = array_add(&places->images);
	*found = (struct place_image){ .start = mapped->span.start };
	if (survey_read_image(survey, mapped, &image))
		read_symbols(&image, found);
	image_close(&image);
	return found;
}

static void name_by_symbol(const struct place_image *image, uint64_t address, uint64_t pc, struct place *place)
{
	size_t index = array_search(&image->symbols, address, address + 1);

	/* Symbols may lie inside of others: the last one that reaches so far, of a few. */
	for (size_t i = index; i && index - i < 8; i--) {
		const struct place_symbol *symbol = &image->symbols.item[i - 1];

		if (address - symbol->address >= symbol->size)
			continue;
		place->function = text_copy(symbol->name);
		place->function_offset = pc - symbol->address;
		return;
	}
}

static void name_by_ledger(const struct survey *survey, uint64_t address, uint64_t pc, struct place *place)
{
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];

		for (size_t j = 0; j < ledger->functions.count; j++) {
			const struct ledger_function *function = &ledger->functions.item[j];

			for (size_t k = 0; k < function->new_ranges.count; k++)
				if (range_holds(function->new_ranges.item[k], address)) {
					place->function = text_copy(function->name);
					place->function_offset = pc - function->new_ranges.item[k].start;
					return;
				}
		}
	}
}

void places_find(struct places *places, const struct survey *survey, const struct unwind_frame *frame, struct place *place)
{
	uint64_t address = frame->pc - frame->after_call;
	const struct mapped_image *mapped;

	*place = (struct place){ 0 };
	if (!frame->module)
		return;
	place->image = frame->module->name;
	place->offset = frame->pc - frame->module->bias;
	mapped = image_around(survey, address);
	if (mapped)
		name_by_symbol(symbols_of(places, survey, mapped), address - mapped->bias, place->offset, place);
	else
		name_by_ledger(survey, address, frame->pc, place);
}

void places_free(struct places *places)
{
	for (size_t i = 0; i < places->images.count; i++) {
		struct place_image *image = &places->images.item[i];

		for (size_t j = 0; j < image->symbols.count; j++)
			free(image->symbols.item[j].name);
		array_free(&image->symbols);
	}
	array_free(&places->images);
}
