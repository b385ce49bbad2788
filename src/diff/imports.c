/*
 * imports.c: symbols of other images that the new build refers to and the old one does not.
 *
 * The old image has no slot for such a symbol, so the slice gets one, and the stub that jumps through it, where the new build has them. What
 * goes into the slot can be known in the process only: the patch says the symbol's name and version, as the new build's dynamic symbol
 * table does, and src/live/imports.c finds what the dynamic linker would have found, or refuses.
 */
#include <string.h>

#include "diff/slicing.h"

static uint64_t import_index(struct patch *patch, const struct data_ref *slot)
{
	const char *version = slot->version ? slot->version : "";

	for (size_t i = 0; i < patch->imports.count; i++)
		if (strcmp(patch->imports.item[i].name, slot->symbol) == 0 && strcmp(patch->imports.item[i].version, version) == 0 &&
		    patch->imports.item[i].weak == slot->weak)
			return i;
	*array_add(&patch->imports) = (struct patch_import){ text_copy(slot->symbol), text_copy(version), slot->weak };
	return patch->imports.count - 1;
}

static bool bind_import(struct slicing *slicing, const struct data_ref *slot)
{
	const struct image *new = slicing->comparison->new.image;

	/* Thread-local symbols have offsets that only the dynamic linker hands out; copies of variables are made before main(). */
	if (slot->kind != RELOC_SLOT && slot->kind != RELOC_ADDRESS) {
		slicing->status = refuse(slicing->error, "%s: the new code needs the symbol %s, which the running image does not import and which is no plain address",
					 new->name, slot->symbol);
		return false;
	}
	*array_add(&slicing->patch->bindings) = (struct patch_binding){
		.where = slot->where,
		.type = BINDING_ABSOLUTE64,
		.anchor = ANCHOR_IMPORT,
		.target = import_index(slicing->patch, slot),
		.addend = slot->addend,
	};
	return true;
}

bool import_slot(struct slicing *slicing, const struct data_ref *slot)
{
	if (!bind_import(slicing, slot))
		return false;
	bind_copy_section(slicing, slot->where);
	return true;
}

bool import_word(struct slicing *slicing, const struct data_ref *word)
{
	if (!bind_import(slicing, word))
		return false;
	*array_add(&slicing->words) = word->where;
	return true;
}

void import_stub(struct slicing *slicing, uint64_t address)
{
	const struct program *new = &slicing->comparison->new;

	for (size_t i = 0; i < slicing->own_stubs.count; i++)
		if (slicing->own_stubs.item[i].start == address)
			return;
	if (import_slot(slicing, program_data_ref(new, program_stub(new, address)->where)))
		*array_add(&slicing->own_stubs) = program_stub_span(new, address);
}
