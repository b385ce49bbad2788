/*
 * cfi.h: run call frame instructions (DWARF 5, 6.4.2) to the row that is valid at one address.
 */
#ifndef STENT_UNWIND_CFI_H
#define STENT_UNWIND_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/eh_frame.h"
#include "unwind/walk.h"

enum cfi_rule_kind {
	RULE_UNSPECIFIED = 0,	/* the ABI decides: callee-saved registers keep their value, others lose it */
	RULE_UNDEFINED,
	RULE_SAME_VALUE,
	RULE_OFFSET,		/* saved at CFA + offset */
	RULE_VAL_OFFSET,	/* is CFA + offset */
	RULE_REGISTER,		/* in another register; for the CFA: that register + offset */
	RULE_EXPRESSION,	/* saved at the expression's value; for the CFA: is its value */
	RULE_VAL_EXPRESSION,	/* is the expression's value */
};

struct cfi_rule {
	enum cfi_rule_kind kind;
	uint64_t from;		/* RULE_REGISTER: may be beyond FRAME_ALL_REGISTERS */
	int64_t offset;
	const uint8_t *expression;	/* inside the section's bytes */
	size_t expression_size;
};

/* How to find the caller's registers. Rules for registers beyond FRAME_ALL_REGISTERS (vector registers)
 * are passed over: no address depends on them. */
struct cfi_row {
	struct cfi_rule cfa;	/* UNSPECIFIED, REGISTER or EXPRESSION */
	struct cfi_rule rule[FRAME_ALL_REGISTERS];
};

/* Called for every row in the order of their addresses, from the FDE's start on, none empty; the last
 * one's end is UINT64_MAX. A row may begin behind the end of the FDE's code. False: no more. */
typedef bool cfi_visitor(void *context, struct range span, const struct cfi_row *row);

/* Run the FDE's whole program. NULL, or a static string that says why there are no more rows;
 * *reached is then where the missing ones begin (the addresses behind it have none). */
const char *cfi_visit_rows(const struct eh_fde *fde, cfi_visitor *visit, void *context, uint64_t *reached) must_check;

#endif
