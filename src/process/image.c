/*
 * Sources of the formats: ELF gABI, chapters 4 and 5; .eh_frame_hdr: LSB Core 5.0, 10.6.2.
 */
#include "process/image.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

#define SEGMENTS_MAX 256	/* program headers of one image; linkers write about a dozen */
#define PAGE 4096ul

/* DW_EH_PE_*: LSB Core 5.0, 10.5.1 */
enum { PE_SDATA4 = 0x0b, PE_PCREL = 0x10 };

struct reader {
	const struct process *process;
	const struct maps *maps;
	Elf64_Ehdr header;
	Elf64_Phdr segment[SEGMENTS_MAX];
};

const char *build_id_text(const struct build_id *id, char out[2 * BUILD_ID_MAX + 5])
{
	if (!id->size)
		return strcpy(out, "none");
	for (unsigned int i = 0; i < id->size && i < BUILD_ID_MAX; i++)
		sprintf(out + (size_t)2 * i, "%02x", id->bytes[i]);
	return out;
}

/* The header at the start of a mapping, and the program headers, which must be mapped behind it. */
static bool read_headers(struct reader *reader, const struct mapping *mapping)
{
	const Elf64_Ehdr *header = &reader->header;

	if (!process_read(reader->process, mapping->range.start, &reader->header, sizeof(reader->header)))
		return false;
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_ident[EI_DATA] != ELFDATA2LSB || (header->e_type != ET_EXEC && header->e_type != ET_DYN))
		return false;
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum || header->e_phnum > SEGMENTS_MAX ||
	    header->e_phoff > mapping->range.end - mapping->range.start)
		return false;
	return process_read(reader->process, mapping->range.start + header->e_phoff, reader->segment,
			    header->e_phnum * sizeof(Elf64_Phdr));
}

/* The segment that the header is in gives the bias: it is the one mapped from the file's first byte. */
static bool find_bias(const struct reader *reader, uint64_t start, uint64_t *bias)
{
	for (unsigned int i = 0; i < reader->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &reader->segment[i];

		if (segment->p_type == PT_LOAD && segment->p_offset < PAGE) {
			*bias = start - (segment->p_vaddr - segment->p_offset);
			return reader->header.e_type == ET_DYN || !*bias;
		}
	}
	return false;
}

/* All of the range lies in executable mappings without a hole. */
static bool mapped_executable(const struct maps *maps, struct range range)
{
	for (uint64_t at = range.start; at < range.end;) {
		const struct mapping *mapping = maps_find(maps, at);

		if (!mapping || !mapping->execute)
			return false;
		at = mapping->range.end;
	}
	return true;
}

static bool read_segments(const struct reader *reader, struct mapped_image *image)
{
	bool first = true;

	for (unsigned int i = 0; i < reader->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &reader->segment[i];
		struct range range = { segment->p_vaddr + image->bias, segment->p_vaddr + image->bias + segment->p_memsz };

		if (segment->p_type != PT_LOAD || !segment->p_memsz)
			continue;
		if (range.end < range.start || range.end > UINT64_MAX - PAGE)
			return false;
		if (segment->p_flags & PF_X) {
			if (!mapped_executable(reader->maps, range))
				return false;
			*array_add(&image->code) = range;
		}
		range.start &= ~(PAGE - 1);
		range.end = (range.end + PAGE - 1) & ~(PAGE - 1);
		if (first || range.start < image->span.start)
			image->span.start = range.start;
		if (first || range.end > image->span.end)
			image->span.end = range.end;
		first = false;
	}
	return image->code.count > 0;
}

static void read_build_id(const struct reader *reader, struct mapped_image *image)
{
	for (unsigned int i = 0; i < reader->header.e_phnum && !image->id.size; i++) {
		const Elf64_Phdr *segment = &reader->segment[i];

		if (segment->p_type != PT_NOTE || segment->p_memsz > BUILD_ID_NOTES_MAX)
			continue;

		uint8_t *notes = memory_zeroed(segment->p_memsz, 1);

		if (process_read(reader->process, segment->p_vaddr + image->bias, notes, segment->p_memsz))
			build_id_parse(notes, segment->p_memsz, &image->id);
		free(notes);
	}
}

static void find_eh_frame(const struct reader *reader, struct mapped_image *image)
{
	uint64_t header = 0;
	uint8_t bytes[8];

	for (unsigned int i = 0; i < reader->header.e_phnum; i++)
		if (reader->segment[i].p_type == PT_GNU_EH_FRAME)
			header = reader->segment[i].p_vaddr + image->bias;
	/* version 1, and the pointer to .eh_frame as every linker writes it: relative to itself, 4 bytes */
	if (!header || !process_read(reader->process, header, bytes, sizeof(bytes)) || bytes[0] != 1 ||
	    bytes[1] != (PE_PCREL | PE_SDATA4))
		return;

	uint64_t start = header + 4 + (uint64_t)(int64_t)(int32_t)load32(bytes + 4);

	for (unsigned int i = 0; i < reader->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &reader->segment[i];
		uint64_t from = segment->p_vaddr + image->bias;

		if (segment->p_type == PT_LOAD && start >= from && start < from + segment->p_filesz) {
			image->eh_frame = start;
			image->eh_frame_end = from + segment->p_filesz;
			return;
		}
	}
}

static char *short_name(const char *name)
{
	const char *slash = strrchr(name, '/');
	char *copy = text_copy(slash ? slash + 1 : *name ? name : "unnamed image");
	char *deleted = strstr(copy, " (deleted)");

	if (deleted && !deleted[strlen(" (deleted)")])
		*deleted = '\0';
	utf8_make_printable(copy);	/* whoever made the file chose its name */
	return copy;
}

static bool read_image(const struct process *process, const struct maps *maps, const struct mapping *mapping,
		       struct mapped_image *image)
{
	struct reader *reader = memory_zeroed(1, sizeof(*reader));
	bool valid;

	reader->process = process;
	reader->maps = maps;
	valid = read_headers(reader, mapping) && find_bias(reader, mapping->range.start, &image->bias) &&
		read_segments(reader, image);
	if (valid) {
		image->machine = reader->header.e_machine;
		image->fixed_address = reader->header.e_type == ET_EXEC;
		image->name = short_name(mapping->name);
		read_build_id(reader, image);
		find_eh_frame(reader, image);
	} else {
		array_free(&image->code);
	}
	free(reader);
	return valid;
}

void images_read(const struct process *process, const struct maps *maps, struct mapped_images *images)
{
	*images = (struct mapped_images){ 0 };
	for (size_t i = 0; i < maps->count; i++) {
		const struct mapping *mapping = &maps->item[i];
		struct mapped_image image = { 0 };

		/* Only a file's first page, or the vdso. Other memory that looks like one was put there by the program. */
		if (!(mapping->inode && !mapping->offset) && !mapping_special(mapping, "[vdso]"))
			continue;
		if (read_image(process, maps, mapping, &image))
			*array_add(images) = image;
	}
}

void images_free(struct mapped_images *images)
{
	for (size_t i = 0; i < images->count; i++) {
		free(images->item[i].name);
		array_free(&images->item[i].code);
	}
	array_free(images);
}
