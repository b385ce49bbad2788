/*
 * The note of the build-id: gABI, "Note Section", with GNU's type NT_GNU_BUILD_ID.
 */
#include "image/build_id.h"

#include <elf.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"

#define SEGMENTS_MAX 256	/* as process/image.c */

bool build_id_parse(const uint8_t *notes, size_t size, struct build_id *id)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;

		memcpy(&note, notes, sizeof(note));

		size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
		size_t content = ((size_t)note.n_descsz + 3) & ~(size_t)3;

		notes += sizeof(note);
		size -= sizeof(note);
		if (name > size || content > size - name)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) &&
		    !memcmp(notes, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) && note.n_descsz && note.n_descsz <= BUILD_ID_MAX) {
			id->size = (uint8_t)note.n_descsz;
			memcpy(id->bytes, notes + name, note.n_descsz);
			return true;
		}
		notes += name + content;
		size -= name + content;
	}
	return false;
}

static bool read_notes(int file, const Elf64_Phdr *segment, struct build_id *id)
{
	uint8_t *notes;
	bool found;

	if (segment->p_type != PT_NOTE || segment->p_filesz > BUILD_ID_NOTES_MAX)
		return false;
	notes = memory_zeroed(segment->p_filesz, 1);
	found = pread(file, notes, segment->p_filesz, (off_t)segment->p_offset) == (ssize_t)segment->p_filesz &&
		build_id_parse(notes, segment->p_filesz, id);
	free(notes);
	return found;
}

bool build_id_read(int file, struct build_id *id)
{
	Elf64_Phdr segment[SEGMENTS_MAX];
	Elf64_Ehdr header;
	ssize_t size;
	bool found = false;

	*id = (struct build_id){ 0 };
	if (pread(file, &header, sizeof(header), 0) != sizeof(header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_phentsize != sizeof(Elf64_Phdr) || !header.e_phnum || header.e_phnum > SEGMENTS_MAX)
		return false;
	size = (ssize_t)(header.e_phnum * sizeof(Elf64_Phdr));
	if (pread(file, segment, (size_t)size, (off_t)header.e_phoff) != size)
		return false;
	for (unsigned int i = 0; i < header.e_phnum && !found; i++)
		found = read_notes(file, &segment[i], id);
	return found;
}
