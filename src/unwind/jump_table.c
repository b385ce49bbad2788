/*
 * jump_table.c: where an indirect jump may lead.
 *
 * The state knows when a jump's target was loaded from a table at a constant address, either as it is or
 * as a distance from the table (gcc, clang and rustc with -fPIC). How long the table is, nobody says: it ends
 * where an entry leads to no instruction of the function, or at the next address that the function refers to, for that
 * is another object. Too many entries make rows unverifiable, too few may hide a path. So the comparison before the jump,
 * which may be of something else, only ever adds entries: as many as it allows for are read past such an address, too.
 */
#include <stdlib.h>

#include "base/search.h"
#include "unwind/validating.h"

#define ENTRIES_MAX 8192
#define COMPARE_DISTANCE 24	/* instructions before the jump in which its comparison is looked for */

/* Does an instruction of the function begin there? A part that only jumps lead to is taken into the group to know. */
static bool is_target(struct validating *all, uint64_t address)
{
	const struct part *part = group_part(all, address);
	uint32_t unit;

	if (!part) {
		unit = validating_unit(all, address);
		if (unit == NOTHING || all->units.item[unit].function || all->units.item[unit].stubs)
			return false;
		group_add(all, unit);
		part = group_part(all, address);
	}
	return part && all->group.map.item[part->map + (uint32_t)(address - all->units.item[part->unit].code.start)] != 0;
}

static bool read_entry(const struct validating *all, struct value table, uint64_t place, uint64_t start, uint64_t *target)
{
	const uint8_t *bytes = image_bytes(all->image, place, table.number);
	const struct relocation *relocation;

	if (!bytes)
		return false;
	if (table.number == 4) {
		*target = start + (uint64_t)(int64_t)(int32_t)load32(bytes);
		return true;
	}
	relocation = image_relocation(all->image, place);
	if (relocation)
		*target = (uint64_t)relocation->addend;
	else if (all->image->fixed_address)
		*target = load64(bytes);
	else
		return false;
	return !relocation || all->image->arch->relocation(relocation->type) == RELOC_RELATIVE;
}

/* Entries that the comparison before the jump allows for, if it is of the index; 0 when there is none. */
static size_t find_bound(const struct validating *all, uint32_t insn)
{
	const struct part *part = &all->group.parts.item[all->group.insns.item[insn].part];

	for (uint32_t i = insn, distance = 0; i > part->first_insn && distance < COMPARE_DISTANCE; distance++) {
		const struct insn_effect *effect = &all->group.insns.item[--i].effect;

		if (effect->kind == EFFECT_COMPARE && effect->offset > 0 && effect->offset < ENTRIES_MAX)
			return (size_t)effect->offset + 1;
	}
	return 0;
}

/* The next address behind that the function refers to: there another table may begin. */
static uint64_t next_referred_to(const struct validating *all, uint64_t address)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < all->group.takes.count; i++) {
		const struct insn_effect *effect = &all->group.insns.item[all->group.takes.item[i]].effect;

		if (effect->address > address && effect->address < next)
			next = effect->address;
	}
	return next;
}

static void read_table(struct validating *all, uint32_t insn, struct value table, struct jump_targets *targets)
{
	uint64_t start = all->image->span.start + (uint64_t)(int64_t)table.offset, target;
	size_t bound = find_bound(all, insn);
	uint64_t end = next_referred_to(all, start);

	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		uint64_t place = start + i * table.number;

		if (!read_entry(all, table, place, start, &target) || !is_target(all, target))
			break;
		if (i >= bound && place >= end)
			break;
		*array_add(targets) = target;
	}
}

/* Labels of the function whose address something takes: computed gotos. */
static void find_labels(struct validating *all, struct jump_targets *targets)
{
	const struct group *group = &all->group;

	for (size_t i = 0; i < group->parts.count; i++) {
		struct range code = all->units.item[group->parts.item[i].unit].code;
		size_t at = all->labels.count ? search_address(all->labels.item, all->labels.count, sizeof(uint64_t), code.start + 1) : 0;

		for (; at < all->labels.count && all->labels.item[at] < code.end; at++)
			if (is_target(all, all->labels.item[at]))
				*array_add(targets) = all->labels.item[at];
	}
	for (size_t i = 0; i < group->takes.count; i++) {
		const struct insn_effect *effect = &group->insns.item[group->takes.item[i]].effect;
		const struct part *part = group_part(all, effect->address);

		if (part && effect->address != all->units.item[part->unit].code.start && is_target(all, effect->address))
			*array_add(targets) = effect->address;
	}
}

#define LOAD_DISTANCE 8	/* instructions before the jump in which it loads its target */

/* The instruction before the jump that loads from a table what it then jumps to, or NOTHING. */
static uint32_t find_load(const struct validating *all, uint32_t jump)
{
	const struct insn_effect *effect = &all->group.insns.item[jump].effect;
	uint32_t first = all->group.parts.item[all->group.insns.item[jump].part].first_insn;

	if (effect->kind == EFFECT_TABLE)
		return jump;
	for (uint32_t i = jump, distance = 0; i > first && distance < LOAD_DISTANCE; distance++) {
		const struct insn_effect *before = &all->group.insns.item[--i].effect;

		if (before->kind == EFFECT_TABLE && before->target < FRAME_REGISTERS && before->source < FRAME_REGISTERS)
			return i;
	}
	return NOTHING;
}

/*
 * The table's register has different values on the paths to here, as far as those are known: behind a call that never
 * returns, which looks as if it went on here, or behind one of a local function that is known to leave the register alone.
 * It is one of the tables whose address the function puts into that register.
 */
static void read_tables_of_register(struct validating *all, uint32_t jump, uint32_t load, struct jump_targets *targets)
{
	const struct insn_effect table_load = all->group.insns.item[load].effect;

	for (size_t i = 0; i < all->group.takes.count; i++) {
		const struct insn_effect *effect = &all->group.insns.item[all->group.takes.item[i]].effect;
		struct frame_state state;
		struct value table;

		if (effect->target != table_load.source)
			continue;
		frame_state_enter(&state);
		frame_state_apply(&state, effect, all->image->span.start, 0);
		table = frame_state_table(&state, &table_load, all->image->span.start);
		if (table.kind == VALUE_UNKNOWN)
			continue;
		table.kind = VALUE_TARGET;
		read_table(all, jump, table, targets);
	}
}

struct value jump_find_table(const struct validating *all, uint32_t insn, const struct frame_state *state)
{
	const struct insn_effect *effect = &all->group.insns.item[insn].effect;
	struct value value = { .kind = VALUE_UNKNOWN };
	uint32_t load;

	if (effect->kind == EFFECT_TABLE && effect->index == NO_REGISTER && effect->source < FRAME_REGISTERS &&
	    state->reg[effect->source].kind == VALUE_STACK)
		value = frame_state_load(state, state->reg[effect->source].number, state->reg[effect->source].offset + effect->offset);
	else if (effect->kind == EFFECT_TABLE)
		value = frame_state_table(state, effect, all->image->span.start);
	else if (effect->source < FRAME_REGISTERS)
		value = state->reg[effect->source];
	if (value.kind == VALUE_TARGET)
		return value;
	load = find_load(all, insn);
	return (struct value){ .kind = VALUE_UNKNOWN, .number = load != NOTHING, .offset = load == NOTHING ? 0 : (int32_t)load };
}

void jump_find_targets(struct validating *all, uint32_t insn, struct value table, struct jump_targets *targets)
{
	if (table.kind == VALUE_TARGET)
		read_table(all, insn, table, targets);
	else if (table.number)
		read_tables_of_register(all, insn, (uint32_t)table.offset, targets);
	else
		find_labels(all, targets);
}
