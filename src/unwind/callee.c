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

	for (uint32_t i = part->first_insn; i < part->first_insn + part->insns; i++) {
		const struct code_insn *call = &group->insns.item[i];

		if (call->reached && (call->effect.insn == INSN_CALL || call->effect.insn == INSN_CALL_INDIRECT))
			note(&all->callees, call->effect.address, goes_straight_on(group, i));
	}
}

/* Does the function have a return instruction, or a tail call of one that has? */
static bool may_return(const struct validating *all, uint64_t target)
{
	uint32_t unit = validating_unit(all, target);

	return unit != NOTHING && target == all->units.item[unit].code.start &&
	       all->units.item[all->units.item[unit].leader].returns;
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
