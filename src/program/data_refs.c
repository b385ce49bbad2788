/* data_refs.c: pointers in data, and the boundaries between data items. */
#include <elf.h>
#include <stdlib.h>

#include "base/search.h"
#include "program/analysis.h"

/* See link_relocation_find_item(). */
static void find_item(const struct image *image, struct data_ref *ref)
{
	const struct link_relocation *relocation = image_link_relocation(image, ref->where);

	if (relocation && image->arch->link_relocation(relocation->type) == LINK_ABSOLUTE && relocation->value == ref->target)
		(void)link_relocation_find_item(relocation, &ref->target, &ref->offset);
}

static void add_relocations(struct program *program)
{
	const struct image *image = program->image;

	for (size_t i = 0; i < image->relocations.count; i++) {
		const struct relocation *relocation = &image->relocations.item[i];
		enum reloc_kind kind = image->arch->relocation(relocation->type);
		struct data_ref *ref = array_add(&program->data_refs);

		*ref = (struct data_ref){ .where = relocation->where, .kind = (uint8_t)kind, .addend = relocation->addend };
		if (kind == RELOC_RELATIVE || kind == RELOC_RESOLVER)
			ref->target = (uint64_t)relocation->addend;
		else if ((kind == RELOC_ADDRESS || kind == RELOC_SLOT) && relocation->value)
			ref->target = relocation->value + (uint64_t)relocation->addend;
		if (kind == RELOC_TLS_MODULE && !relocation->symbol) {
			const uint8_t *offset = image_bytes(image, relocation->where + 8, 8);

			ref->addend = offset ? (int64_t)load64(offset) : -1;
		}
		ref->symbol = relocation->symbol;
		ref->version = relocation->version;
		if (ref->target)
			find_item(image, ref);
		ref->weak = relocation->weak;
	}
}

/* A word that the linker filled in is a pointer if its kept relocation says so. Where it disagrees with the word, nobody knows. */
static bool is_pointer(const struct image *image, const struct section *section, uint64_t at, uint64_t word, bool *guessed)
{
	const struct link_relocation *relocation = image_link_relocation(image, at);
	bool known = relocation && image->arch->link_relocation(relocation->type) == LINK_ABSOLUTE && relocation->defined &&
		     relocation->value == word;

	*guessed = !known;
	if (!relocation && section->relocated)
		return false;
	return range_holds(image->span, word) && image_section(image, word) && !image_relocation(image, at);
}

/*
 * An image of fixed address has no dynamic relocations for its own pointers. Unless the linker has kept its relocations, an aligned
 * word that is an address inside of one of its sections is taken for one; the diff treats these as candidates, not as facts.
 */
static void find_pointers(struct program *program)
{
	const struct image *image = program->image;

	for (size_t i = 0; i < image->sections.count; i++) {
		const struct section *section = &image->sections.item[i];

		if (!section->data || section->execute)
			continue;
		for (uint64_t at = (section->span.start + 7) & ~UINT64_C(7); at + 8 <= section->span.end; at += 8) {
			uint64_t word = load64(section->data + (at - section->span.start));
			bool guessed;
			struct data_ref *ref;

			if (!is_pointer(image, section, at, word, &guessed))
				continue;
			ref = array_add(&program->data_refs);
			*ref = (struct data_ref){ .where = at, .target = word, .kind = RELOC_RELATIVE, .guessed = guessed };
			find_item(image, ref);
		}
	}
}

static int compare_refs(const void *one, const void *other)
{
	uint64_t a = ((const struct data_ref *)one)->where, b = ((const struct data_ref *)other)->where;

	return (a > b) - (a < b);
}

void data_refs_find(struct program *program)
{
	bool sorted = true;

	add_relocations(program);
	if (program->image->fixed_address)
		find_pointers(program);
	for (size_t i = 1; i < program->data_refs.count && sorted; i++)
		sorted = program->data_refs.item[i - 1].where <= program->data_refs.item[i].where;
	if (!sorted)
		qsort(program->data_refs.item, program->data_refs.count, sizeof(*program->data_refs.item), compare_refs);
}

static void add_boundary(struct program *program, uint64_t address)
{
	const struct section *section = image_section(program->image, address);

	if (section && !section->execute)
		*array_add(&program->boundaries) = address;
}

void boundaries_find(struct program *program)
{
	const struct image *image = program->image;
	size_t kept = 0;

	for (size_t i = 0; i < program->refs.count; i++)
		if (program->refs.item[i].kind != REF_LOAD || !program->refs.item[i].access)
			add_boundary(program, program->refs.item[i].target);
	for (size_t i = 0; i < program->data_refs.count; i++)
		add_boundary(program, program->data_refs.item[i].target);
	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].defined && image->symbols.item[i].type != STT_TLS)
			add_boundary(program, image->symbols.item[i].value);
	for (size_t i = 0; i < image->sections.count; i++) {
		*array_add(&program->boundaries) = image->sections.item[i].span.start;
		*array_add(&program->boundaries) = image->sections.item[i].span.end;
	}
	qsort(program->boundaries.item, program->boundaries.count, sizeof(uint64_t), compare_addresses);
	for (size_t i = 0; i < program->boundaries.count; i++)
		if (!kept || program->boundaries.item[i] != program->boundaries.item[kept - 1])
			program->boundaries.item[kept++] = program->boundaries.item[i];
	program->boundaries.count = kept;
}

static void add_inner_target(struct program *program, uint64_t address)
{
	const struct code_range *range = program_range(program, address);
	const struct section *section = range ? NULL : image_section(program->image, address);

	if (range ? range->span.start != address : section && section->execute)
		*array_add(&program->inner_targets) = address;
}

void inner_targets_find(struct program *program)
{
	for (size_t i = 0; i < program->refs.count; i++)
		add_inner_target(program, program->refs.item[i].target);
	for (size_t i = 0; i < program->data_refs.count; i++)
		add_inner_target(program, program->data_refs.item[i].target);
	if (program->inner_targets.count)
		qsort(program->inner_targets.item, program->inner_targets.count, sizeof(uint64_t), compare_addresses);
}

void stored_find(struct program *program)
{
	for (size_t i = 0; i < program->refs.count; i++) {
		const struct code_ref *ref = &program->refs.item[i];
		bool known = ref->kind == REF_LOAD || program->image->fixed_address;	/* else it is the displacement of a member */
		const struct section *section = ref->stores && known ? image_section(program->image, ref->target) : NULL;

		if (section && section->relro)
			*array_add(&program->stored) = ref->target;
	}
	if (program->stored.count)
		qsort(program->stored.item, program->stored.count, sizeof(uint64_t), compare_addresses);
}

bool program_stores(const struct program *program, uint64_t address)
{
	uint64_t word = address & ~UINT64_C(7);
	size_t next = program->stored.count ? search_address(program->stored.item, program->stored.count, sizeof(uint64_t), word) : 0;

	return next < program->stored.count && program->stored.item[next] < word + 8;
}
