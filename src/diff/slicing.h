/* slicing.h: what slice.c, bind.c and segments.c share. */
#ifndef STENT_DIFF_SLICING_H
#define STENT_DIFF_SLICING_H

#include "diff/comparison.h"

/* A jump put where an unchanged function begins in the new image, for branches too short to leave the slice. */
struct forwarder {
	uint64_t where;		/* new address of that function */
	uint64_t target;	/* its address in the running image */
};

/* A reference to a constant without pointers, by a function that lets the address out, or by a pointer of the slice's own. */
struct plain_ref {
	const struct code_ref *ref;	/* NULL: it is a pointer, */
	uint64_t where;			/* which is there */
	uint64_t address, old_address;	/* of the constant, in both builds; 0: nowhere, as far as is known */
	int64_t offset;			/* of a pointer: from the constant */
	bool compared;			/* the function compares it with something else */
	bool live;			/* the running image's is used, not the slice's own */
};

/* What may be one table of constants without pointers for a function, and what it does with addresses in it. */
struct plain_span {
	struct range span;
	enum fate fate;
};

/* Where the running image has the same pointer as a certain one of the new build, 0: nowhere. */
struct same_pointer {
	bool known;		/* it has been looked for */
	uint64_t where;
};

struct slicing {
	struct comparison *comparison;
	struct patch *patch;
	struct error *error;
	enum status status;
	bool *included;			/* per new function: its code is in the slice */
	uint32_t *reached_from;		/* per new function that is included for another one's sake: which, else NO_FUNCTION */
	uint32_t current;		/* whose references are being bound */
	ARRAY(uint32_t) work;		/* included functions whose references are not bound yet */
	ARRAY(const struct symbol *) interface;	/* what the new image exports, by name */
	struct same_pointer *slots;	/* per data_ref of the new program: in the global offset table, */
	struct same_pointer *constants;	/* and among all that are never written to */
	struct same_pointer *stub_places;	/* per relocation of the new image: stubs that lead where it does */
	bool *copied;			/* per new section: the slice has it */
	struct {			/* the last table that a function was asked about: it is asked for each address in it */
		uint32_t function;
		struct range span;
		bool kept;
		unsigned int count;	/* which one it was of that function */
	} last_table;
	struct {			/* the constants without pointers that the last function was asked about, of the last section */
		uint32_t function;
		const struct section *section;
		enum fate of_section;	/* of all that it takes of the section */
		ARRAY(struct plain_span) spans;
	} last_plain;
	ARRAY(struct plain_ref) plain;	/* sorted in the end */
	const struct section *asked_of;	/* of the old image; and, per old function: */
	bool *asked, *compares;		/* it was asked whether it compares addresses of constants of that section; it does */
	bool *stuck;			/* per new section: one of its pointers leads to nothing that the running image has */
	bool *own_pointers;		/* per data_ref of the new program: it is bound in the slice's own copy of a constant */
	ARRAY(struct forwarder) forwarders;
	ARRAY(uint64_t) stubs;		/* addresses of the old image's stubs */
	ARRAY(struct range) own_stubs;	/* of the new image, for imports that the old one does not have: the slice's own */
	ARRAY(struct range) variables;	/* of the new image: the slice's own */
	ARRAY(uint64_t) words;		/* single words among the new image's variables that the slice has */
};

/* Put a new function into the slice, and into the work. */
void slicing_include(struct slicing *slicing, uint32_t new_function);

/* bind.c: bind every reference of an included function. */
void bind_function(struct slicing *slicing, uint32_t new_function);

/* imports.c: can the slice have a pointer to that symbol of another image? */
bool import_is_address(const struct data_ref *slot) must_check;
/* imports.c: bind a slot of the slice's own to a symbol that the process has to be searched for. False, with the reason reported, when
 * that can't be. */
bool import_slot(struct slicing *slicing, const struct data_ref *slot);
/* imports.c: the same for a single word among the variables. */
bool import_word(struct slicing *slicing, const struct data_ref *word);
/* imports.c: a stub of the slice's own at the address, and its slot. */
void import_stub(struct slicing *slicing, uint64_t address);
/* imports.c: collect the stubs of the old image; the one of these that leads where the new image's at the address does, or 0. */
void import_find_stubs(struct slicing *slicing);
uint64_t import_old_stub(struct slicing *slicing, uint64_t address);
/* imports.c: is new code made for the libraries that the process has? If not, that is reported. */
void import_check_libraries(struct slicing *slicing);

/* bind.c, for the others: a field of the slice := target + addend; a refusal that says which code refers to what; put a section into the slice. */
void bind_add(struct slicing *slicing, uint64_t where, enum binding_type type, enum anchor anchor, uint64_t target, int64_t addend);
void bind_field(struct slicing *slicing, const struct code_ref *ref, enum anchor anchor, uint64_t target);
void bind_fail(struct slicing *slicing, uint64_t from, uint64_t target, const char *why);
void bind_copy_section(struct slicing *slicing, uint64_t address);

/* bind_data.c: is the constant set when a program starts (a copy of another image's, or what the C library of a static program stores to)? What the file has
 * there is not what it is. */
bool bind_is_set_early(const struct slicing *slicing, uint64_t address) must_check;

/*
 * bind_data.c: an address of data, which code refers to with `ref` (NULL: a pointer), and from which it goes back so many bytes. False: it is the slice's
 * own; else *old_address is its place in the running image. Where it is neither, that is reported.
 */
bool bind_resolve(struct slicing *slicing, uint64_t from, uint64_t address, const struct code_ref *ref, uint64_t back, uint64_t *old_address);
/* bind_data.c: a pointer inside of data that the slice has its own copy of. */
void bind_pointer(struct slicing *slicing, const struct data_ref *ref);
/* bind_data.c: the place of a constant with pointers in the running image, false where it isn't the same there. */
bool bind_find_constant(struct slicing *slicing, uint64_t address, uint64_t *old_address) must_check;
/* bind_data.c: did nothing move between a constant, which is in both builds, and what lies before it? Else its address could be the end of that. */
bool bind_follows_alike(const struct comparison *comparison, uint64_t address, uint64_t old_address) must_check;
/* bind_data.c: put a table of constants with pointers into the slice if the old build does not have it, by its name or its class's. False: it may have it. */
bool bind_new_table(struct slicing *slicing, uint64_t address) must_check;
/* bind_data.c: does the item at the address hold pointers to items? */
bool bind_holds_pointers(const struct program *program, uint64_t address);
/* bind_data.c: what may be one table for the function, with the address in it: it lies on both sides of addresses that the function takes. */
struct range bind_table_around(const struct slicing *slicing, uint32_t function, const struct section *section, uint64_t address);

/*
 * plain.c: code refers with `ref` to a constant without pointers, of which the slice has its own, and from which it goes back so many bytes. May its address
 * be an identity in the process? Then that is remembered, and decided by plain_bind().
 */
void plain_note(struct slicing *slicing, const struct code_ref *ref, uint64_t address, uint64_t back);
/* plain.c: the same for a pointer in data that the slice has its own copy of, which is bound to the slice's own constant so far. */
void plain_note_pointer(struct slicing *slicing, const struct data_ref *pointer);
/* plain.c: when all are known: bind those of which the running image's is to be used. */
void plain_bind(struct slicing *slicing);

/*
 * seams.c: an address of a variable in the new build, which code refers to with `ref` (NULL: a pointer): why it may be for another variable near to it, which
 * lies elsewhere; or NULL. free() it.
 */
char *seams_objection(const struct comparison *comparison, const struct code_ref *ref, uint64_t address) must_check;

/* bind_handlers.c: bind what the unwind tables of a range of the slice refer to. */
void bind_handlers(struct slicing *slicing, const struct code_range *range);

/*
 * classes.c: does the type, or the part of a table of virtual functions, at the address of the new build belong to a class that the old build does not
 * have? Classes have names, so no symbols are needed. Returns the first of all records that must come along, and *count: a type alone, or all parts of a
 * table, because code computes their addresses from each other's. NULL: it does not.
 */
const struct class_record *classes_find_new(struct slicing *slicing, uint64_t address, size_t *count);
/* classes.c: where the old build has the same one, with the same content. False: nowhere, or nobody can tell of which of several. */
bool classes_find_old(struct slicing *slicing, uint64_t address, uint64_t *old_address);
/* classes.c: refuse when a class of both builds has another table of virtual functions. */
void classes_check(struct slicing *slicing);

/* segments.c: lay out pages, copy code and constants, write the forwarders, and sort all. */
enum status segments_build(struct slicing *slicing) must_check;

#endif
