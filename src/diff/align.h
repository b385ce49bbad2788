/* align.h: line up the instructions of two versions of a function. */
#ifndef STENT_DIFF_ALIGN_H
#define STENT_DIFF_ALIGN_H

#include "diff/comparison.h"

typedef void align_found(void *context, const struct code_ref *old, const struct code_ref *new);

/*
 * Calls `found` for every pair of references that stand in instructions which a longest common subsequence of the two
 * functions' instructions pairs, and some beside them, too. Instructions are compared without layout-dependent fields,
 * but by what is known of the items that they refer to (identity.c). ALIGN_FORMS (after match_evidence()): of references to data alone, and only where
 * neither function has one left over that is in an instruction of the same form and could have been paired instead.
 * Where functions differ in more than PAIR_EDITS_MAX instructions between common start and end, that part is passed over.
 */
void align_references(const struct comparison *comparison, uint32_t old_function, uint32_t new_function, enum alignment how, align_found *found,
		      void *context);

/* What the instruction that was the same one in the old build refers to where the new one has the reference; 0: none is known. (Each function is lined
 * up once, when the first of its references is asked for.) */
uint64_t align_counterpart(const struct comparison *comparison, enum alignment how, const struct code_ref *ref);

typedef void align_single(void *context, const struct program *program, uint64_t insn);

/*
 * Calls `single` for every instruction of either function that has no counterpart in the other (those of `old` first). Where functions are passed over (above), that is all of their middle.
 */
void align_singles(const struct program *old, uint32_t old_function, const struct program *new, uint32_t new_function,
		   align_single *single, void *context);

#endif
