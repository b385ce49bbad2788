/*
 * link_relocations.c: the relocations that the linker resolved and kept (ld --emit-relocs): which fields hold addresses, and of what.
 *
 * Linkers change code while they link (psABI B.2, GOTPCRELX and TLS transitions) and not all correct the relocations that they keep. So one
 * says what a field refers to only if the field's value is what follows from it; that is for who uses it to see.
 */
#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "image/image.h"
#include "image/rela.h"

static struct section *section_at(struct image *image, const GElf_Shdr *header)
{
	for (size_t i = 0; i < image->sections.count; i++)
		if (image->sections.item[i].span.start == header->sh_addr && header->sh_size)
			return &image->sections.item[i];
	return NULL;
}

/* What the symbol stands for: a variable or table with its size, or a section. Else an empty range. */
static struct range symbol_item(const struct image *image, const GElf_Sym *symbol)
{
	const struct section *section = image_section(image, symbol->st_value);

	if (!section || section->execute || section->thread_local)
		return (struct range){ 0 };
	if (GELF_ST_TYPE(symbol->st_info) == STT_SECTION && section->span.start == symbol->st_value)
		return section->span;
	if (GELF_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_size && symbol->st_size <= section->span.end - symbol->st_value)
		return (struct range){ symbol->st_value, symbol->st_value + symbol->st_size };
	return (struct range){ 0 };
}

static enum status read_section(const char *path, struct image *image, Elf_Scn *scn, const GElf_Shdr *header,
				const struct section *section, struct error *error)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	Elf_Scn *table = elf_getscn(image->elf, header->sh_link);
	Elf_Data *symbols = table ? elf_getdata(table, NULL) : NULL;
	size_t count = data && header->sh_entsize ? data->d_size / header->sh_entsize : 0;

	for (size_t i = 0; i < count; i++) {
		GElf_Rela rela;
		GElf_Sym symbol;

		if (rela_read(path, data, symbols, i, &rela, &symbol, error) != STATUS_OK)
			return STATUS_ERROR;
		if (!GELF_R_TYPE(rela.r_info) || !range_holds(section->span, rela.r_offset))
			continue;
		*array_add(&image->link_relocations) = (struct link_relocation){
			.where = rela.r_offset,
			.type = (uint32_t)GELF_R_TYPE(rela.r_info),
			.defined = symbol.st_shndx != SHN_UNDEF,
			.value = symbol.st_value + (uint64_t)rela.r_addend,
			.item = symbol_item(image, &symbol),
		};
	}
	return STATUS_OK;
}

static int compare_places(const void *one, const void *other)
{
	uint64_t a = ((const struct link_relocation *)one)->where, b = ((const struct link_relocation *)other)->where;

	return (a > b) - (a < b);
}

/* Sections that the linker makes hold addresses without relocations. */
static bool made_by_linker(const char *name)
{
	static const char *const starts[] = { ".got", ".plt", ".iplt", ".dyn", ".gnu", ".rela", ".relr", ".hash", ".interp", ".note" };

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (strncmp(name, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

enum status image_read_link_relocations(const char *path, struct image *image, struct error *error)
{
	Elf_Scn *scn = NULL;
	enum status status = STATUS_OK;
	bool code = false;

	while (!status && (scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header, target;
		Elf_Scn *other;
		struct section *section;

		if (!gelf_getshdr(scn, &header) || header.sh_type != SHT_RELA || (header.sh_flags & SHF_ALLOC))
			continue;
		other = elf_getscn(image->elf, header.sh_info);
		if (!other || !gelf_getshdr(other, &target) || !(target.sh_flags & SHF_ALLOC) || !(section = section_at(image, &target)))
			continue;
		code = code || section->execute;
		status = read_section(path, image, scn, &header, section, error);
	}
	/* The linker keeps those of all its input or none; a section that has none needed none. */
	for (size_t i = 0; code && i < image->sections.count; i++)
		image->sections.item[i].relocated = !made_by_linker(image->sections.item[i].name);
	if (image->link_relocations.count)
		qsort(image->link_relocations.item, image->link_relocations.count, sizeof(*image->link_relocations.item), compare_places);
	return status;
}

const struct link_relocation *image_link_relocation(const struct image *image, uint64_t where)
{
	size_t index = array_search(&image->link_relocations, where, where);

	return index < image->link_relocations.count && image->link_relocations.item[index].where == where
		       ? &image->link_relocations.item[index] : NULL;
}

bool link_relocation_find_item(const struct link_relocation *relocation, uint64_t *target, int32_t *offset)
{
	int64_t distance = (int64_t)(*target - relocation->item.start);

	if (!relocation->item.end || range_holds(relocation->item, *target) || distance != (int32_t)distance)
		return false;
	*target = relocation->item.start;
	*offset = (int32_t)distance;
	return true;
}
