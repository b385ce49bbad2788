/*
 * imports.c: symbols of other images.
 *
 * Those that the old image calls, too, are called by way of its own stubs. For one that only the new build refers to it has no slot, so the
 * slice gets one, and the stub that jumps through it, where the new build has them. What goes into the slot can be known in the process
 * only: the patch says the symbol's name and version, as the new build's dynamic symbol table does, and src/live/imports.c finds what the
 * dynamic linker would have found, or refuses.
 *
 * All of that is right only for the libraries that the new build is made for.
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

bool import_is_address(const struct data_ref *slot)
{
	return slot->kind == RELOC_SLOT || slot->kind == RELOC_ADDRESS;
}

static bool bind_import(struct slicing *slicing, const struct data_ref *slot)
{
	const struct image *new = slicing->comparison->new.image;

	/* Thread-local symbols have offsets that only the dynamic linker hands out; copies of variables are made before main(). */
	if (!import_is_address(slot)) {
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

void import_find_stubs(struct slicing *slicing)
{
	const struct program *old = &slicing->comparison->old;

	for (size_t i = 0; i < old->image->sections.count; i++) {
		const struct section *section = &old->image->sections.item[i];

		/* Entries of .plt and .plt.sec are 16 bytes, of .plt.got and of a static program's .plt 8 (psABI 5.2). */
		if (!section->execute || strncmp(section->name, ".plt", 4) != 0)
			continue;
		for (uint64_t at = section->span.start; at < section->span.end; at += 8)
			if (program_stub(old, at))
				*array_add(&slicing->stubs) = at;
	}
}

static uint64_t find_stub(const struct slicing *slicing, uint64_t address)
{
	for (size_t i = 0; i < slicing->stubs.count; i++)
		if (references_compare(slicing->comparison, slicing->stubs.item[i], address, REF_BRANCH, 0) == SAME)
			return slicing->stubs.item[i];
	return 0;
}

/* The old stub that leads where the new one at `address` does, or 0. Stubs are told by their slots, and it's always the same ones that are called. */
uint64_t import_old_stub(struct slicing *slicing, uint64_t address)
{
	const struct image *image = slicing->comparison->new.image;
	const struct relocation *slot = program_stub(&slicing->comparison->new, address);
	struct same_pointer *place;

	/* (That of a symbol that isn't there is no slot.) */
	if (!slot || image_relocation(image, slot->where) != slot)
		return find_stub(slicing, address);
	place = &slicing->stub_places[slot - image->relocations.item];
	if (!place->known)
		*place = (struct same_pointer){ true, find_stub(slicing, address) };
	return place->where;
}

static bool needs(const struct image *image, const char *library)
{
	for (size_t i = 0; i < image->needed.count; i++)
		if (!strcmp(image->needed.item[i], library))
			return true;
	return false;
}

/* What the name is in the other build: that of a library which is patched together with this image changes with it. */
static const char *renamed(const struct diff_options *options, const char *library, bool to_new)
{
	for (size_t i = 0; i < options->renamed_count; i++) {
		const struct renamed_library *one = &options->renamed[i];

		if (!strcmp(to_new ? one->old_name : one->new_name, library))
			return to_new ? one->new_name : one->old_name;
	}
	return library;
}

/* Of libdns-9.18.49.so and libdns.so.10 it is libdns, of libssl.so.3 libssl. */
static size_t stem_length(const char *library)
{
	const char *suffix = strstr(library, ".so");
	size_t length = strcspn(library, "0123456789");

	if (suffix && (size_t)(suffix - library) < length)
		length = (size_t)(suffix - library);
	while (length && (library[length - 1] == '-' || library[length - 1] == '.'))
		length--;
	return length;
}

static bool have_same_stem(const char *one, const char *other)
{
	size_t stem = stem_length(one);

	return stem && stem == stem_length(other) && !strncmp(one, other, stem);
}

/* What the new build needs in the place of a library that it does not need any more, under any name; or NULL. */
static const char *find_successor(const struct slicing *slicing, const char *library)
{
	const struct image *old = slicing->comparison->old.image, *new = slicing->comparison->new.image;
	const struct diff_options *options = slicing->comparison->options;

	if (needs(new, library) || needs(new, renamed(options, library, true)))
		return NULL;
	for (size_t i = 0; i < new->needed.count; i++) {
		const char *other = new->needed.item[i];

		if (!needs(old, other) && !needs(old, renamed(options, other, false)) && have_same_stem(library, other))
			return other;
	}
	return NULL;
}

/*
 * A library has another soname because code that was made for the one does not go with the other: what both call by the same names may take and
 * return other things. (One that is needed besides is in the process, or apply refuses; one that is not needed any more does no harm.)
 */
void import_check_libraries(struct slicing *slicing)
{
	const struct image *old = slicing->comparison->old.image;

	for (size_t i = 0; i < old->needed.count; i++) {
		const char *successor = find_successor(slicing, old->needed.item[i]);

		if (successor)
			slicing->status = refuse(slicing->error, "%s: its new build is made for %s, the running one for %s; a program and its libraries are patched together, as packages",
						 old->name, successor, old->needed.item[i]);
	}
}
