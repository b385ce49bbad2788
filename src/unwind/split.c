/*
 * split.c: rows of which only a part was reached, in parts.
 *
 * Without pushes and pops one row may hold for thousands of bytes (printf's), and one instruction that no path was found to would leave
 * all of it unproven. What was reached is as exact as if it had a row of its own. It gets one if it is long enough to be worth it.
 */
#include <stdlib.h>

#include "unwind/validating.h"

#define PART_MIN 64	/* bytes */

struct row_list {
	struct row *item;
	size_t count, room;
};

void split_note(struct validating *all, const struct unit *unit, const struct code_insn *insn, const struct code_insn *end)
{
	const struct range text = all->rows->text;
	bool reached = false;

	if (!all->reached)
		all->reached = memory_zeroed((text.end - text.start) / 8 + 1, 1);
	for (; insn < end; insn++) {
		/* Padding goes with what is before it. */
		if (insn->reached || insn->effect.insn != INSN_NOP)
			reached = insn->reached;
		for (uint64_t at = insn->address - text.start; at < insn->address - text.start + insn->effect.length; at++) {
			uint8_t bit = (uint8_t)(1u << at % 8);

			all->reached[at / 8] &= (uint8_t)~bit;
			/* Of several groups one may know of less than another. */
			if (reached && !unit->shared)
				all->reached[at / 8] |= bit;
		}
	}
}

static bool is_reached(const struct validating *all, uint32_t at)
{
	return all->reached[at / 8] >> at % 8 & 1;
}

static void add_parts(const struct validating *all, struct row_list *list, struct row row, uint32_t end)
{
	uint32_t at = row.start, next;

	for (bool first = true; at < end; at = next) {
		bool reached = is_reached(all, at);

		for (next = at + 1; next < end && is_reached(all, next) == reached; next++)
			;
		reached = reached && next - at >= PART_MIN;
		if (!first && reached == (list->item[list->count - 1].verdict == ROW_EXACT))
			continue;
		row.start = at;
		row.verdict = reached ? ROW_EXACT : ROW_UNVERIFIABLE;
		row.reason = reached ? REASON_NONE : REASON_NOT_REACHED;
		*array_add(list) = row;
		row.flags &= (uint8_t)~ROW_STARTS_FDE;
		first = false;
	}
}

void split_rows(struct validating *all)
{
	struct rows *rows = all->rows;
	struct row_list list = { 0 };

	if (!all->reached)
		return;
	for (uint32_t i = 0; i < rows->count; i++) {
		const struct row *row = &rows->item[i];

		if (row->verdict == ROW_UNVERIFIABLE && row->reason == REASON_NOT_REACHED && (row->kind == ROW_REGISTER || row->kind == ROW_INDIRECT))
			add_parts(all, &list, *row, row[1].start);
		else
			*array_add(&list) = *row;
	}
	free(all->reached);
	free(rows->item);
	free(rows->index);
	rows->item = list.item;
	rows->count = (uint32_t)list.count;
	rows->index = NULL;
	rows_index(rows);
}
