#include "unwind/validate.h"

#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "unwind/validating.h"

#define RESTARTS_MAX 16

/* Enter a part wherever a call may: at its start, where it has a symbol, and at every stub. */
static void enter_part(struct validating *all, size_t index)
{
	const struct part part = all->group.parts.item[index];
	const struct unit unit = all->units.item[part.unit];
	struct frame_state fresh;
	size_t entry;

	frame_state_enter(&fresh);
	if (unit.function && part.insns)
		paths_arrive(all, unit.code.start, unit.code.start, &fresh, EDGE_CERTAIN, false);
	entry = all->entries.count ? search_address(all->entries.item, all->entries.count, sizeof(uint64_t), unit.code.start) : 0;
	for (; entry < all->entries.count && all->entries.item[entry] < unit.code.end; entry++)
		paths_arrive(all, all->entries.item[entry], all->entries.item[entry], &fresh, EDGE_POSSIBLE, false);
	for (uint32_t i = part.first_insn + 1; unit.stubs && i < part.first_insn + part.insns; i++) {
		uint8_t before = all->group.insns.item[i - 1].effect.insn;

		if (before == INSN_JUMP || before == INSN_JUMP_INDIRECT || before == INSN_NOP)
			paths_arrive(all, group_address(all, i), group_address(all, i), &fresh, EDGE_UNLIKELY, false);
	}
}

/* Code that data points to may be entered from anywhere. Not so the labels of computed jumps, which the jumps enter. */
static void enter_labels(struct validating *all, size_t index)
{
	struct range code = all->units.item[all->group.parts.item[index].unit].code;
	size_t at = all->labels.count ? search_address(all->labels.item, all->labels.count, sizeof(uint64_t), code.start) : 0;
	struct frame_state fresh;

	frame_state_enter(&fresh);
	for (; at < all->labels.count && all->labels.item[at] < code.end; at++)
		if (group_begins(all, index, all->labels.item[at]))
			paths_arrive(all, all->labels.item[at], all->labels.item[at], &fresh, EDGE_POSSIBLE, false);
}

static void follow_group(struct validating *all)
{
	struct group *group = &all->group;
	size_t entered = 0;

	do {
		for (; entered < group->parts.count; entered++)
			enter_part(all, entered);
		paths_follow(all);
	} while (entered < group->parts.count);
	/* In an image at a fixed address, labels are guessed. */
	if (group->junctions.count || all->image->fixed_address)
		return;
	for (size_t i = 0; i < group->parts.count; i++)
		enter_labels(all, i);
	paths_follow(all);
}

static bool is_padding(const struct insn_effect *effect)
{
	bool moves_to_itself = effect->kind == EFFECT_MOVE && effect->target == effect->source && effect->offset == 0;

	return effect->insn == INSN_NOP || effect->insn == INSN_STOP || moves_to_itself;
}

/* The worse of two, where more than one group has a say. One that does not get there has none. */
static void set_verdict(const struct unit *unit, struct row *row, enum row_verdict verdict, enum row_reason reason)
{
	bool has_say = row->verdict != ROW_UNCHECKED && !(row->verdict == ROW_UNVERIFIABLE && row->reason == REASON_NOT_REACHED);

	if (unit->shared && has_say && (row->verdict >= verdict || reason == REASON_NOT_REACHED))
		return;
	row->verdict = (uint8_t)verdict;
	row->reason = (uint8_t)reason;
}

/* Is there no way out of the code but the end of the thread? Then nobody returns from it, whatever is above. */
static bool ends_thread(const struct validating *all, const uint8_t *code, uint64_t size)
{
	struct insn_effect effect;
	size_t end = code ? all->image->arch->thread_end(code, size) : 0;

	for (uint64_t at = end; end && at < size; at += effect.length)
		if (!all->image->arch->effect(code + at, size - at, at, &effect) || effect.insn != INSN_NOP)
			return false;
	return end != 0;
}

/* Rows whose claim is not about a frame. */
static bool judge_special(const struct validating *all, const struct unit *unit, struct row *row)
{
	uint64_t start = all->rows->text.start + row->start, size = unit->code.end - start;
	const uint8_t *code = image_bytes(all->image, start, size);

	switch (row->kind) {
	case ROW_UNRELIABLE:
		row->verdict = ROW_UNVERIFIABLE;
		return true;
	case ROW_SIGNAL:
		/* The FDE begins one byte before the code, for unwinders that look up the address before a
		 * return address (glibc, sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c). */
		if (code && size > 1 && all->image->arch->is_signal_return(code + 1, size - 1))
			set_verdict(unit, row, ROW_EXACT, REASON_NONE);
		else
			set_verdict(unit, row, ROW_UNVERIFIABLE, REASON_SIGNAL_CODE);
		return true;
	case ROW_END:
		if (ends_thread(all, code, row_end(all->rows, row) - start)) {
			set_verdict(unit, row, ROW_EXACT, REASON_NONE);
			return true;
		}
		if (range_holds(unit->code, all->image->entry) || row != &all->rows->item[unit->row])
			return false;
		set_verdict(unit, row, ROW_UNVERIFIABLE, REASON_ENTRY);
		return true;
	default:
		return false;
	}
}

struct tally {
	bool contradicted, reached, missed, gap;
	uint8_t reason;
};

static void judge_row(struct validating *all, const struct unit *unit, struct row *row, const struct tally *tally)
{
	if (judge_special(all, unit, row))
		return;
	if (tally->contradicted)
		set_verdict(unit, row, ROW_CONTRADICTED, REASON_NONE);
	else if (all->group.spoiled)
		set_verdict(unit, row, ROW_UNVERIFIABLE, all->group.spoiled);
	else if (tally->reason)
		set_verdict(unit, row, ROW_UNVERIFIABLE, tally->reason);
	else if (tally->gap)
		set_verdict(unit, row, ROW_UNVERIFIABLE, REASON_UNDECODED);
	else if (tally->missed || !tally->reached)
		set_verdict(unit, row, ROW_UNVERIFIABLE, REASON_NOT_REACHED);
	else
		set_verdict(unit, row, ROW_EXACT, REASON_NONE);
}

static void judge_part(struct validating *all, const struct part *part)
{
	const struct unit *unit = &all->units.item[part->unit];
	const struct code_insn *insn = part->insns ? &all->group.insns.item[part->first_insn] : NULL;
	const struct code_insn *end = part->insns ? insn + part->insns : NULL;
	uint32_t at = 0;

	for (uint32_t i = unit->row; i < unit->row + unit->rows; i++) {
		const struct code_insn *first = insn;
		struct tally tally = { 0 };

		for (; insn < end && insn->row == i; insn++) {
			tally.contradicted = tally.contradicted || insn->contradicted;
			tally.reached = tally.reached || insn->reached;
			tally.missed = tally.missed || (!insn->reached && !is_padding(&insn->effect));
			tally.gap = tally.gap || insn->at != at;
			if (!tally.reason)
				tally.reason = insn->reason;
			at = insn->at + insn->effect.length;
		}
		if (i + 1 == unit->row + unit->rows && at != unit->code.end - unit->code.start)
			tally.gap = true;
		if (tally.missed)
			split_note(all, unit, first, insn);
		judge_row(all, unit, &all->rows->item[i], &tally);
	}
}

/* Code that no path was found to may have one, too. */
static void find_unreached_switches(struct validating *all, const struct part *part)
{
	const struct code_insn *insns = part->insns ? &all->group.insns.item[part->first_insn] : NULL;
	uint32_t from = 0;

	for (uint32_t i = 0; insns && i <= part->insns; i++) {
		if (i < part->insns && !insns[i].reached)
			continue;
		if (i > from)
			switches_find_straight(all, (struct range){ insns[from].address, insns[i - 1].address + insns[i - 1].effect.length });
		from = i + 1;
	}
}

/* What is known of an instruction behind a prefix holds for the whole. */
static void merge_overlapping(struct group *group)
{
	for (size_t i = 0; i < group->insns.count; i++) {
		const struct code_insn *insn = &group->insns.item[i];
		struct code_insn *host;

		if (insn->host == NOTHING)
			continue;
		host = &group->insns.item[insn->host];
		host->contradicted = host->contradicted || insn->contradicted;
		host->reached = host->reached || insn->reached;
		if (!host->reason)
			host->reason = insn->reason;
	}
}

/* A unit that could not even be decoded. */
static void give_up(struct validating *all, struct unit *unit)
{
	for (uint32_t i = 0; i < unit->rows; i++)
		if (!judge_special(all, unit, &all->rows->item[unit->row + i]))
			set_verdict(unit, &all->rows->item[unit->row + i], ROW_UNVERIFIABLE, REASON_TOO_LARGE);
	unit->done = true;
}

static void validate_group(struct validating *all, uint32_t first)
{
	struct group *group = &all->group;
	unsigned int restarts = 0;

	group_clear(group);
	all->units.item[first].tail = NOTHING;
	group_add(all, first);
	if (!group->parts.count) {
		give_up(all, &all->units.item[first]);
		return;
	}
	follow_group(all);
	while (group->again && !group->spoiled) {
		if (++restarts == RESTARTS_MAX) {
			group->spoiled = REASON_TOO_LARGE;
			break;
		}
		group_restart(group);
		follow_group(all);
	}
	merge_overlapping(group);
	/* What was not understood may return. */
	if (group->spoiled)
		all->units.item[first].has_return = true;
	all->units.item[first].breaks |= group->breaks;
	for (size_t i = 0; i < group->parts.count; i++) {
		struct unit *unit = &all->units.item[group->parts.item[i].unit];

		if (!unit->done)
			callees_note(all, &group->parts.item[i]);
		/* A group that has the former leader, and so all that it led to, knows more than its group did. */
		unit->shared = unit->shared || (unit->done && !group_part(all, all->units.item[unit->leader].code.start));
		unit->leader = first;
		unit->done = true;
		judge_part(all, &group->parts.item[i]);
		find_unreached_switches(all, &group->parts.item[i]);
	}
	for (size_t i = 0; i < group->found.count; i++)
		*array_add(&all->found) = group->found.item[i];
	for (size_t i = 0; i < group->switches.count && stack_use_switches(group->stack_uses); i++)
		*array_add(&all->switches) = group->switches.item[i];
}

/* `anew`: what was found of their returns so far was found by a path that may be none. */
static void recheck(struct validating *all, bool anew)
{
	for (uint32_t i = 0; i < all->units.count; i++) {
		uint32_t leader = all->units.item[i].leader;

		if (!all->units.item[i].recheck)
			continue;
		if (anew)
			all->units.item[leader].breaks = 0;
		validate_group(all, leader);
		/* What led here has turned out to be no path. */
		if (!group_part(all, all->units.item[i].code.start))
			validate_group(all, i);
		all->units.item[i].recheck = false;
	}
}

/*
 * Functions first: they bring in the parts that their jumps lead to. What is left over then nothing is known to lead to.
 * At last those where a path ended behind a call that did not seem to return, now that it is known which do.
 */
static void validate_all(struct validating *all)
{
	for (uint32_t i = 0; i < all->units.count; i++)
		if (all->units.item[i].function && !all->units.item[i].done)
			validate_group(all, i);
	for (uint32_t i = 0; i < all->units.count; i++)
		if (!all->units.item[i].done)
			validate_group(all, i);
	units_add_taken_labels(all);
	callees_find_returning(all);
	all->second = true;
	recheck(all, true);
	all->breaks_known = true;
	while (callees_find_breaking(all))
		recheck(all, false);
}

static int compare_found(const void *one, const void *other)
{
	const struct contradiction *a = one, *b = other;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return (a->from > b->from) - (a->from < b->from);
}

/*
 * One of each address: groups may have been looked at twice, and paths have much in common. What a second look has taken
 * back, because more was known by then, is dropped.
 */
static void take_found(struct validating *all, struct validation *out)
{
	if (all->found.count)
		qsort(all->found.item, all->found.count, sizeof(*all->found.item), compare_found);
	for (size_t i = 0; i < all->found.count; i++) {
		const struct contradiction *found = &all->found.item[i];
		const struct row *row = rows_find(all->rows, found->address);

		if ((!i || found->address != found[-1].address) && row && row->verdict == ROW_CONTRADICTED)
			*array_add(&out->contradictions) = *found;
	}
	array_free(&all->found);
}

/* One of each. */
static void take_switches(struct validating *all, struct validation *out)
{
	if (all->switches.count)
		qsort(all->switches.item, all->switches.count, sizeof(uint64_t), compare_addresses);
	for (size_t i = 0; i < all->switches.count; i++)
		if (!i || all->switches.item[i] != all->switches.item[i - 1])
			*array_add(&out->switches) = all->switches.item[i];
	array_free(&all->switches);
}

static void count_fdes(const struct validating *all, struct validation *out)
{
	const struct rows *rows = all->rows;

	for (size_t i = 0; i < all->units.count; i++) {
		const struct unit *unit = &all->units.item[i];
		size_t exact = 0, contradicted = 0;

		for (uint32_t row = unit->row; row < unit->row + unit->rows; row++) {
			exact += rows->item[row].verdict == ROW_EXACT;
			contradicted += rows->item[row].verdict == ROW_CONTRADICTED;
		}
		out->fdes_exact += exact == unit->rows;
		out->fdes_contradicted += contradicted != 0;
	}
	out->fdes = rows->fdes;
}

static void count_rows(const struct rows *rows, struct validation *out)
{
	for (uint32_t i = 0; i < rows->count; i++) {
		struct row *row = &rows->item[i];

		if (row->kind == ROW_NONE)
			continue;
		if (row->verdict == ROW_UNCHECKED)
			row->verdict = ROW_UNVERIFIABLE;	/* disputed */
		out->rows++;
		out->exact += row->verdict == ROW_EXACT;
		out->contradicted += row->verdict == ROW_CONTRADICTED;
		if (row->verdict == ROW_UNVERIFIABLE) {
			out->unverifiable++;
			out->reasons[row->reason]++;
		}
	}
}

/* Bytes of a gap that are neither nops, traps nor zero. */
static uint64_t count_code(const struct arch *arch, const uint8_t *code, uint64_t size)
{
	uint64_t count = 0;

	for (uint64_t at = 0; at < size;) {
		struct insn_effect effect = { .length = 1 };

		if (code[at] == arch->trap || code[at] == 0) {
			at++;
			continue;
		}
		if (!arch->effect(code + at, size - at, at, &effect))
			effect.length = 1;
		if (effect.insn != INSN_NOP)
			count += effect.length;
		at += effect.length;
	}
	return count;
}

static void count_text(struct validating *all, struct validation *out)
{
	const struct rows *rows = all->rows;

	for (size_t i = 0; i < all->image->sections.count; i++) {
		const struct section *section = &all->image->sections.item[i];
		uint64_t at = section->span.start;

		if (!section->execute || !section->data || !strncmp(section->name, ".plt", 4))
			continue;
		out->text += section->span.end - section->span.start;
		for (const struct row *row = rows_find(rows, at); row && at < section->span.end; row++) {
			uint64_t end = row == &rows->item[rows->count - 1] ? section->span.end : row_end(rows, row);

			if (end > section->span.end)
				end = section->span.end;
			if (row->kind == ROW_NONE && end > at) {
				out->uncovered += count_code(all->image->arch, section->data + (at - section->span.start), end - at);
				switches_find_straight(all, (struct range){ at, end });
			}
			at = end;
		}
	}
}

void validate_image(const struct image *image, struct rows *rows, struct validation *validation)
{
	struct validating all = { .image = image, .rows = rows };

	*validation = (struct validation){ 0 };
	units_find(&all);
	validate_all(&all);
	take_found(&all, validation);
	count_fdes(&all, validation);
	split_rows(&all);
	count_rows(rows, validation);
	count_text(&all, validation);
	take_switches(&all, validation);

	group_clear(&all.group);
	array_free(&all.group.parts);
	array_free(&all.group.insns);
	array_free(&all.group.takes);
	array_free(&all.group.branches);
	array_free(&all.group.map);
	array_free(&all.group.states);
	array_free(&all.group.work);
	array_free(&all.group.junctions);
	array_free(&all.group.found);
	array_free(&all.group.switches);
	array_free(&all.group.aligned);
	free(all.callees.item);
	array_free(&all.units);
	free(all.unit_index);
	array_free(&all.tails);
	array_free(&all.calls);
	array_free(&all.taken);
	array_free(&all.labels);
	array_free(&all.entries);
}

void validation_free(struct validation *validation)
{
	array_free(&validation->contradictions);
	array_free(&validation->switches);
}
