/*
 * callee.c: which functions return?
 *
 * Code behind a call of a function that never returns belongs to something else, and its frame has nothing to do with
 * the call's. That a function holds a return instruction does not settle it: the compiler believes a noreturn
 * attribute. But where it believes that a call returns, it goes on behind it with straight code.
 */
#include <stdlib.h>

#include "unwind/validating.h"

static struct callee *find(struct callees *callees, uint64_t target)
{
	size_t at = (size_t)(target * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (callees->room - 1);

	while (callees->item[at].target && callees->item[at].target != target)
		at = (at + 1) & (callees->room - 1);
	return &callees->item[at];
}

static void grow(struct callees *callees)
{
	struct callees old = *callees;

	callees->room = old.room ? old.room * 2 : 1024;
	callees->item = memory_zeroed(callees->room, sizeof(*callees->item));
	for (size_t i = 0; i < old.room; i++)
		if (old.item[i].target)
			*find(callees, old.item[i].target) = old.item[i];
	free(old.item);
}

static void note(struct callees *callees, uint64_t target, bool straight)
{
	struct callee *callee;

	if (!target)
		return;
	if (callees->count * 2 >= callees->room)
		grow(callees);
	callee = find(callees, target);
	callees->count += !callee->target;
	callee->target = target;
	callee->calls++;
	callee->straight += straight;
}

/* Is what follows the call code that only the call leads to? */
static bool goes_straight_on(const struct group *group, uint32_t call)
{
	const struct code_insn *at = &group->insns.item[call], *next = at + 1;

	return call + 1 < group->insns.count && next->part == at->part && !next->leader && next->at == at->at + at->effect.length &&
	       next->effect.insn != INSN_NOP && next->effect.insn != INSN_STOP;
}

void callees_note(struct validating *all, const struct part *part)
{
	const struct group *group = &all->group;

	for (uint32_t i = 0; i < part->takes; i++) {
		const struct insn_effect *take = &group->insns.item[group->takes.item[part->first_take + i]].effect;

		if (take->refers && range_holds(all->rows->text, take->address) && !group_part(all, take->address))
			*array_add(&all->taken) = take->address;
	}
	for (uint32_t i = 0; i < part->branches; i++) {
		uint32_t index = group->branches.item[part->first_branch + i];
		const struct code_insn *call = &group->insns.item[index];

		if (call->effect.insn == INSN_CALL && range_holds(all->rows->text, call->effect.address))
			*array_add(&all->calls) = (struct unit_call){ (uint32_t)(call->effect.address - all->rows->text.start), part->unit };
		if (call->reached && (call->effect.insn == INSN_CALL || call->effect.insn == INSN_CALL_INDIRECT))
			note(&all->callees, call->effect.address, goes_straight_on(group, index));
	}
}

/* Does the function have a return instruction, or a tail call of one that has? One of another image may. */
static bool may_return(const struct validating *all, uint64_t target)
{
	uint32_t unit = validating_unit(all, target);

	return unit == NOTHING || all->units.item[unit].stubs || target != all->units.item[unit].code.start ||
	       all->units.item[all->units.item[unit].leader].returns;
}

uint8_t callee_breaks(const struct validating *all, uint64_t target)
{
	uint32_t unit = validating_unit(all, target);

	if (!all->breaks_known || unit == NOTHING || all->units.item[unit].stubs || target != all->units.item[unit].code.start)
		return 0;
	return all->units.item[all->units.item[unit].leader].breaks;
}

static int compare_calls(const void *one, const void *other)
{
	const struct unit_call *a = one, *b = other;

	return (a->target > b->target) - (a->target < b->target);
}

/* Only where it is needed: most images have no function that breaks anything. */
static void sort_calls(struct validating *all)
{
	if (!all->calls_sorted && all->calls.count)
		qsort(all->calls.item, all->calls.count, sizeof(*all->calls.item), compare_calls);
	all->calls_sorted = true;
}

/* First call of the address or one behind it. */
static size_t find_calls(const struct validating *all, uint64_t address)
{
	uint64_t target = address - all->rows->text.start;
	size_t low = 0, high = all->calls.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (all->calls.item[middle].target < target)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What is called last is what a function gives back. */
static void pass_through_tails(struct validating *all)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < all->units.count; i++) {
			struct unit *unit = &all->units.item[i];
			uint8_t breaks = unit->breaks;

			for (uint32_t tail = unit->tail; tail != NOTHING; tail = all->tails.item[tail].next)
				breaks |= all->units.item[all->units.item[all->tails.item[tail].unit].leader].breaks;
			changed = changed || breaks != unit->breaks;
			unit->breaks = breaks;
		}
	}
}

bool callees_find_breaking(struct validating *all)
{
	bool found = false;

	pass_through_tails(all);

	for (uint32_t i = 0; i < all->units.count; i++) {
		struct unit *unit = &all->units.item[i];
		uint8_t breaks = callee_breaks(all, unit->code.start);

		/* Bits are only added, so this comes to an end. */
		if (!(breaks & ~unit->breaks_seen))
			continue;
		unit->breaks_seen |= breaks;
		sort_calls(all);
		for (size_t call = find_calls(all, unit->code.start), end = find_calls(all, unit->code.end); call < end; call++) {
			all->units.item[all->units.item[all->calls.item[call].caller].leader].recheck = true;
			found = true;
		}
	}
	return found;
}

enum edge callee_edge(struct validating *all, uint32_t call)
{
	const struct insn_effect *effect = &all->group.insns.item[call].effect;
	const struct callee *callee;

	if (goes_straight_on(&all->group, call))
		return EDGE_CERTAIN;
	if (!all->second)
		return EDGE_CALLED;
	if (!effect->address)
		return EDGE_POSSIBLE;
	callee = all->callees.room ? find(&all->callees, effect->address) : NULL;
	/* More than one such place, and no fewer than others: a single one may be code that was not understood. */
	if (callee && callee->straight > 1 && callee->straight * 2 >= callee->calls)
		return EDGE_RETURNED;
	if (callee && callee->straight)
		return EDGE_POSSIBLE;
	return may_return(all, effect->address) ? EDGE_POSSIBLE : EDGE_CALLED;
}

void callees_find_returning(struct validating *all)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < all->units.count; i++) {
			struct unit *unit = &all->units.item[i];
			bool returns = unit->has_return;

			for (uint32_t tail = unit->tail; tail != NOTHING && !returns; tail = all->tails.item[tail].next)
				returns = all->units.item[all->units.item[all->tails.item[tail].unit].leader].returns;
			changed = changed || (returns && !unit->returns);
			unit->returns = unit->returns || returns;
		}
	}
}
