/* analysis.h: the steps of program_load(), in their order. Each uses what the ones before it filled in. */
#ifndef STENT_PROGRAM_ANALYSIS_H
#define STENT_PROGRAM_ANALYSIS_H

#include "program/program.h"

/* ranges: FDEs outside of stub sections (.plt and its kin), and the text between them. */
void ranges_find(struct program *program);
/* program->range_index. */
void ranges_index(struct program *program);

/* data_refs: dynamic relocations; kept relocations, or guessed pointers, of an image of fixed address. */
void data_refs_find(struct program *program);

/* refs, and hash, decoded and indirect_jump of every range. Ranges without an FDE are cut at addresses referred to. */
void references_find(struct program *program);

/* boundaries. */
void boundaries_find(struct program *program);

/* inner_targets. */
void inner_targets_find(struct program *program);

/* stored. */
void stored_find(struct program *program);

/* functions: join cold parts to their parents. */
void functions_join(struct program *program);

/* function.name and .exported. */
void functions_name(struct program *program);

/* function.startup. */
void functions_find_startup(struct program *program);

#endif
