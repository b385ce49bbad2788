/*
 * cfi_oracle.h: what an .eh_frame section says of one address, by the simplest way: find the FDE, and run its whole program.
 * What is compiled into rows is compared with this.
 */
#ifndef STENT_TESTS_CFI_ORACLE_H
#define STENT_TESTS_CFI_ORACLE_H

#include <stdlib.h>

#include "base/memory.h"
#include "image/eh_frame.h"
#include "unwind/cfi.h"

struct finding {
	uint64_t pc;
	struct cfi_row *row;
	bool found;
};

static bool visit_until_found(void *context, struct range span, const struct cfi_row *row)
{
	struct finding *finding = context;

	/* Rows come in order from the start of the FDE's code, where pc is. */
	if (finding->pc >= span.end)
		return true;
	*finding->row = *row;
	finding->found = true;
	return false;
}

/* The row for `pc`, an address in fde->code. NULL, or why there is none. */
static inline const char *cfi_find_row(const struct eh_fde *fde, uint64_t pc, struct cfi_row *row)
{
	struct finding finding = { .pc = pc, .row = row };
	uint64_t reached;
	const char *why = cfi_visit_rows(fde, visit_until_found, &finding, &reached);

	return finding.found ? NULL : why;
}

struct entry {
	struct range code;
	size_t offset;		/* of the FDE in the section */
	bool disputed;		/* part of its code is claimed by another FDE too */
};

struct unwind_table {
	struct eh_frame section;
	ARRAY(struct entry) entries;	/* by code.start, none empty */
	const char *damage;	/* what is wrong with the section, or NULL */
};

static int compare_entries(const void *left, const void *right)
{
	uint64_t a = ((const struct entry *)left)->code.start, b = ((const struct entry *)right)->code.start;

	return (a > b) - (a < b);
}

/* An entry may lie inside one far before it, so the one that reaches farthest is kept at hand. */
static void mark_disputed(struct entry *entry, size_t count)
{
	struct entry *farthest = entry;

	for (size_t i = 1; i < count; i++) {
		if (entry[i].code.start < farthest->code.end)
			entry[i].disputed = farthest->disputed = true;
		if (entry[i].code.end > farthest->code.end)
			farthest = &entry[i];
	}
}

/* Index the section's FDEs; the table keeps pointing into it. */
static inline struct unwind_table *unwind_table_build(const struct eh_frame *section)
{
	struct unwind_table *table = memory_zeroed(1, sizeof(*table));
	size_t offset = 0;
	struct eh_fde fde;

	table->section = *section;
	while (eh_frame_next(section, &offset, &fde, &table->damage)) {
		if (fde.code.start == fde.code.end)
			continue;
		*array_add(&table->entries) = (struct entry){ .code = fde.code, .offset = fde.offset };
	}
	if (table->entries.count > 1) {
		qsort(table->entries.item, table->entries.count, sizeof(*table->entries.item), compare_entries);
		mark_disputed(table->entries.item, table->entries.count);
	}
	return table;
}

static inline void unwind_table_free(struct unwind_table *table)
{
	if (!table)
		return;
	array_free(&table->entries);
	free(table);
}

/* The one FDE whose code holds the address. NULL, or why there is none; an address that two FDEs claim has none. */
static inline const char *unwind_table_find(const struct unwind_table *table, uint64_t address, struct eh_fde *fde)
{
	size_t low = 0, high = table->entries.count;
	const struct entry *entry;

	/* The readable part of a damaged section proves nothing: what claims the same code may be lost. */
	if (table->damage)
		return table->damage;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->entries.item[middle].code.start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return "no unwind data for this address";
	entry = &table->entries.item[low - 1];
	if (entry->disputed)
		return "more than one unwind rule claims this code";
	/* Where a shorter entry hides the end of a longer one, both are disputed: nothing is lost. */
	if (!range_holds(entry->code, address))
		return "no unwind data for this address";
	if (!eh_frame_at(&table->section, entry->offset, fde))
		return "its unwind data has changed since it was indexed";
	return NULL;
}

#endif
