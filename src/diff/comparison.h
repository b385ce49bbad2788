/* comparison.h: what the steps of diff_images() share. */
#ifndef STENT_DIFF_COMPARISON_H
#define STENT_DIFF_COMPARISON_H

#include "diff/diff.h"
#include "diff/named.h"
#include "program/program.h"

/* "Unchanged code refers to `from` in the old image where it refers to `to` in the new one." */
struct vote {
	uint64_t from, to;
	uint32_t count;		/* how many references say so */
};

/* Votes sorted by (from, to), duplicates merged; and for each `from` the winner. */
struct vote_map {
	ARRAY(struct vote) votes;
	ARRAY(struct vote) winners;	/* one per `from`, sorted by from */
	ARRAY(struct vote) reverse;	/* the winners with from and to exchanged, sorted by from */
};

/* Remembers answers about pairs of addresses: open addressing, keys are never 0. */
struct memo {
	uint64_t *key;
	uint8_t *value;
	size_t count, room;
};

/* Which instructions of two versions of a function are alike, to line them up (align.h). */
enum alignment {
	ALIGN_BYTES,	/* those with the same bytes */
	ALIGN_FORMS,	/* those that are the same but for the choice of registers (struct arch, form()) */
	ALIGNMENTS
};

/* What is known of new code's references from lining up their functions. */
struct counterparts {
	uint64_t *old_targets;	/* per reference, once its function is lined up: what that of the old build's same instruction is, or 0 */
	bool *lined_up;		/* per new function */
};

/* Functions that changed nowhere but in code that was inlined from another one. */
struct inlining {
	const char *from;	/* not owned */
	char *into;		/* names of the first ones; owned */
	size_t count;
};

/* Addresses of the pointers among an image's variables that its unwind tables go by (DW.ref.*), sorted. No code knows of them. */
struct handler_pointers {
	uint64_t *item;
	size_t count, room;
};

/* A type of C++, or a part of its table of virtual functions. */
struct class_record {
	const char *name;	/* of the class, mangled; not owned; NULL: it is none */
	uint64_t where;		/* the type, or the table's first function */
	bool table;
	uint64_t distance;	/* of a table: what stands before the pointer to the type, which tells parts of one class apart */
};

struct class_records {
	struct class_record *item;	/* sorted by name, types first, and place */
	size_t count, room;
};

/* Functions in which something says that a structure's layout is another one. */
struct layout_signs {
	size_t count;
	char *first;	/* its name, and the change; owned */
};

/* A place in both builds. */
struct mark {
	uint64_t old, new;
};

struct comparison {
	const struct diff_options *options;
	struct program old, new;
	struct handler_pointers old_pointers, new_pointers;
	struct class_records old_classes, new_classes;
	uint32_t *new_of;	/* per old function: its counterpart or NO_FUNCTION */
	uint32_t *old_of;	/* per new function */
	bool *alike;		/* per old function: same bytes as its counterpart but for references */
	bool *changed;		/* per old function that has a counterpart: not alike, or a reference differs */
	struct vote_map data;	/* data addresses, from functions that are not changed, and pointers in data */
	struct vote_map aligned;	/* data addresses, from lined-up instructions of changed functions: may confirm, or
					 * contradict, what lies between known addresses; never more */
	struct vote_map aligned_back;	/* the same with both addresses exchanged */
	struct named_variables named_old, named_new;
	struct counterparts counterparts[ALIGNMENTS];
	bool *called;		/* per old function: code that is the same in both builds calls it or points to it */
	struct memo constants;	/* answers of constants_compare() */
	ARRAY(struct mark) versions;	/* pointers in constants that lead to texts of which only the version differs */
	struct layout_signs displaced;	/* functions with changed displacements of memory operands */
	struct layout_signs reframed;	/* functions in which nothing but the frame's size, and places in it, changed */
	ARRAY(struct inlining) inlinings;
	char *thread_local_moved;	/* a function whose thread-local variables lie elsewhere, or NULL */
};

/* The references of a function and of its counterpart that is alike, one after the other. Starts zeroed. */
struct ref_pair {
	const struct code_ref *old, *new;
	size_t part;
	uint32_t next;
};

/* match.c: the next pair; false at the end. */
bool ref_pair_next(const struct comparison *comparison, uint32_t old_function, struct ref_pair *pair);

/* match.c: fill new_of, old_of, alike and data. */
void match_functions(struct comparison *comparison);

/* match.c: what stands for one address in the old build stands for the other one in the new. */
void match_vote(const struct comparison *comparison, uint64_t old_target, uint64_t new_target, struct vote_map *functions, struct vote_map *data);

/* members.c: let tables of virtual functions of the same class vote. */
void members_vote(const struct comparison *comparison, struct vote_map *functions, struct vote_map *data);

/* members.c: take apart the pairs of virtual functions of different classes. */
void members_part(struct comparison *comparison);

/* match.c: collect the data votes anew from the functions that are not changed. */
void match_data(struct comparison *comparison);

/* match.c: after changes_find(): aligned and called. */
void match_evidence(struct comparison *comparison);

/* equal.c: the same symbol of another image, or none twice? A reference without a version takes any. */
bool symbols_equal(const char *a, const char *version_a, const char *b, const char *version_b) must_check;

/* copied.c: of a constant that the dynamic linker copies from another image: what says so, and whose it is; else NULL. */
const struct data_ref *copied_at(const struct program *program, uint64_t address);

/* copied.c: where the program has a copy of the same, or of the same variable; 0: it has none. */
uint64_t copied_in(const struct program *program, const struct data_ref *wanted) must_check;

/* copied.c: the same place in copies of the same? Not both are NULL. */
enum difference copied_compare(const struct data_ref *old, uint64_t old_address, const struct data_ref *new, uint64_t new_address) must_check;

/* votes.c */
void votes_add(struct vote_map *map, uint64_t from, uint64_t to);
void votes_count(struct vote_map *map);	/* after the last votes_add(): merge, and find winners */
void votes_clear(struct vote_map *map);
/* The first vote for what is at `from`, whose others follow it; NULL when there is none. *count: how many. */
const struct vote *votes_from(const struct vote_map *map, uint64_t from, size_t *count);
const struct vote *votes_winner(const struct vote_map *map, uint64_t from);
const struct vote *votes_reverse(const struct vote_map *map, uint64_t to);

/* variables.c: counterpart of an address in writable or relocated data, by an exact vote or because the votes on both
 * sides moved by the same distance. False when neither holds. */
bool variable_in_new(const struct comparison *comparison, uint64_t old_address, uint64_t *new_address);
bool variable_in_old(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address);

/* variables.c: all that lined-up instructions of changed functions say about a variable being at these two places: 1 yes, -1 no, 0 nothing. */
int variable_aligned(const struct comparison *comparison, uint64_t old_address, uint64_t new_address);

/* users.c: do all references to the variable of the new build, and only those, stand where the old build refers to the other one, but for the choice of
 * registers? In two gaps between known places that moved alike, in which nothing else is unknown. */
bool users_agree(const struct comparison *comparison, struct range old_gap, uint64_t old_address, struct range new_gap, uint64_t new_address);

/* variables.c: the place of a variable in the running image, for a binding: by its name; or by an exact vote, or a place between two known ones that
 * the changed functions' own instructions confirm, or that is inside of the same item as a known one. */
bool variable_binding(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address);
/* variables.c: where a byte of the variables is, if the variable at the address is what it seems to be. */
bool variable_place(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address);

/* All of a section of which code says in both builds what they are, and the section's ends; sorted by the old build's. */
struct layout {
	struct mark *item;
	size_t count, room;
};

enum laid_out {
	LAID_OUT_ALIKE,		/* as far apart as they were, and nothing in between says otherwise */
	LAID_OUT_BY_NAMES,	/* variables came, went, or moved: the symbols, or the user, account for all */
	LAID_OUT_OTHERWISE,	/* one grew, or nobody knows */
};

/* layout.c: find the marks of a section and of its counterpart: array_free(layout). */
void layout_find(const struct comparison *comparison, const struct section *old, const struct section *new, struct layout *layout);
/* layout.c: how does it lie between the mark before the index and the one at the index? OTHERWISE: *why, where it is NULL, may become a text that
 * says more (free() it). */
enum laid_out layout_compare(const struct comparison *comparison, const struct layout *layout, size_t index, char **why);

/* starters.c: does the function run while the image starts, and never again, as far as can be seen? */
bool starters_have(const struct program *program, uint32_t function);

/* added.c: is the address of the new build in a variable that the running image does not have? *span: all of it. */
bool added_find(const struct comparison *comparison, uint64_t address, struct range *span);
/* added.c: has the user named one there (diff_options.new_data)? */
bool added_by_word(const struct comparison *comparison, struct range span);
/* added.c: how the variable is called, in messages and in diff_options.new_data. free() it. */
char *added_name(const struct comparison *comparison, uint64_t address) must_check;
/* added.c: why the slice can't have the variable, or NULL. free() it. */
char *added_objection(const struct comparison *comparison, struct range span) must_check;

/* identity.c: the same number for two addresses that are known to name the same item, 0 for what is not known. */
uint64_t identity_of_old(const struct comparison *comparison, uint64_t address);
uint64_t identity_of_new(const struct comparison *comparison, uint64_t address);

/* Why two references are not the same. */
enum difference { SAME, DIFFERENT_CALLEE, DIFFERENT_STRING, DIFFERENT_CONSTANT, DIFFERENT_VARIABLE };

/* equal.c: do the addresses name matched items? For references of code with an access size (else 0). */
enum difference references_compare(struct comparison *comparison, uint64_t old_target, uint64_t new_target,
				   uint8_t kind, uint8_t access);

/* equal.c: the same for two references of code, at the same distance from their items. */
enum difference code_refs_compare(struct comparison *comparison, const struct code_ref *old_ref, const struct code_ref *new_ref);

/* equal.c: the same item of data with the same content, followed through pointers? */
enum difference constants_compare(struct comparison *comparison, uint64_t old_address, uint64_t new_address);

/* tables.c: the same for the item and what behind it may be of the same table, up to where one certainly ends. */
enum difference tables_compare(struct comparison *comparison, uint64_t old_address, uint64_t new_address);
/* equal.c: does a jump table begin at the address (of 32-bit distances to places in a function)? */
bool jump_table_at(const struct program *program, uint64_t address);

/* equal.c: the constants that the byte before the address is one of, if it can be the end of one (that of a section, too); else NULL. */
const struct section *section_of_constants_before(const struct image *image, uint64_t address);

/* equal.c: so many bytes before two addresses, as far as those are constants of the same section. Before its start is nothing of the same item. */
enum difference constants_compare_before(struct comparison *comparison, uint64_t old_address, uint64_t new_address, uint64_t back);

/* backward.c: how many bytes before its target does code go back from the address that a reference gives it? 0: none, or no constants are there. */
uint64_t backward_reach(const struct program *program, const struct code_ref *ref);

/* equal.c: pointers in data that stand at matched places. */
enum difference pointers_compare(struct comparison *comparison, const struct data_ref *old_ref, const struct data_ref *new_ref);

/* classes.c: of a table's functions: the mangled name of the class, or NULL where none can be told. Not owned. */
const char *class_of_table(const struct program *program, uint64_t address);
/* classes.c: all types and parts of tables: array_free() the records. */
void classes_find(const struct program *program, struct class_records *records);
/* classes.c: the only record of the class with the same distance (of types: the type); NULL where there is none or several. */
const struct class_record *classes_counterpart(const struct class_records *records, const struct class_record *record);
/* classes.c: the same for the address of any pointer in the table. */
const char *class_around(const struct program *program, uint64_t where);
/* classes.c: bytes of the type that begins at the address, or of the table's functions from there on; 0: it is neither, or nobody knows. */
uint64_t class_record_size(const struct program *program, uint64_t address);

/* Constant while the process runs: not writable, or written by the dynamic linker only. */
bool section_is_constant(const struct section *section);
/* Slots of the global offset table: matched by what they hold. */
bool section_is_slots(const struct section *section);
/* Variables that live in the process (thread-local ones: their initial values). */
bool section_is_variables(const struct section *section);

/* The NUL-terminated printable text at the address, or NULL. */
const char *text_at(const struct image *image, uint64_t address);
/* equal.c: a text, and nothing behind it up to where something else begins but what aligns that? (The first element of a table may begin with a text.) */
bool is_lone_text(const struct program *program, uint64_t address);

/* memo.c */
uint8_t *memo_entry(struct memo *memo, uint64_t key);	/* value for the key, 0 when it is new */
void memo_free(struct memo *memo);

/* handlers.c: of ranges with the same code: the same but for what their tables refer to? */
bool handlers_alike(const struct comparison *comparison, const struct code_range *old, const struct code_range *new);
/* handlers.c: of alike ones: do they refer to matched items? */
enum difference handlers_compare(struct comparison *comparison, const struct code_range *old, const struct code_range *new);
/* handlers.c: what alike ones say about where data went. */
void handlers_vote(const struct comparison *comparison, const struct code_range *old, const struct code_range *new, struct vote_map *data);

/* handlers.c: find them all; is there one at the address; how many bytes from one address to another are theirs? */
void handlers_find_pointers(const struct program *program, struct handler_pointers *pointers);
bool handlers_own(const struct handler_pointers *pointers, uint64_t address);
uint64_t handlers_bytes_between(const struct handler_pointers *pointers, uint64_t from, uint64_t to);

/* changes.c: mark changed functions, to a fixed point. */
void changes_find(struct comparison *comparison);
/* changes.c: refuse what differs in data that lives in the process. */
enum status changes_check_data(struct comparison *comparison, struct patch *patch, struct error *error) must_check;

/* explain.c: class and detail of the change of one matched function. */
void change_explain(struct comparison *comparison, uint32_t old_function, struct patch_function *out);

/* reasons.c: add to the detail what the debug information and the calls say about why the code of a changed function differs. */
void change_add_reasons(struct comparison *comparison, uint32_t old_function, struct patch_function *function);
/* reasons.c: a note for each function whose inlined code changed. */
void reasons_note_inlined(const struct comparison *comparison, struct patch *patch);
void reasons_free(struct comparison *comparison);

/* plan.c: how to redirect the old entry; a static reason why not, or NULL. */
const char *entry_plan_make(const struct program *program, uint32_t function, struct patch_function *out);

/* clobbers.c: may start-up code that stays old go on calling replaced functions? */
enum status startup_callees_check(struct comparison *comparison, const struct patch *patch, struct error *error) must_check;

/* slice.c: put functions, segments and bindings into the patch. */
enum status slice_build(struct comparison *comparison, struct patch *patch, struct error *error) must_check;

#endif
