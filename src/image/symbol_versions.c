#include "image/symbol_versions.h"

#include <gelf.h>
#include <stdlib.h>

#define TABLE_MAX 4096		/* records of a table: a guard against ones that lead in a circle */
#define NUMBER_MASK 0x7fff	/* bit 15 says that the symbol is not the default version of its name */
#define NUMBER_FIRST 2		/* 0 and 1 are local and global symbols without a version */

static void set_name(struct symbol_versions *versions, unsigned int number, const char *name)
{
	number &= NUMBER_MASK;
	while (versions->names.count <= number)
		*array_add(&versions->names) = NULL;
	if (number >= NUMBER_FIRST)
		versions->names.item[number] = name;
}

/* What other images define. */
static void read_needs(const struct image *image, Elf_Scn *scn, const GElf_Shdr *header, struct symbol_versions *versions)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Verneed need;
	GElf_Vernaux aux;
	int offset = 0;

	for (size_t guard = 0; data && guard < TABLE_MAX && gelf_getverneed(data, offset, &need); guard++) {
		int at = offset + (int)need.vn_aux;

		for (unsigned i = 0; i < need.vn_cnt && gelf_getvernaux(data, at, &aux); i++, at += (int)aux.vna_next)
			set_name(versions, aux.vna_other, elf_strptr(image->elf, header->sh_link, aux.vna_name));
		if (!need.vn_next)
			break;
		offset += (int)need.vn_next;
	}
}

/* What the image itself defines. The first name of a definition is its own, others are those it inherits from. */
static void read_definitions(const struct image *image, Elf_Scn *scn, const GElf_Shdr *header, struct symbol_versions *versions)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Verdef definition;
	GElf_Verdaux aux;
	int offset = 0;

	for (size_t guard = 0; data && guard < TABLE_MAX && gelf_getverdef(data, offset, &definition); guard++) {
		if (!(definition.vd_flags & VER_FLG_BASE) && gelf_getverdaux(data, offset + (int)definition.vd_aux, &aux))
			set_name(versions, definition.vd_ndx, elf_strptr(image->elf, header->sh_link, aux.vda_name));
		if (!definition.vd_next)
			break;
		offset += (int)definition.vd_next;
	}
}

void symbol_versions_read(const struct image *image, struct symbol_versions *versions)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr header;

	*versions = (struct symbol_versions){ 0 };
	while ((scn = elf_nextscn(image->elf, scn))) {
		if (!gelf_getshdr(scn, &header))
			continue;
		if (header.sh_type == SHT_GNU_versym)
			versions->numbers = elf_getdata(scn, NULL);
		else if (header.sh_type == SHT_GNU_verneed)
			read_needs(image, scn, &header, versions);
		else if (header.sh_type == SHT_GNU_verdef)
			read_definitions(image, scn, &header, versions);
	}
}

void symbol_versions_free(struct symbol_versions *versions)
{
	array_free(&versions->names);
}

const char *symbol_versions_name(const struct symbol_versions *versions, size_t index)
{
	GElf_Versym number;

	if (!versions->numbers || !gelf_getversym(versions->numbers, (int)index, &number))
		return NULL;
	return (number & NUMBER_MASK) < versions->names.count ? versions->names.item[number & NUMBER_MASK] : NULL;
}
