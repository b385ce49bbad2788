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

static void note(struct callees *callees, uint64_t target, uint64_t site)
{
	struct callee *callee;

	if (!target)
		return;
	if (callees->count * 2 >= callees->room)
		grow(callees);
	callee = find(callees, target);
	if (callee->target) {
		callee->twice = callee->twice || callee->site != site;
		return;
	}
	*callee = (struct callee){ .target = target, .site = site };
	callees->count++;
}

void callees_note(struct validating *all)
{
	const struct group *group = &all->group;

	for (uint32_t i = 0; i + 1 < group->insns.count; i++) {
		const struct code_insn *call = &group->insns.item[i], *next = call + 1;

		if (call->effect.insn == INSN_CALL && call->reached && next->part == call->part && !next->leader &&
		    next->at == call->at + call->effect.length && next->effect.insn != INSN_NOP && next->effect.insn != INSN_STOP)
			note(&all->callees, call->effect.address, group_address(all, i));
	}
}

/* Does the function have a return instruction, or a tail call of one that has? */
static bool may_return(const struct validating *all, uint64_t target)
{
	uint32_t unit = validating_unit(all, target);

	return unit != NOTHING && target == all->units.item[unit].code.start &&
	       all->units.item[all->units.item[unit].leader].returns;
}

enum edge callee_edge(struct validating *all, const struct insn_effect *call)
{
	const struct callee *callee;

	if (!all->second)
		return EDGE_CALLED;
	if (call->insn != INSN_CALL)
		return EDGE_POSSIBLE;
	if (all->callees.room) {
		callee = find(&all->callees, call->address);
		if (callee->target)
			return callee->twice ? EDGE_CERTAIN : EDGE_POSSIBLE;
	}
	return may_return(all, call->address) ? EDGE_POSSIBLE : EDGE_CALLED;
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
