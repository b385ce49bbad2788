/*
 * encode.c: a patch becomes the bytes of its file (docs/format.md).
 *
 * libelf is not used for this: the reader depends on every byte of the encoding (format.h), so it has to
 * follow from this source and not from the version of a library, and libelf writes to files only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "patch/format.h"
#include "patch/verify.h"

#define SEGMENT_HEADERS (sizeof(Elf64_Ehdr) + sizeof(struct format_info))	/* their offset in the file */

struct encoder {
	const struct patch *patch;
	struct buffer file;
	struct buffer section_names, symbol_names, symbols, strings;
	ARRAY(Elf64_Shdr) sections;	/* [0] is the null section, [1] to [pieces] are parts of the slice */
	size_t pieces;
	struct format_info info;
};

static void buffer_align(struct buffer *buffer, size_t alignment)
{
	static const uint8_t zeroes[PATCH_PAGE];

	buffer_append(buffer, zeroes, -buffer->count % alignment);
}

/* Offset in .stent.strings. Its first byte is the empty string; nothing is shared otherwise. */
static uint32_t add_string(struct encoder *encoder, const char *text)
{
	return text && *text ? (uint32_t)buffer_append_text(&encoder->strings, text) : 0;
}

static Elf64_Shdr *add_section(struct encoder *encoder, const char *name, uint32_t type)
{
	Elf64_Shdr *section = array_add(&encoder->sections);

	*section = (Elf64_Shdr){
		.sh_name = (Elf64_Word)buffer_append_text(&encoder->section_names, name),
		.sh_type = type,
		.sh_addralign = 8,
	};
	return section;
}

/* A section of the file's front part that holds what has been collected for it. */
static void write_section(struct encoder *encoder, const char *name, uint32_t type, const struct buffer *content)
{
	Elf64_Shdr *section = add_section(encoder, name, type);

	buffer_align(&encoder->file, 8);
	section->sh_size = content->count;
	section->sh_offset = buffer_append(&encoder->file, content->item, content->count);
}

/*
 * Sections over the segments, for disassemblers and debuggers. Their offsets count from the first byte
 * of the segments' data until write_tail() knows where that is.
 */
static void add_piece(struct encoder *encoder, const struct patch_segment *segment, struct range range, size_t data,
		      const char *name)
{
	Elf64_Shdr *section;

	if (range.start == range.end)
		return;
	section = add_section(encoder, name, SHT_PROGBITS);
	section->sh_flags = SHF_ALLOC | (segment->flags & SEGMENT_WRITE ? SHF_WRITE : 0u) |
			    (segment->flags & SEGMENT_EXECUTE ? SHF_EXECINSTR : 0u);
	section->sh_addr = range.start;
	section->sh_size = range.end - range.start;
	section->sh_offset = data + (range.start - segment->address);
	section->sh_addralign = range.start % PATCH_PAGE ? 1 : PATCH_PAGE;
	encoder->pieces++;
}

/* The unwind tables get a section of their own, by the name that debuggers look for. */
static void add_pieces(struct encoder *encoder)
{
	struct range tables = encoder->patch->eh_frame;
	size_t data = 0;

	for (size_t i = 0; i < encoder->patch->segments.count; i++) {
		const struct patch_segment *segment = &encoder->patch->segments.item[i];
		struct range all = { segment->address, segment->address + segment->size };
		bool cut = tables.end && range_holds(all, tables.start);
		char name[32];

		snprintf(name, sizeof(name), ".slice.%zu", i);
		if (cut) {
			add_piece(encoder, segment, (struct range){ all.start, tables.start }, data, name);
			add_piece(encoder, segment, tables, data, ".eh_frame");
			all.start = tables.end;
			snprintf(name, sizeof(name), ".slice.%zu.end", i);
		}
		add_piece(encoder, segment, all, data, name);
		data += segment->size;
	}
}

/* Index of the section that holds the address; they are sorted. */
static uint16_t find_piece(const struct encoder *encoder, uint64_t address)
{
	size_t low = 1, high = encoder->pieces + 1;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (encoder->sections.item[middle].sh_addr <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return (uint16_t)(low - 1);
}

static void add_symbol(struct encoder *encoder, const char *name, const char *suffix, struct range code)
{
	Elf64_Sym symbol = {
		.st_name = (Elf64_Word)buffer_append(&encoder->symbol_names, name, strlen(name)),
		.st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
		.st_shndx = find_piece(encoder, code.start),
		.st_value = code.start,
		.st_size = code.end - code.start,
	};

	buffer_append_text(&encoder->symbol_names, suffix);
	buffer_append(&encoder->symbols, &symbol, sizeof(symbol));
}

static void add_symbols(struct encoder *encoder)
{
	const Elf64_Sym null = { 0 };

	buffer_append(&encoder->symbols, &null, sizeof(null));
	buffer_append_text(&encoder->symbol_names, "");
	for (size_t i = 0; i < encoder->patch->functions.count; i++) {
		const struct patch_function *function = &encoder->patch->functions.item[i];

		for (size_t j = 0; j < function->new_ranges.count; j++) {
			struct range code = function->new_ranges.item[j];

			if (!j)
				code.start = function->new_entry;
			add_symbol(encoder, function->name, j ? ".cold" : "", code);
		}
	}
}

static void write_info(struct encoder *encoder)
{
	const struct patch *patch = encoder->patch;
	struct format_info *info = &encoder->info;
	const Elf64_Ehdr header = { 0 };
	Elf64_Shdr *section;

	*info = (struct format_info){
		.magic = FORMAT_MAGIC,
		.version = FORMAT_VERSION,
		.flags = patch->fixed_address ? FORMAT_FIXED_ADDRESS : 0,
		.machine = patch->machine,
		.old_id_size = patch->old_id.size,
		.new_id_size = patch->new_id.size,
		.segments = (uint32_t)patch->segments.count,
		.old_start = patch->old_span.start,
		.old_end = patch->old_span.end,
		.new_start = patch->new_span.start,
		.new_end = patch->new_span.end,
		.eh_frame_start = patch->eh_frame.start,
		.eh_frame_end = patch->eh_frame.end,
		.functions = (uint32_t)patch->functions.count,
		.bindings = (uint32_t)patch->bindings.count,
		.notes = (uint32_t)patch->notes.count,
		.imports = (uint32_t)patch->imports.count,
	};
	memcpy(info->old_id, patch->old_id.bytes, patch->old_id.size);
	memcpy(info->new_id, patch->new_id.bytes, patch->new_id.size);

	buffer_append_text(&encoder->strings, "");
	info->name = add_string(encoder, patch->name);
	info->description = add_string(encoder, patch->description);
	info->tool = add_string(encoder, patch->tool);
	info->image = add_string(encoder, patch->image);
	info->old_version = add_string(encoder, patch->old_version);
	info->new_version = add_string(encoder, patch->new_version);

	/* The header and the info itself are filled in by write_tail(), which knows the rest. */
	buffer_append(&encoder->file, &header, sizeof(header));
	section = add_section(encoder, ".stent.info", SHT_PROGBITS);
	section->sh_offset = buffer_append(&encoder->file, info, sizeof(*info));
	section->sh_size = sizeof(*info);
}

static void write_segment_headers(struct encoder *encoder)
{
	uint64_t data = 0;

	for (size_t i = 0; i < encoder->patch->segments.count; i++) {
		const struct patch_segment *segment = &encoder->patch->segments.item[i];
		const Elf64_Phdr header = {
			.p_type = PT_LOAD,
			.p_flags = segment->flags,
			.p_offset = data,	/* until write_tail() */
			.p_vaddr = segment->address,
			.p_paddr = segment->address,
			.p_filesz = segment->size,
			.p_memsz = segment->size,
			.p_align = PATCH_PAGE,
		};

		buffer_append(&encoder->file, &header, sizeof(header));
		data += segment->size;
	}
}

static void write_functions(struct encoder *encoder)
{
	struct buffer functions = { 0 }, ranges = { 0 };

	for (size_t i = 0; i < encoder->patch->functions.count; i++) {
		const struct patch_function *function = &encoder->patch->functions.item[i];
		struct format_function record = {
			.old_entry = function->old_entry,
			.new_entry = function->new_entry,
			.name = add_string(encoder, function->name),
			.first_range = (uint32_t)(ranges.count / sizeof(struct format_range)),
			.old_ranges = (uint32_t)function->old_ranges.count,
			.new_ranges = (uint32_t)function->new_ranges.count,
			.change = (uint8_t)function->change,
			.action = (uint8_t)function->action,
			.jump_offset = function->plan.offset,
			.jump_size = function->plan.jump,
			.span = function->plan.span,
		};

		record.detail = add_string(encoder, function->detail);
		memcpy(record.old_bytes, function->old_bytes, patch_site_size(&function->plan));
		buffer_append(&functions, &record, sizeof(record));
		for (size_t j = 0; j < function->old_ranges.count; j++)
			buffer_append(&ranges, &function->old_ranges.item[j], sizeof(struct format_range));
		for (size_t j = 0; j < function->new_ranges.count; j++)
			buffer_append(&ranges, &function->new_ranges.item[j], sizeof(struct format_range));
	}
	encoder->info.ranges = (uint32_t)(ranges.count / sizeof(struct format_range));
	write_section(encoder, ".stent.functions", SHT_PROGBITS, &functions);
	write_section(encoder, ".stent.ranges", SHT_PROGBITS, &ranges);
	array_free(&functions);
	array_free(&ranges);
}

static void write_bindings(struct encoder *encoder)
{
	struct buffer bindings = { 0 };

	for (size_t i = 0; i < encoder->patch->bindings.count; i++) {
		const struct patch_binding *binding = &encoder->patch->bindings.item[i];
		const struct format_binding record = {
			.where = binding->where,
			.type = binding->type,
			.anchor = binding->anchor,
			.target = binding->target,
			.addend = binding->addend,
		};

		buffer_append(&bindings, &record, sizeof(record));
	}
	write_section(encoder, ".stent.bindings", SHT_PROGBITS, &bindings);
	array_free(&bindings);
}

static void write_imports(struct encoder *encoder)
{
	struct buffer imports = { 0 };

	for (size_t i = 0; i < encoder->patch->imports.count; i++) {
		const struct patch_import *import = &encoder->patch->imports.item[i];
		struct format_import record = { .name = add_string(encoder, import->name) };

		record.version = add_string(encoder, import->version);
		record.flags = import->weak ? FORMAT_WEAK : 0;
		buffer_append(&imports, &record, sizeof(record));
	}
	write_section(encoder, ".stent.imports", SHT_PROGBITS, &imports);
	array_free(&imports);
}

/* The last strings are the notes', so the strings follow. */
static void write_notes(struct encoder *encoder)
{
	struct buffer notes = { 0 };

	for (size_t i = 0; i < encoder->patch->notes.count; i++) {
		uint32_t offset = add_string(encoder, encoder->patch->notes.item[i]);

		buffer_append(&notes, &offset, sizeof(offset));
	}
	write_section(encoder, ".stent.notes", SHT_PROGBITS, &notes);
	array_free(&notes);
	write_section(encoder, ".stent.strings", SHT_PROGBITS, &encoder->strings);
	encoder->info.strings = (uint32_t)encoder->strings.count;
}

static void write_symbols(struct encoder *encoder)
{
	Elf64_Shdr *table;

	add_symbols(encoder);
	write_section(encoder, ".symtab", SHT_SYMTAB, &encoder->symbols);
	table = &encoder->sections.item[encoder->sections.count - 1];
	table->sh_link = (Elf64_Word)encoder->sections.count;	/* .strtab is next */
	table->sh_info = (Elf64_Word)(encoder->symbols.count / sizeof(Elf64_Sym));	/* all are local */
	table->sh_entsize = sizeof(Elf64_Sym);
	write_section(encoder, ".strtab", SHT_STRTAB, &encoder->symbol_names);
}

/* Data of the segments; then their offsets, in the program headers and in the sections over them. */
static void write_pages(struct encoder *encoder)
{
	const struct patch *patch = encoder->patch;
	struct buffer *file = &encoder->file;
	size_t data;

	buffer_align(file, PATCH_PAGE);
	data = file->count;
	for (size_t i = 0; i < patch->segments.count; i++)
		buffer_append(file, patch->segments.item[i].data, patch->segments.item[i].size);

	for (size_t i = 0; i < patch->segments.count; i++) {
		uint8_t *at = file->item + SEGMENT_HEADERS + i * sizeof(Elf64_Phdr);
		Elf64_Phdr header;

		memcpy(&header, at, sizeof(header));
		header.p_offset += data;
		memcpy(at, &header, sizeof(header));
	}
	for (size_t i = 1; i <= encoder->pieces; i++)
		encoder->sections.item[i].sh_offset += data;
}

/* The end of the file, and then all that depends on where its parts are. */
static void write_tail(struct encoder *encoder)
{
	struct buffer *file = &encoder->file;
	size_t headers, headers_size;
	Elf64_Shdr *names = add_section(encoder, ".shstrtab", SHT_STRTAB);
	Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = encoder->patch->machine,
		.e_version = EV_CURRENT,
		.e_phoff = encoder->patch->segments.count ? SEGMENT_HEADERS : 0,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (Elf64_Half)encoder->patch->segments.count,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = (Elf64_Half)encoder->sections.count,
		.e_shstrndx = (Elf64_Half)(encoder->sections.count - 1),
	};

	buffer_align(file, 8);
	names->sh_size = encoder->section_names.count;
	names->sh_offset = buffer_append(file, encoder->section_names.item, encoder->section_names.count);
	buffer_align(file, 8);
	headers_size = encoder->sections.count * sizeof(Elf64_Shdr);
	headers = buffer_append(file, encoder->sections.item, headers_size);
	write_pages(encoder);
	memcpy(file->item + headers, encoder->sections.item, headers_size);
	header.e_shoff = headers;
	memcpy(file->item, &header, sizeof(header));
}

uint64_t format_checksum(const uint8_t *bytes, size_t size)
{
	const size_t field = sizeof(Elf64_Ehdr) + offsetof(struct format_info, checksum);
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++) {
		hash ^= i - field < sizeof(uint64_t) ? 0 : bytes[i];
		hash *= 0x100000001b3;
	}
	return hash;
}

uint8_t *patch_encode(const struct patch *patch, size_t *size)
{
	struct encoder encoder = { .patch = patch };
	uint8_t *info;

	*array_add(&encoder.sections) = (Elf64_Shdr){ 0 };
	buffer_append_text(&encoder.section_names, "");
	add_pieces(&encoder);
	write_info(&encoder);
	write_segment_headers(&encoder);
	write_functions(&encoder);
	write_bindings(&encoder);
	write_imports(&encoder);
	write_notes(&encoder);
	write_symbols(&encoder);
	write_tail(&encoder);

	*size = encoder.file.count;
	info = encoder.file.item + sizeof(Elf64_Ehdr);
	encoder.info.file_size = *size;
	memcpy(info, &encoder.info, sizeof(encoder.info));
	encoder.info.checksum = format_checksum(encoder.file.item, *size);
	memcpy(info, &encoder.info, sizeof(encoder.info));

	array_free(&encoder.section_names);
	array_free(&encoder.symbol_names);
	array_free(&encoder.symbols);
	array_free(&encoder.strings);
	array_free(&encoder.sections);
	return encoder.file.item;
}
