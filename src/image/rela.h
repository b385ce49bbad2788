/* rela.h: one record of a section of relocations, and its symbol. */
#ifndef STENT_IMAGE_RELA_H
#define STENT_IMAGE_RELA_H

#include <gelf.h>

#include "base/error.h"

/*
 * Record `index` of *data. *symbol is that of the table `symbols`, or zero where the record has none. STATUS_ERROR: the record can't be
 * read, or names a symbol that is not in the table (which may be NULL). `path`: for messages.
 */
static inline enum status must_check rela_read(const char *path, Elf_Data *data, Elf_Data *symbols, size_t index, GElf_Rela *rela,
					       GElf_Sym *symbol, struct error *error)
{
	*symbol = (GElf_Sym){ 0 };
	if (!gelf_getrela(data, (int)index, rela))
		return fail(error, "%s: its relocations are damaged", path);
	if (GELF_R_SYM(rela->r_info) && (!symbols || !gelf_getsym(symbols, (int)GELF_R_SYM(rela->r_info), symbol)))
		return fail(error, "%s: a relocation names a symbol that does not exist", path);
	return STATUS_OK;
}

#endif
