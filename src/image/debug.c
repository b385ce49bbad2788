#include "image/debug.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"
#include "image/objects.h"

struct debug {
	Dwfl *dwfl;
	Dwfl_Module *module;
	uint64_t bias;		/* libdwfl's addresses less the image's */
};

static void add_symbols(struct image *image, const struct debug *debug)
{
	GElf_Addr unused;
	const Elf *own = dwfl_module_getelf(debug->module, &unused);
	int count = dwfl_module_getsymtab(debug->module);
	const char *file = NULL;

	for (int i = 1; i < count; i++) {
		GElf_Sym symbol;
		GElf_Addr address;
		GElf_Word section;
		Elf *elf;
		const char *name = dwfl_module_getsym_info(debug->module, i, &symbol, &address, &section, &elf, NULL);
		uint8_t type = GELF_ST_TYPE(symbol.st_info);

		if (name && type == STT_FILE)
			file = name;
		/* A thread-local symbol's value is no address; the image's own symbols (dynamic ones, where nothing else was found) are known. */
		if (elf == own || !name || !*name || section == SHN_UNDEF || section == SHN_ABS || (type != STT_FUNC && type != STT_OBJECT) ||
		    !range_holds(image->span, address - debug->bias))
			continue;
		*array_add(&image->symbols) = (struct symbol){
			.name = name,
			.value = address - debug->bias,
			.size = symbol.st_size,
			.type = type,
			.binding = GELF_ST_BIND(symbol.st_info),
			.defined = true,
			.file = GELF_ST_BIND(symbol.st_info) == STB_LOCAL ? file : NULL,
		};
	}
}

/* Does the file say that it belongs to another build? */
static bool is_of_another_build(int file, Dwfl_Module *module)
{
	const unsigned char *wanted;
	const void *found;
	GElf_Addr unused;
	int wanted_size = dwfl_module_build_id(module, &wanted, &unused);
	Elf *elf = elf_begin(file, ELF_C_READ_MMAP, NULL);
	ssize_t size = elf ? dwelf_elf_gnu_build_id(elf, &found) : 0;
	bool other = size > 0 && wanted_size > 0 && (size != wanted_size || memcmp(found, wanted, (size_t)size) != 0);

	elf_end(elf);
	return other;
}

/* libdwfl compares the build-ids of what it finds on disk, but not of what a server sends. */
static int find_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *path, const char *link,
			  GElf_Word checksum, char **found)
{
	int file = dwfl_standard_find_debuginfo(module, data, name, base, path, link, checksum, found);

	if (file < 0 || !is_of_another_build(file, module))
		return file;
	close(file);
	free(*found);
	*found = NULL;
	return -1;
}

void image_add_debug(struct image *image)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = find_debuginfo,
		.section_address = dwfl_offline_section_address,
	};
	struct debug *debug = memory_zeroed(1, sizeof(*debug));
	GElf_Addr start;
	char *path;

	image->debug = debug;
	debug->dwfl = dwfl_begin(&callbacks);
	if (!debug->dwfl)
		return;
	/* Files with debug information are looked for near the path, too: not in the current folder, which may be anybody's. */
	path = text_format("/%s", image->name);
	/* (The image is only read; libelf's interface has no const.) */
	debug->module = dwfl_report_offline_memory(debug->dwfl, image->name, path, (char *)(uintptr_t)image->file, image->file_size);
	free(path);
	if (!debug->module || dwfl_report_end(debug->dwfl, NULL, NULL) ||
	    !dwfl_module_info(debug->module, NULL, &start, NULL, NULL, NULL, NULL, NULL)) {
		debug->module = NULL;
		return;
	}
	debug->bias = (start & ~UINT64_C(4095)) - image->span.start;
	if (!image_has_names(image)) {
		add_symbols(image, debug);
		objects_find(image);
	}
}

/* The compilation unit that holds the address. Not all compilers write the index that libdw looks in first. */
static Dwarf_Die *find_unit(const struct debug *debug, uint64_t address, Dwarf_Addr *bias)
{
	Dwarf_Die *unit = dwfl_module_addrdie(debug->module, address, bias);

	if (unit)
		return unit;
	while ((unit = dwfl_module_nextcu(debug->module, unit, bias)))
		if (dwarf_haspc(unit, address - *bias) > 0)
			return unit;
	return NULL;
}

const char *image_inlined(const struct image *image, uint64_t address)
{
	const struct debug *debug = image->debug;
	Dwarf_Die *unit, *scopes = NULL;
	const char *name = NULL;
	Dwarf_Addr bias;
	int count;

	if (!debug || !debug->module || !(unit = find_unit(debug, address + debug->bias, &bias)))
		return NULL;
	count = dwarf_getscopes(unit, address + debug->bias - bias, &scopes);
	for (int i = 0; i < count && !name; i++) {
		if (dwarf_tag(&scopes[i]) == DW_TAG_subprogram)
			break;
		if (dwarf_tag(&scopes[i]) == DW_TAG_inlined_subroutine)
			name = dwarf_diename(&scopes[i]);
	}
	free(scopes);
	return name;
}

void debug_free(struct debug *debug)
{
	if (!debug)
		return;
	if (debug->dwfl)
		dwfl_end(debug->dwfl);
	free(debug);
}
