/*
 * format.h: the patch file's own structures, and the steps between a file and a patch.
 *
 * docs/format.md is the specification; this header is it in C. All numbers are little-endian, as is
 * every machine that stent runs on so far (base/bytes.h), so the structures are copied as they are:
 * they have no padding, which the assertions below hold.
 *
 * A patch has exactly one encoding: the order of everything in the file, every offset and every
 * byte of padding follows from the patch. So the reader takes what it needs by way of the
 * `.stent.info` section, verifies the patch that this gives, encodes it again, and compares. The ELF
 * header, the section headers and the symbols are there for other tools (readelf, objdump, gdb);
 * stent reads nothing from them, and still knows that they say the same as what it has read.
 */
#ifndef STENT_PATCH_FORMAT_H
#define STENT_PATCH_FORMAT_H

#include <elf.h>

#include "patch/patch.h"

#define FORMAT_VERSION 1
#define FORMAT_MAGIC "STENT\r\n\x1a"	/* 8 bytes; the line ends show a transfer that changed them */
#define FORMAT_FIXED_ADDRESS 1u		/* format_info.flags */
#define FORMAT_WEAK 1u			/* format_import.flags */

/* Section headers are counted in 16 bits (gABI: SHN_LORESERVE is 0xff00), and there are a few more
 * of them than segments. */
#define FORMAT_SEGMENTS_MAX 65000u

/* `.stent.info`, at the fixed file offset sizeof(Elf64_Ehdr). The program headers follow it. */
struct format_info {
	uint8_t magic[8];
	uint32_t version;
	uint32_t flags;
	uint64_t checksum;		/* FNV-1a over the whole file, with this field zero */
	uint64_t file_size;
	uint16_t machine;
	uint8_t old_id_size, new_id_size;
	uint32_t segments;		/* program headers */
	uint8_t old_id[BUILD_ID_MAX], new_id[BUILD_ID_MAX];	/* zeroes behind their sizes */
	uint64_t old_start, old_end, new_start, new_end, eh_frame_start, eh_frame_end;
	uint32_t name, description, tool, image, old_version, new_version;	/* offsets in .stent.strings */
	uint32_t functions, ranges, bindings, notes;	/* items in the section of that name */
	uint32_t strings;		/* bytes in .stent.strings */
	uint32_t imports;		/* items */
};

struct format_function {
	uint64_t old_entry, new_entry;
	uint32_t name, detail;		/* offsets in .stent.strings */
	uint32_t first_range;		/* in .stent.ranges: the old ranges, then the new ones */
	uint32_t old_ranges, new_ranges;
	uint8_t change, action;
	uint8_t jump_offset, jump_size, span;	/* struct entry_plan */
	uint8_t reserved[7];		/* 0 */
	uint8_t old_bytes[ARCH_ENTRY_MAX];	/* zeroes behind what the site takes */
};

struct format_range {
	uint64_t start, end;
};

struct format_binding {
	uint64_t where;
	uint32_t type, anchor;
	uint64_t target;
	int64_t addend;
};

struct format_import {
	uint32_t name, version;		/* offsets in .stent.strings */
	uint32_t flags;
	uint32_t reserved;		/* 0 */
};

_Static_assert(sizeof(struct format_info) == 264, "no padding");
_Static_assert(sizeof(struct format_function) == 80, "no padding");
_Static_assert(sizeof(struct format_range) == 16, "no padding");
_Static_assert(sizeof(struct format_binding) == 32, "no padding");
_Static_assert(sizeof(struct format_import) == 16, "no padding");

/* Number of bytes that the function's site takes: what is compared and displaced. */
static inline size_t patch_site_size(const struct entry_plan *plan)
{
	return (size_t)plan->offset + (plan->span > plan->jump ? plan->span : plan->jump);
}

/* Bytes of the field that a binding fills; 0 for an unknown type. */
size_t binding_size(uint32_t type);

/* Does the patch hold all that docs/format.md asks of one? STATUS_ERROR with the first thing that it does not. */
enum status patch_verify(const struct patch *patch, struct error *error) must_check;

/* The file of a verified patch: free() it. *size: its bytes. */
uint8_t *patch_encode(const struct patch *patch, size_t *size) must_check;

/* The checksum of a file's bytes (at least the ELF header and .stent.info), whatever its checksum field holds. */
uint64_t format_checksum(const uint8_t *bytes, size_t size);

#endif
