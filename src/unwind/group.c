/* group.c: the instructions of the FDEs that are looked at together. */
#include <stdlib.h>

#include "unwind/validating.h"

/* No function of a compiler is anywhere near these. */
#define CODE_MAX (UINT64_C(16) << 20)
#define PARTS_MAX 256
#define INSNS_MAX (UINT32_C(8) << 20)

uint32_t validating_unit(const struct validating *all, uint64_t address)
{
	const struct unit *units = all->units.item;
	uint32_t index;

	if (!all->units.count || address < units[0].code.start || address >= units[all->units.count - 1].code.end)
		return NOTHING;
	index = all->unit_index[(address - units[0].code.start) / UNIT_STEP];
	while (units[index].code.end <= address)
		index++;
	return range_holds(units[index].code, address) ? index : NOTHING;
}

const struct part *group_part(const struct validating *all, uint64_t address)
{
	for (size_t i = 0; i < all->group.parts.count; i++)
		if (range_holds(all->units.item[all->group.parts.item[i].unit].code, address))
			return &all->group.parts.item[i];
	return NULL;
}

uint32_t group_next(const struct validating *all, uint32_t insn, uint64_t address)
{
	const struct part *part = &all->group.parts.item[all->group.insns.item[insn].part];
	struct range code = all->units.item[part->unit].code;
	uint32_t found;

	if (!range_holds(code, address))
		return NOTHING;
	found = all->group.map.item[part->map + (uint32_t)(address - code.start)];
	return found ? found - 1 : NOTHING;
}

/* The last instruction was added. */
static void note_taking(struct group *group)
{
	if (group->insns.item[group->insns.count - 1].effect.kind == EFFECT_ADDRESS)
		*array_add(&group->takes) = (uint32_t)group->insns.count - 1;
}

/*
 * A jump behind a prefix: glibc skips the lock prefix of an instruction while there is one thread. The part of an
 * instruction that ends with the whole is an instruction of its own; any other overlap is not understood.
 */
static uint32_t add_overlapping(struct validating *all, const struct part *part, uint64_t address)
{
	struct group *group = &all->group;
	uint64_t start = all->units.item[part->unit].code.start;
	uint32_t at = (uint32_t)(address - start), host = at;
	uint32_t *map = group->map.item + part->map;
	const uint8_t *code;
	struct insn_effect effect;
	struct code_insn insn;

	while (host && !map[host])
		host--;
	if (!map[host])
		goto bad;
	insn = group->insns.item[map[host] - 1];
	code = image_bytes(all->image, address, insn.effect.length);
	if (insn.at + insn.effect.length <= at || !code ||
	    !all->image->arch->effect(code, insn.at + insn.effect.length - at, address, &effect) ||
	    at + effect.length != insn.at + insn.effect.length)
		goto bad;
	map[at] = (uint32_t)group->insns.count + 1;
	*array_add(&group->insns) = (struct code_insn){
		.effect = effect, .part = insn.part, .at = at, .address = address, .row = insn.row, .host = map[host] - 1, .state = { NOTHING, NOTHING },
	};
	note_taking(group);
	return map[at] - 1;
bad:
	group->spoiled = REASON_UNDECODED;
	return NOTHING;
}

uint32_t group_insn(struct validating *all, uint64_t address)
{
	const struct part *part = group_part(all, address);
	uint32_t unit, found;

	if (!part) {
		unit = validating_unit(all, address);
		if (unit == NOTHING)
			return NOTHING;
		group_add(all, unit);
		part = group_part(all, address);
		if (!part)
			return NOTHING;
	}
	found = all->group.map.item[part->map + (uint32_t)(address - all->units.item[part->unit].code.start)];
	return found ? found - 1 : add_overlapping(all, part, address);
}

#define BRANCHES (1u << INSN_JUMP | 1u << INSN_JUMP_CONDITIONAL | 1u << INSN_CALL | 1u << INSN_CALL_INDIRECT)

/* Decode all from the start on. Bytes that are no instruction are passed over one by one. */
static void decode(struct validating *all, struct part *part, uint32_t part_index, const uint8_t *code)
{
	const struct unit *unit = &all->units.item[part->unit];
	struct group *group = &all->group;
	uint32_t size = (uint32_t)(unit->code.end - unit->code.start), row = unit->row;
	uint32_t offset = (uint32_t)(unit->code.start - all->rows->text.start);

	part->first_branch = (uint32_t)group->branches.count;
	part->first_take = (uint32_t)group->takes.count;
	for (uint32_t at = 0; at < size;) {
		struct insn_effect effect;

		if (!all->image->arch->effect(code + at, size - at, unit->code.start + at, &effect)) {
			at++;
			continue;
		}
		while (row + 1 < unit->row + unit->rows && all->rows->item[row + 1].start <= offset + at)
			row++;
		*array_add(&group->insns) = (struct code_insn){
			.effect = effect, .part = part_index, .at = at, .address = unit->code.start + at, .row = row, .host = NOTHING, .state = { NOTHING, NOTHING },
		};
		note_taking(group);
		if (BRANCHES >> effect.insn & 1)
			*array_add(&group->branches) = (uint32_t)group->insns.count - 1;
		group->map.item[part->map + at] = (uint32_t)group->insns.count;
		at += effect.length;
	}
	part->insns = (uint32_t)group->insns.count - part->first_insn;
	part->branches = (uint32_t)group->branches.count - part->first_branch;
	part->takes = (uint32_t)group->takes.count - part->first_take;
}

static void mark_leader(struct validating *all, const struct part *part, uint64_t address)
{
	struct range code = all->units.item[part->unit].code;
	uint32_t found;

	if (!range_holds(code, address))
		return;
	found = all->group.map.item[part->map + (uint32_t)(address - code.start)];
	if (found)
		all->group.insns.item[found - 1].leader = true;
}

static void mark_leaders(struct validating *all, const struct part *part)
{
	for (uint32_t i = 0; i < part->branches; i++) {
		const struct insn_effect *effect = &all->group.insns.item[all->group.branches.item[part->first_branch + i]].effect;

		if (effect->insn != INSN_CALL_INDIRECT)
			mark_leader(all, part, effect->address);
	}
	for (size_t i = 0; i < part->pads.count; i++)
		mark_leader(all, part, part->pads.item[i].pad);
}

void group_add(struct validating *all, uint32_t unit_index)
{
	struct group *group = &all->group;
	const struct unit *unit = &all->units.item[unit_index];
	uint64_t size = unit->code.end - unit->code.start;
	const uint8_t *code = image_bytes(all->image, unit->code.start, size);
	struct part part = { .unit = unit_index, .first_insn = (uint32_t)group->insns.count, .map = (uint32_t)group->map.count };

	if (!code || size > CODE_MAX || group->parts.count == PARTS_MAX || group->insns.count > INSNS_MAX) {
		group->spoiled = REASON_TOO_LARGE;
		return;
	}
	while (group->map.room < group->map.count + size)
		group->map.item = memory_grow(group->map.item, &group->map.room, sizeof(*group->map.item));
	memset(group->map.item + group->map.count, 0, size * sizeof(*group->map.item));
	group->map.count += size;
	decode(all, &part, (uint32_t)group->parts.count, code);
	landing_pads_read(all->image, unit->lsda, unit->code.start, &part.pads);
	*array_add(&group->parts) = part;
	mark_leaders(all, &group->parts.item[group->parts.count - 1]);
}

/* The work is a binary heap. */
void group_add_work(struct group *group, uint32_t insn, bool tainted)
{
	const struct code_insn *at = &group->insns.item[insn];
	struct work work = { ((uint64_t)at->part << 32 | at->at) * 2 + tainted, insn, tainted };
	size_t place = group->work.count;

	array_add(&group->work);
	for (; place && group->work.item[(place - 1) / 2].order > work.order; place = (place - 1) / 2)
		group->work.item[place] = group->work.item[(place - 1) / 2];
	group->work.item[place] = work;
}

struct work group_take_work(struct group *group)
{
	struct work first = group->work.item[0], last = group->work.item[--group->work.count];
	size_t at = 0, below;

	while ((below = 2 * at + 1) < group->work.count) {
		below += below + 1 < group->work.count && group->work.item[below + 1].order < group->work.item[below].order;
		if (last.order <= group->work.item[below].order)
			break;
		group->work.item[at] = group->work.item[below];
		at = below;
	}
	group->work.item[at] = last;
	return first;
}

void group_restart(struct group *group)
{
	for (size_t i = 0; i < group->insns.count; i++) {
		struct code_insn *insn = &group->insns.item[i];

		insn->state[0] = insn->state[1] = NOTHING;
		insn->reached = insn->contradicted = insn->queued[0] = insn->queued[1] = false;
		insn->reason = REASON_NONE;
	}
	group->states.count = group->work.count = group->junctions.count = group->found.count = group->switches.count = group->stack_uses = 0;
	group->breaks = 0;
	group->again = false;
}

void group_clear(struct group *group)
{
	for (size_t i = 0; i < group->parts.count; i++)
		array_free(&group->parts.item[i].pads);
	group->parts.count = group->insns.count = group->takes.count = group->branches.count = group->map.count = group->states.count = 0;
	group->work.count = group->junctions.count = group->found.count = group->switches.count = group->aligned.count = group->stack_uses = 0;
	group->spoiled = REASON_NONE;
	group->breaks = 0;
	group->again = false;
}
