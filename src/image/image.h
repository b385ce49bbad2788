/*
 * image.h: read-only view of one ELF file.
 *
 * 64-bit little-endian executables and shared objects of an instruction set that src/arch knows.
 * Addresses are link-time addresses (p_vaddr). Source of the format: ELF gABI, chapters 4 and 5.
 */
#ifndef STENT_IMAGE_IMAGE_H
#define STENT_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "image/build_id.h"
#include "image/eh_frame.h"

/* A section that is part of the memory image (SHF_ALLOC), without thread-local .tbss. Sorted by address. */
struct section {
	const char *name;
	struct range span;
	const uint8_t *data;	/* span bytes in the file's view; NULL for SHT_NOBITS */
	bool execute, write;
	bool thread_local;	/* initial values of thread-local variables */
	bool relro;		/* written by the dynamic linker only (inside PT_GNU_RELRO) */
	bool relocated;		/* image->link_relocations has all fields of it that hold addresses */
};

/* PT_LOAD */
struct segment {
	struct range span;	/* in memory, p_memsz */
	uint64_t file_size;	/* bytes of span that come from the file; the rest is zero */
	const uint8_t *data;	/* file_size bytes */
	uint32_t flags;		/* PF_* */
};

struct symbol {
	const char *name;	/* without version */
	const char *version;	/* of a dynamic symbol, NULL when there is none */
	uint64_t value, size;
	uint8_t type, binding;	/* STT_*, STB_* */
	bool dynamic;		/* from .dynsym: its name is part of the image's interface */
	const char *file;	/* the source that a local symbol of .symtab is from (STT_FILE, gABI 4 "Symbol Table"); else NULL */
	bool defined;
};

/* A dynamic relocation: what the dynamic linker writes at `where`. */
struct relocation {
	uint64_t where;
	uint32_t type;		/* R_X86_64_* */
	const char *symbol;	/* NULL when there is none */
	const char *version;	/* of the symbol, NULL when there is none */
	bool weak;		/* the symbol may be missing */
	uint64_t value;		/* address of the symbol when it is defined in this image, else 0 */
	int64_t addend;
};

/* A relocation that the linker resolved, and kept (--emit-relocs). */
struct link_relocation {
	uint64_t where;
	uint32_t type;		/* R_X86_64_* */
	bool defined;		/* its symbol is one of this image's */
	uint64_t value;		/* symbol + addend */
	struct range item;	/* the variable, table or section of data that the symbol stands for; else empty */
};

/* A symbol of a variable or table. */
struct object {
	uint64_t start;
	uint64_t reach;		/* where the last to end of it and those before it ends */
	uint32_t symbol;	/* in image->symbols */
};

struct image {
	char *name;		/* soname, else the file's name without its folder; owned */
	const char *soname;	/* DT_SONAME, or NULL */
	ARRAY(const char *) needed;	/* DT_NEEDED */
	const struct arch *arch;
	struct build_id id;
	bool fixed_address;	/* ET_EXEC */
	bool library;		/* shared object that is no executable (no PT_INTERP, has a soname) */
	uint64_t entry;		/* e_entry */
	struct range span;	/* all PT_LOADs, page aligned */
	struct range tls;	/* PT_TLS in memory; empty when there is none */
	uint64_t tls_align;
	ARRAY(struct segment) segments;
	ARRAY(struct section) sections;
	ARRAY(struct symbol) symbols;		/* .dynsym and .symtab */
	ARRAY(struct object) objects;		/* sorted by start */
	ARRAY(struct relocation) relocations;	/* sorted by where */
	ARRAY(struct link_relocation) link_relocations;	/* sorted by where; mostly there are none */
	struct eh_frame eh_frame;
	const uint8_t *file;	/* owned */
	size_t file_size;
	struct Elf *elf;
	struct debug *debug;	/* image_add_debug() (image/debug.h): owned, or NULL */
};

/*
 * Read a file. STATUS_ERROR: unreadable, not such an ELF file, damaged, without section headers.
 * The image is complete after STATUS_OK and is to be closed by image_close() in any case.
 */
enum status image_read(const char *path, struct image *image, struct error *error) must_check;

/* The same from memory, which the image owns from here on (free()). `name`: for messages, and the image's unless it has a soname. */
enum status image_read_bytes(const char *name, uint8_t *bytes, size_t size, struct image *image,
			     struct error *error) must_check;

/* The same two with what a comparison of two builds needs. STATUS_ERROR also: without build-id or .eh_frame. STATUS_REFUSED: a
 * Go program. */
enum status image_open(const char *path, struct image *image, struct error *error) must_check;
enum status image_open_bytes(const char *name, uint8_t *bytes, size_t size, struct image *image, struct error *error) must_check;

/* The same from an open file, which stays open. `name`: a path for messages, and its last part is the image's name unless it has a soname. */
enum status image_open_file(int file, const char *name, struct image *image, struct error *error) must_check;
void image_close(struct image *image);

/* A part of an image that is no file. */
struct image_part {
	struct range span;
	bool execute, write;
};

/*
 * An image of what lies in memory: `bytes` are those of all of `span`, and the image's from here on (free()). All addresses are
 * where it lies, so pointers in its data are what they say (fixed_address). Parts are sorted; what is not inside of `span` is left out.
 */
void image_assemble(const char *name, const struct arch *arch, struct range span, uint8_t *bytes,
		    const struct image_part *parts, size_t count, struct range eh_frame, struct image *image);

/* Section that holds the address; NULL when there is none. */
const struct section *image_section(const struct image *image, uint64_t address);

/* Is the address the end of a section, the first one behind it? */
bool image_section_ends(const struct image *image, uint64_t address);

/* First section of that name; NULL when there is none. */
const struct section *image_section_named(const struct image *image, const char *name);

/* `size` bytes at `address` as the file has them; NULL when they are not all inside the file's part of one segment. */
const uint8_t *image_bytes(const struct image *image, uint64_t address, uint64_t size);

/* Relocation of the 8-byte word at exactly `where`; NULL when there is none. */
const struct relocation *image_relocation(const struct image *image, uint64_t where);

/* The symbol of the variable or table that holds the address, the last to begin; of several names the first. NULL: there is none. */
const struct symbol *image_object(const struct image *image, uint64_t address);

/* All symbols of variables and tables that begin where that one does, itself included: how many, and the first of them in image->objects. */
size_t image_object_names(const struct image *image, const struct symbol *object, const struct object **names);

/* Has it names that dynamic linking does not need: of its own symbol table, or of its debug information? */
bool image_has_names(const struct image *image);

/* Forget these. */
void image_drop_names(struct image *image);

/* link_relocations.c: fill in link_relocations. STATUS_ERROR: they are damaged. */
enum status image_read_link_relocations(const char *path, struct image *image, struct error *error) must_check;

/* The kept relocation of the field at exactly `where`; NULL when there is none. */
const struct link_relocation *image_link_relocation(const struct image *image, uint64_t where);

/* The end of an array is also the start of what lies behind it. If the target lies outside of the item that the symbol stands for, it becomes
 * the item's start, *offset the distance from there, and the result true. */
bool link_relocation_find_item(const struct link_relocation *relocation, uint64_t *target, int32_t *offset);

#endif
