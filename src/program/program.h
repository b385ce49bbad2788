/*
 * program.h: the functions of an image, and every reference between its code and its data.
 *
 * A function is a list of code ranges: the entry part first, then the cold parts that the compiler
 * split off (reached by jumps only, each with an FDE of its own). Bounds come from .eh_frame, which
 * survives strip; text that no FDE covers becomes functions without unwind data, cut where something
 * refers to it. References come from decoding and from dynamic relocations.
 */
#ifndef STENT_PROGRAM_PROGRAM_H
#define STENT_PROGRAM_PROGRAM_H

#include "image/image.h"

#define NO_FUNCTION UINT32_MAX

/* Bytes from a function's entry on that a redirection can possibly touch or look at. */
#define PROGRAM_HEAD 64

#define PROGRAM_INDEX_STEP 128

/* A reference encoded in an instruction. */
struct code_ref {
	uint64_t where;		/* address of the field */
	uint64_t target;	/* what it refers to, or, where a kept relocation says so, an item that it lies outside of: */
	int32_t offset;		/* the distance from there to the address itself (the end of an array); else 0 */
	uint64_t insn;		/* address of the instruction */
	uint8_t size;		/* of the field */
	uint8_t tail;		/* bytes from the field's start to the instruction's end */
	uint8_t kind;		/* enum ref_kind */
	uint8_t access;		/* as insn_ref.access */
	uint8_t insn_kind;	/* enum insn_kind */
	bool exact;		/* REF_ABSOLUTE: a kept relocation says that it is an address */
	bool stores;		/* as insn_ref.stores */
};

/* A contiguous piece of code, usually one FDE. */
struct code_range {
	struct range span;
	uint32_t function;	/* that it belongs to */
	uint32_t first_ref, ref_count;	/* in program->refs */
	uint64_t hash;		/* of its bytes without references that depend on layout */
	bool covered;		/* by an FDE */
	bool decoded;		/* every byte belongs to a decoded instruction */
	bool cold_start;	/* its FDE starts with a frame already built: no function's entry */
	bool handlers;		/* its FDE names a personality routine, or a language-specific data area (program/handlers.h) */
	size_t fde;		/* offset of its FDE in .eh_frame, if it is covered */
	bool indirect_jump;	/* has a computed jump: may own jump tables */
	uint64_t lowest_jump;	/* where the jumps in it that stay in it lead: the first place, from its start; UINT64_MAX: there are none */
};

struct function {
	uint64_t entry;		/* parts[0]'s start */
	const char *name;	/* symbol, or NULL; not owned */
	bool exported;		/* in .dynsym: callers outside of the image find it by name */
	bool more_entries;	/* another part than the first is called or pointed to as well */
	bool startup;		/* runs before or as main(): never redirected */
	uint64_t hash;		/* of all parts */
	ARRAY(uint32_t) parts;	/* indices of program->ranges: the entry part first, the others by address */
};

/* A pointer in data: from a dynamic relocation, or, in an image of fixed address, from one that the linker kept, else an aligned
 * word that is an address of the image (`guessed`). */
struct data_ref {
	uint64_t where;
	uint64_t target;	/* address in this image; 0 for a symbol of another one */
	int32_t offset;		/* as in struct code_ref */
	const char *symbol, *version;	/* as in the relocation, or NULL */
	bool weak;		/* the symbol may be missing */
	int64_t addend;		/* to the symbol; of RELOC_TLS_MODULE without a symbol: the offset that stands behind it */
	uint8_t kind;		/* enum reloc_kind */
	bool guessed;
};

struct program {
	struct image *image;	/* not owned */
	ARRAY(struct code_range) ranges;	/* sorted by address */
	uint32_t *range_index;	/* per PROGRAM_INDEX_STEP bytes from the first range on: the first range that ends behind the
				 * first of them; NULL: none, one has to search */
	ARRAY(struct function) functions;	/* sorted by entry */
	ARRAY(struct code_ref) refs;		/* sorted by where */
	ARRAY(struct data_ref) data_refs;	/* sorted by where */
	ARRAY(uint64_t) inner_targets;		/* sorted: addresses in code that something refers to and no range begins at */
	ARRAY(uint64_t) stored;			/* sorted: addresses in constants (that are relocated) which code stores to, before they can't be
						 * written to any more: the C library's, in a static program */
	ARRAY(uint64_t) boundaries;		/* sorted: where data items begin: addresses in data that are taken, or
						 * named, section starts and ends. A load from a fixed place inside a table
						 * cuts no item in two, so addresses that are only loaded from do not count */
};

/* Analyse an open image, which must outlive the program. STATUS_ERROR or STATUS_REFUSED with a reason; program_free() in any case. */
enum status program_load(struct image *image, struct program *program, struct error *error) must_check;
void program_free(struct program *program);

/* Does code store to the word of a constant that the address is in? Then it is none in the file: see program->stored. */
bool program_stores(const struct program *program, uint64_t address) must_check;

/* First range that ends behind the address: its index, program->ranges.count when there is none. */
size_t program_range_search(const struct program *program, uint64_t address);

/* Range that holds the address; NULL when no code does. */
const struct code_range *program_range(const struct program *program, uint64_t address);

/* Function whose code holds the address, or NO_FUNCTION. */
uint32_t program_function(const struct program *program, uint64_t address);

/* First reference of program->data_refs at or behind the address: its index. */
size_t program_data_ref_index(const struct program *program, uint64_t where);

/* The data reference at exactly `where`, or NULL. */
const struct data_ref *program_data_ref(const struct program *program, uint64_t where);

/* Start and end of the data item that holds the address: the boundaries before (or at) and behind it. */
uint64_t program_item_start(const struct program *program, uint64_t address);
uint64_t program_item_end(const struct program *program, uint64_t address);

/* Name for messages: the symbol or "image+0xADDRESS". free() it. */
char *program_function_name(const struct program *program, uint32_t function) must_check;

/* If the address is a stub that jumps through a slot which the dynamic linker fills (.plt and its kin): that slot's
 * relocation, else NULL. */
const struct relocation *program_stub(const struct program *program, uint64_t address);

/* All of the stub at the address, up to the end of its jump: empty when it is none. */
struct range program_stub_span(const struct program *program, uint64_t address);

/* Does code of the range refer to an address in the span? */
bool program_range_refers(const struct program *program, const struct code_range *range, struct range span) must_check;

/* Bytes of a range of code. Never NULL for a range of the program. */
const uint8_t *program_code(const struct program *program, const struct code_range *range);

#endif
