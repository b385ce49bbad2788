/*
 * jump_table.c: where an indirect jump may lead.
 *
 * The state knows when a jump's target was loaded from a table at a constant address, either as it is or
 * as a distance from the table (gcc, clang and rustc with -fPIC). How long the table is, nobody says: the
 * bound of the comparison before the jump is taken when there is one, and every entry must lead to an
 * instruction of the function.
 */
#include <stdlib.h>

#include "base/search.h"
#include "unwind/validating.h"

#define ENTRIES_MAX 8192
#define COMPARE_DISTANCE 24	/* instructions before the jump in which its comparison is looked for */

/* An instruction of the group, or of a part of a function that only jumps lead to? */
static bool is_target(struct validating *all, uint64_t address)
{
	const struct part *part = group_part(all, address);
	uint32_t unit;

	if (part)
		return all->group.map.item[part->map + (uint32_t)(address - all->units.item[part->unit].code.start)] != 0;
	unit = validating_unit(all, address);
	return unit != NOTHING && !all->units.item[unit].function && !all->units.item[unit].stubs;
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

/* Entries that the comparison before the jump allows for, or 0 when there is none. */
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

/* Does the function refer to this address: does another table begin here? */
static bool is_referred_to(const struct validating *all, uint64_t address)
{
	for (size_t i = 0; i < all->group.insns.count; i++)
		if (all->group.insns.item[i].effect.kind == EFFECT_ADDRESS && all->group.insns.item[i].effect.address == address)
			return true;
	return false;
}

static void read_table(struct validating *all, uint32_t insn, struct value table, struct jump_targets *targets)
{
	uint64_t start = all->image->span.start + (uint64_t)(int64_t)table.offset, target;
	size_t bound = find_bound(all, insn);

	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		uint64_t place = start + i * table.number;

		if (!read_entry(all, table, place, start, &target) || !is_target(all, target))
			break;
		if (i && i >= bound && is_referred_to(all, place))
			break;
		*array_add(targets) = target;
		if (!bound || i < bound)
			targets->likely = targets->count;
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
	for (size_t i = 0; i < group->insns.count; i++) {
		const struct insn_effect *effect = &group->insns.item[i].effect;
		const struct part *part = effect->kind == EFFECT_ADDRESS ? group_part(all, effect->address) : NULL;

		if (part && effect->address != all->units.item[part->unit].code.start && is_target(all, effect->address))
			*array_add(targets) = effect->address;
	}
	targets->likely = targets->count;
}

struct value jump_find_table(const struct validating *all, uint32_t insn, const struct frame_state *state)
{
	const struct insn_effect *effect = &all->group.insns.item[insn].effect;
	struct value value = { .kind = VALUE_UNKNOWN };

	if (effect->kind == EFFECT_TABLE)
		value = frame_state_table(state, effect, all->image->span.start);
	else if (effect->source < FRAME_REGISTERS)
		value = state->reg[effect->source];
	return value.kind == VALUE_TARGET ? value : (struct value){ .kind = VALUE_UNKNOWN };
}

void jump_find_targets(struct validating *all, uint32_t insn, struct value table, struct jump_targets *targets)
{
	if (table.kind == VALUE_TARGET)
		read_table(all, insn, table, targets);
	if (!targets->count)
		find_labels(all, targets);
}
