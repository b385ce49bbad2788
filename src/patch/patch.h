/*
 * patch.h: the patch of one image, in memory.
 *
 * The patch file is what the build side hands to the run side: docs/format.md specifies it, bundle.h reads and writes it. The
 * addresses in a patch are link-time addresses: those of the old image for what is in the running
 * process, those of the new image for what is in the slice (which keeps the new image's layout).
 */
#ifndef STENT_PATCH_PATCH_H
#define STENT_PATCH_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "image/build_id.h"

/* What changed in a function. The first that applies, in this order. */
enum change {
	CHANGE_CODE,		/* instructions */
	CHANGE_CALLEES,		/* the same instructions call or refer to something else */
	CHANGE_CONSTANT,	/* only immediates */
	CHANGE_LINE,		/* only line numbers of assert or log calls */
	CHANGE_STRING,		/* only the text of strings that it refers to */
	CHANGE_DATA,		/* only other read-only data that it refers to */
	CHANGE_DISPLACEMENT,	/* only displacements of memory operands: a structure's layout may have moved */
	CHANGE_NEW,		/* has no counterpart in the old image */
	CHANGE_COUNT,
};

/* What the patch does about it. */
enum action {
	ACTION_REDIRECT,	/* the old entry leads to the new code */
	ACTION_ADD,		/* only reached from new code */
	ACTION_STARTUP,		/* runs at start-up only (main, constructors): reported, left alone */
	ACTION_NOISE,		/* no difference in behaviour (line numbers): left alone */
	ACTION_COUNT,
};

struct patch_function {
	char *name;			/* symbol, or "image+0x..." of the old (if new only: the new) entry; owned */
	enum change change;
	enum action action;
	char *detail;			/* a short text for `stent show`, or NULL; owned */
	uint64_t old_entry, new_entry;	/* ACTION_ADD: old_entry is 0 */
	ARRAY(struct range) old_ranges;	/* all code of the old function, cold parts included */
	ARRAY(struct range) new_ranges;	/* likewise, in the slice; empty unless REDIRECT or ADD */
	struct entry_plan plan;		/* ACTION_REDIRECT only */
	uint8_t old_bytes[ARCH_ENTRY_MAX];	/* what must stand at old_entry: plan.offset + max(span, jump) bytes */
};

enum segment_flags { SEGMENT_EXECUTE = 1, SEGMENT_WRITE = 2, SEGMENT_READ = 4 };	/* as PF_* of ELF */

/* A part of the slice: at new-image addresses, page aligned, sorted, not overlapping. */
struct patch_segment {
	uint64_t address;	/* multiple of PATCH_PAGE */
	uint64_t size;		/* multiple of PATCH_PAGE */
	uint32_t flags;
	uint8_t *data;		/* size bytes; owned */
};

#define PATCH_PAGE 4096

enum anchor {
	ANCHOR_OLD,		/* target is an address of the running old image */
	ANCHOR_SLICE,		/* target is an address of the slice */
	ANCHOR_IMPORT,		/* target is the index of one of the patch's imports; only for BINDING_ABSOLUTE64 */
};

/* Numbers are those of ELF (psABI table 4.9): R_X86_64_64, _PC32, _32, _32S. */
enum binding_type { BINDING_ABSOLUTE64 = 1, BINDING_PC32 = 2, BINDING_ABSOLUTE32 = 10, BINDING_ABSOLUTE32S = 11 };

/* field at `where` := target + addend (- run-time address of the field, for PC32). */
struct patch_binding {
	uint64_t where;		/* in a segment of the slice, with the whole field */
	uint32_t type;		/* enum binding_type */
	uint32_t anchor;	/* enum anchor */
	uint64_t target;
	int64_t addend;
};

/* A symbol of another image that the new build refers to and the old one does not: found in the process. */
struct patch_import {
	char *name;
	char *version;		/* "" when it has none */
	bool weak;		/* null where no image has it */
};

struct patch {
	char *name;		/* letters, digits and "._+:~@-" only, 1 to 200 of them */
	char *description;	/* may be "", or NULL for that */
	char *tool;		/* name and version of the program that wrote it */
	char *image;		/* soname, or file name without its folder */
	char *old_version, *new_version;	/* as given by the user or derived; may be "" */
	uint16_t machine;	/* e_machine */
	bool fixed_address;	/* the old image is linked at a fixed address (ET_EXEC) */
	struct build_id old_id, new_id;
	struct range old_span, new_span;	/* first to last address of the images' PT_LOADs, page aligned */
	struct range eh_frame;	/* the slice's unwind tables, inside one segment; {0, 0} when there are none */
	ARRAY(struct patch_function) functions;	/* sorted by new_entry; ACTION_STARTUP and NOISE included */
	ARRAY(struct patch_segment) segments;
	ARRAY(struct patch_binding) bindings;	/* sorted by where, fields not overlapping */
	ARRAY(struct patch_import) imports;
	ARRAY(char *) notes;	/* lines that `stent show` prints: what was left out, and why */
};

/*
 * Read and verify the bytes of one patch: STATUS_ERROR with the reason. What a file is made of is in bundle.h. Free with
 * patch_free(), also after a failure.
 */
enum status patch_parse(const uint8_t *bytes, size_t size, struct patch *patch, struct error *error) must_check;

void patch_free(struct patch *patch);

const char *change_name(enum change change);	/* "code", "callees", ...; "?" out of range */
const char *action_name(enum action action);

#endif
