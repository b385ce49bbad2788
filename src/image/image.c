#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/search.h"
#include "image/debug.h"
#include "image/objects.h"
#include "image/rela.h"
#include "image/symbol_versions.h"

#define PAGE 4096
#define FILE_MAX (1u << 30)	/* bytes of a file that are read; the largest browsers have 300 MB */

/* Read, and not mapped: whoever can write to a mapped file can end its reader by making the file shorter. */
static enum status read_open_file(int file, const char *path, struct image *image, struct error *error)
{
	struct stat stat;
	uint8_t *bytes;
	size_t done = 0;
	ssize_t count = 1;

	if (fstat(file, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_size < (off_t)sizeof(Elf64_Ehdr))
		return fail(error, "%s: is not an ELF file", path);
	if (stat.st_size > FILE_MAX)
		return fail(error, "%s: is larger than %u MiB", path, FILE_MAX >> 20);
	bytes = memory_resize(NULL, (size_t)stat.st_size, 1);
	while (done < (size_t)stat.st_size && count > 0) {
		count = pread(file, bytes + done, (size_t)stat.st_size - done, (off_t)done);
		if (count > 0)
			done += (size_t)count;
	}
	image->file = bytes;
	image->file_size = done;
	return done == (size_t)stat.st_size ? STATUS_OK : fail(error, "%s: can't be read to its end", path);
}

static enum status read_file(const char *path, struct image *image, struct error *error)
{
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	enum status status;

	if (file < 0)
		return fail(error, "%s: %s", path, strerror(errno));
	status = read_open_file(file, path, image, error);
	close(file);
	return status;
}

/* Is [offset, offset + size) inside the file? */
static bool in_file(const struct image *image, uint64_t offset, uint64_t size)
{
	return offset <= image->file_size && size <= image->file_size - offset;
}

static enum status read_header(const char *path, struct image *image, struct error *error)
{
	GElf_Ehdr header;

	elf_version(EV_CURRENT);
	image->elf = elf_memory((char *)(uintptr_t)image->file, image->file_size);
	if (!image->elf || elf_kind(image->elf) != ELF_K_ELF || !gelf_getehdr(image->elf, &header))
		return fail(error, "%s: is not an ELF file", path);
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
		return fail(error, "%s: is not a 64-bit little-endian ELF file", path);
	image->arch = arch_by_machine(header.e_machine);
	if (!image->arch)
		return fail(error, "%s: instruction set %u is not supported", path, header.e_machine);
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
		return fail(error, "%s: is neither an executable nor a shared library", path);
	image->fixed_address = header.e_type == ET_EXEC;
	image->entry = header.e_entry;
	return STATUS_OK;
}

static enum status add_segment(const char *path, struct image *image, const GElf_Phdr *header, struct error *error)
{
	if (header->p_filesz > header->p_memsz || header->p_vaddr + header->p_memsz < header->p_vaddr ||
	    header->p_vaddr + header->p_memsz > (UINT64_C(1) << 47) || !in_file(image, header->p_offset, header->p_filesz))
		return fail(error, "%s: a program header points outside of the file", path);

	*array_add(&image->segments) = (struct segment){
		.span = { header->p_vaddr, header->p_vaddr + header->p_memsz },
		.file_size = header->p_filesz,
		.data = image->file + header->p_offset,
		.flags = header->p_flags,
	};
	return STATUS_OK;
}

static void read_build_id(struct image *image, const GElf_Phdr *header)
{
	Elf_Data *data = elf_getdata_rawchunk(image->elf, (int64_t)header->p_offset, header->p_filesz,
					      header->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	size_t offset = 0, name, description;
	GElf_Nhdr note;

	while (data && (offset = gelf_getnote(data, offset, &note, &name, &description)) > 0) {
		const char *bytes = data->d_buf;

		if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp(bytes + name, "GNU", 4) != 0 ||
		    note.n_descsz == 0 || note.n_descsz > BUILD_ID_MAX)
			continue;
		image->id.size = (uint8_t)note.n_descsz;
		memcpy(image->id.bytes, bytes + description, note.n_descsz);
	}
}

static enum status read_segments(const char *path, struct image *image, struct range *relro, struct error *error)
{
	size_t count;
	bool interpreter = false;
	enum status status;

	if (elf_getphdrnum(image->elf, &count) < 0)
		return fail(error, "%s: %s", path, elf_errmsg(-1));
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;

		if (!gelf_getphdr(image->elf, (int)i, &header))
			return fail(error, "%s: %s", path, elf_errmsg(-1));
		switch (header.p_type) {
		case PT_LOAD:
			status = add_segment(path, image, &header, error);
			if (status)
				return status;
			break;
		case PT_NOTE:
			if (in_file(image, header.p_offset, header.p_filesz))
				read_build_id(image, &header);
			break;
		case PT_GNU_RELRO:
			*relro = (struct range){ header.p_vaddr, header.p_vaddr + header.p_memsz };
			break;
		case PT_TLS:
			image->tls = (struct range){ header.p_vaddr, header.p_vaddr + header.p_memsz };
			image->tls_align = header.p_align;
			break;
		case PT_INTERP:
			interpreter = true;
			break;
		}
	}
	if (!image->segments.count)
		return fail(error, "%s: has no loadable segments", path);
	image->library = !image->fixed_address && !interpreter;
	image->span = (struct range){ UINT64_MAX, 0 };
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct range *span = &image->segments.item[i].span;

		if (span->start < image->span.start)
			image->span.start = span->start & ~(uint64_t)(PAGE - 1);
		if (span->end > image->span.end)
			image->span.end = (span->end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	}
	return STATUS_OK;
}

static enum status read_symbols(const char *path, struct image *image, Elf_Scn *scn, const GElf_Shdr *header,
				const struct symbol_versions *versions, struct error *error)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = data && header->sh_entsize ? data->d_size / header->sh_entsize : 0;
	const char *file = NULL;

	for (size_t i = 1; i < count; i++) {
		GElf_Sym symbol;
		const char *name;

		if (!gelf_getsym(data, (int)i, &symbol) || !(name = elf_strptr(image->elf, header->sh_link, symbol.st_name)))
			return fail(error, "%s: its symbol table is damaged", path);
		if (GELF_ST_TYPE(symbol.st_info) == STT_FILE)
			file = name;
		*array_add(&image->symbols) = (struct symbol){
			.name = name,
			.version = header->sh_type == SHT_DYNSYM ? symbol_versions_name(versions, i) : NULL,
			.value = symbol.st_value,
			.size = symbol.st_size,
			.type = GELF_ST_TYPE(symbol.st_info),
			.binding = GELF_ST_BIND(symbol.st_info),
			.dynamic = header->sh_type == SHT_DYNSYM,
			.defined = symbol.st_shndx != SHN_UNDEF && symbol.st_shndx != SHN_ABS,
			.file = GELF_ST_BIND(symbol.st_info) == STB_LOCAL ? file : NULL,
		};
	}
	return STATUS_OK;
}

static enum status read_rela(const char *path, struct image *image, Elf_Scn *scn, const GElf_Shdr *header,
			     const struct symbol_versions *versions, struct error *error)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	Elf_Scn *table = elf_getscn(image->elf, header->sh_link);
	GElf_Shdr table_header = { 0 };
	Elf_Data *symbols = NULL;
	size_t count = data && header->sh_entsize ? data->d_size / header->sh_entsize : 0;

	if (table && gelf_getshdr(table, &table_header) && table_header.sh_type == SHT_DYNSYM)
		symbols = elf_getdata(table, NULL);
	for (size_t i = 0; i < count; i++) {
		GElf_Rela rela;
		GElf_Sym symbol;
		size_t index;

		if (rela_read(path, data, symbols, i, &rela, &symbol, error) != STATUS_OK)
			return STATUS_ERROR;
		index = GELF_R_SYM(rela.r_info);
		*array_add(&image->relocations) = (struct relocation){
			.where = rela.r_offset,
			.type = (uint32_t)GELF_R_TYPE(rela.r_info),
			.symbol = index ? elf_strptr(image->elf, table_header.sh_link, symbol.st_name) : NULL,
			.version = index ? symbol_versions_name(versions, index) : NULL,
			.weak = index && GELF_ST_BIND(symbol.st_info) == STB_WEAK,
			.value = symbol.st_shndx != SHN_UNDEF ? symbol.st_value : 0,
			.addend = rela.r_addend,
		};
	}
	return STATUS_OK;
}

/* SHT_RELR (gABI, "Relative Relocation Table"): an address, then bitmaps of the 63 words that follow it. */
static void read_relr(struct image *image, Elf_Scn *scn)
{
	Elf_Data *data = elf_rawdata(scn, NULL);
	size_t count = data ? data->d_size / 8 : 0;
	uint64_t next = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t entry = load64((const uint8_t *)data->d_buf + i * 8);
		uint64_t where = entry & 1 ? next : entry;
		uint64_t bits = entry & 1 ? entry >> 1 : 1;

		for (; bits; bits >>= 1, where += 8) {
			const uint8_t *word = image_bytes(image, where, 8);

			if ((bits & 1) && word)
				*array_add(&image->relocations) = (struct relocation){
					.where = where, .type = R_X86_64_RELATIVE, .addend = (int64_t)load64(word) };
		}
		next = entry & 1 ? next + 63 * 8 : entry + 8;
	}
}

static void add_section(struct image *image, const GElf_Shdr *header, const char *name, const struct range *relro)
{
	bool bits = header->sh_type != SHT_NOBITS;
	struct range span = { header->sh_addr, header->sh_addr + header->sh_size };

	/* .tbss takes no space in the image; empty sections hold nothing. */
	if (!header->sh_size || (!bits && (header->sh_flags & SHF_TLS)))
		return;
	if (span.end < span.start || span.end > image->span.end || span.start < image->span.start)
		return;
	/* The loader goes by the segments: what they do not put there is not in memory. */
	if (bits && (!in_file(image, header->sh_offset, header->sh_size) ||
		     image_bytes(image, span.start, header->sh_size) != image->file + header->sh_offset))
		return;
	*array_add(&image->sections) = (struct section){
		.name = name,
		.span = span,
		.data = bits ? image->file + header->sh_offset : NULL,
		.execute = header->sh_flags & SHF_EXECINSTR,
		.write = header->sh_flags & SHF_WRITE,
		.thread_local = header->sh_flags & SHF_TLS,
		.relro = span.start >= relro->start && span.end <= relro->end,
	};
	if (bits && strcmp(name, ".eh_frame") == 0)
		image->eh_frame = (struct eh_frame){ image->file + header->sh_offset, header->sh_size, header->sh_addr };
}

static void read_dynamic(struct image *image, Elf_Scn *scn, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Dyn dynamic;

	for (int i = 0; data && gelf_getdyn(data, i, &dynamic) && dynamic.d_tag != DT_NULL; i++) {
		bool named = dynamic.d_tag == DT_SONAME || dynamic.d_tag == DT_NEEDED;
		const char *name = named ? elf_strptr(image->elf, header->sh_link, dynamic.d_un.d_val) : NULL;

		if (!name || !*name)
			continue;
		if (dynamic.d_tag == DT_NEEDED)
			*array_add(&image->needed) = name;
		else if (!image->soname)
			image->soname = name;
	}
}

static enum status read_sections(const char *path, struct image *image, const struct range *relro, struct error *error)
{
	size_t names;
	Elf_Scn *scn = NULL;
	struct symbol_versions versions;
	enum status status = STATUS_OK;

	if (elf_getshdrstrndx(image->elf, &names) < 0)
		return fail(error, "%s: has no section headers", path);
	symbol_versions_read(image, &versions);
	while (!status && (scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(scn, &header) || !(name = elf_strptr(image->elf, names, header.sh_name))) {
			status = fail(error, "%s: its section headers are damaged", path);
			break;
		}
		if (header.sh_flags & SHF_ALLOC)
			add_section(image, &header, name, relro);
		if (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM)
			status = read_symbols(path, image, scn, &header, &versions, error);
		else if (header.sh_type == SHT_RELA && (header.sh_flags & SHF_ALLOC))
			status = read_rela(path, image, scn, &header, &versions, error);
		else if (header.sh_type == SHT_RELR)
			read_relr(image, scn);
		else if (header.sh_type == SHT_DYNAMIC)
			read_dynamic(image, scn, &header);
	}
	symbol_versions_free(&versions);
	return status;
}

static int compare_sections(const void *one, const void *other)
{
	uint64_t a = ((const struct section *)one)->span.start, b = ((const struct section *)other)->span.start;

	return (a > b) - (a < b);
}

static int compare_relocations(const void *one, const void *other)
{
	uint64_t a = ((const struct relocation *)one)->where, b = ((const struct relocation *)other)->where;

	return (a > b) - (a < b);
}

/* A library is known by its soname, all else by its file. */
static void set_name(struct image *image, const char *path)
{
	const char *slash = strrchr(path, '/');

	image->name = text_copy(image->soname && image->library ? image->soname : slash ? slash + 1 : path);
}

static enum status parse(const char *path, struct image *image, struct error *error)
{
	struct range relro = { 0 };
	enum status status = read_header(path, image, error);

	if (!status)
		status = read_segments(path, image, &relro, error);
	if (!status)
		status = read_sections(path, image, &relro, error);
	if (status)
		return status;
	if (image->sections.count)
		qsort(image->sections.item, image->sections.count, sizeof(*image->sections.item), compare_sections);
	if (image->relocations.count)
		qsort(image->relocations.item, image->relocations.count, sizeof(*image->relocations.item), compare_relocations);
	objects_find(image);
	set_name(image, path);
	return image_read_link_relocations(path, image, error);
}

enum status image_read(const char *path, struct image *image, struct error *error)
{
	enum status status;

	*image = (struct image){ 0 };
	status = read_file(path, image, error);
	return status ? status : parse(path, image, error);
}

enum status image_read_bytes(const char *name, uint8_t *bytes, size_t size, struct image *image, struct error *error)
{
	*image = (struct image){ .file = bytes, .file_size = size };
	if (size < sizeof(Elf64_Ehdr))
		return fail(error, "%s: is not an ELF file", name);
	return parse(name, image, error);
}

/* The names of what Go's linker writes (cmd/link/internal/ld/data.go), with and without position-independent code. */
static bool is_go(const struct image *image)
{
	return image_section_named(image, ".note.go.buildid") || image_section_named(image, ".gopclntab") ||
	       image_section_named(image, ".data.rel.ro.gopclntab");
}

static enum status check_comparable(const char *path, const struct image *image, struct error *error)
{
	if (is_go(image))
		return refuse(error, "%s: is a Go program: its goroutines' stacks are moved while it runs and can't be trusted, and its functions "
			      "keep to no calling convention that stent knows", path);
	if (!image->id.size)
		return fail(error, "%s: has no build-id", path);
	if (!image->eh_frame.size)
		return fail(error, "%s: has no .eh_frame, so its functions cannot be told apart", path);
	return STATUS_OK;
}

enum status image_open(const char *path, struct image *image, struct error *error)
{
	enum status status = image_read(path, image, error);

	return status ? status : check_comparable(path, image, error);
}

enum status image_open_bytes(const char *name, uint8_t *bytes, size_t size, struct image *image, struct error *error)
{
	enum status status = image_read_bytes(name, bytes, size, image, error);

	return status ? status : check_comparable(name, image, error);
}

enum status image_open_file(int file, const char *name, struct image *image, struct error *error)
{
	enum status status;

	*image = (struct image){ 0 };
	status = read_open_file(file, name, image, error);
	if (!status)
		status = parse(name, image, error);
	return status ? status : check_comparable(name, image, error);
}

void image_close(struct image *image)
{
	debug_free(image->debug);
	if (image->elf)
		elf_end(image->elf);
	free((void *)(uintptr_t)image->file);
	array_free(&image->segments);
	array_free(&image->sections);
	array_free(&image->symbols);
	array_free(&image->objects);
	array_free(&image->relocations);
	array_free(&image->link_relocations);
	array_free(&image->needed);
	free(image->name);
	*image = (struct image){ 0 };
}

const struct section *image_section(const struct image *image, uint64_t address)
{
	size_t index = array_search(&image->sections, span.end, address + 1);

	return index < image->sections.count && range_holds(image->sections.item[index].span, address) ? &image->sections.item[index] : NULL;
}

bool image_section_ends(const struct image *image, uint64_t address)
{
	size_t index = array_search(&image->sections, span.end, address);

	return index < image->sections.count && image->sections.item[index].span.end == address;
}

const struct section *image_section_named(const struct image *image, const char *name)
{
	for (size_t i = 0; i < image->sections.count; i++)
		if (strcmp(image->sections.item[i].name, name) == 0)
			return &image->sections.item[i];
	return NULL;
}

const uint8_t *image_bytes(const struct image *image, uint64_t address, uint64_t size)
{
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct segment *segment = &image->segments.item[i];
		uint64_t offset = address - segment->span.start;

		if (address >= segment->span.start && offset <= segment->file_size && size <= segment->file_size - offset)
			return segment->data + offset;
	}
	return NULL;
}

const struct relocation *image_relocation(const struct image *image, uint64_t where)
{
	const struct relocation key = { .where = where };

	return image->relocations.count ? bsearch(&key, image->relocations.item, image->relocations.count,
						   sizeof(key), compare_relocations) : NULL;
}
