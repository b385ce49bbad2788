/*
 * expression.h: the DWARF expressions that call frame information of real binaries uses.
 *
 * Those are the linker's rule for the PLT, gcc's for realigned stacks, glibc's for its signal frame
 * and OpenSSL's for its hand-written code. Operators beyond them are refused: an expression that no
 * one has seen is not one to prove anything with.
 */
#ifndef STENT_UNWIND_EXPRESSION_H
#define STENT_UNWIND_EXPRESSION_H

#include "unwind/stack.h"

/* Evaluate (DWARF 5, 2.5). `initial` is pushed first unless NULL: the CFA, for a register's rule
 * (6.4.2.3). False when the expression is bad or refused, needs a register whose value is not known,
 * or memory outside the stack; *why is then a static string. */
bool expression_evaluate(const uint8_t *bytes, size_t size, const struct unwind_state *state,
			 const uint64_t *initial, uint64_t *value, const char **why) must_check;

#endif
