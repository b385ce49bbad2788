/* path.c: follow the instructions of a group along every path. */
#include <stdlib.h>

#include "unwind/validating.h"

static struct unit *group_leader(struct validating *all)
{
	return &all->units.item[all->group.parts.item[0].unit];
}

static void record(struct validating *all, uint32_t insn, uint64_t from, const struct frame_state *state,
		   uint8_t subject, bool tainted)
{
	struct code_insn *at = &all->group.insns.item[insn];
	struct contradiction *found;

	at->contradicted = true;
	if (tainted)
		return;
	found = array_add(&all->group.found);
	*found = (struct contradiction){ .address = group_address(all, insn), .from = from };
	found->fde = all->units.item[all->group.parts.item[at->part].unit].code.start;
	claim_describe(state, group_row(all, insn), found->address, subject, found);
}

static bool casts_doubt(enum edge edge)
{
	return edge != EDGE_CERTAIN && edge != EDGE_RETURNED;
}

/* Registers that a claim may be about, and the slots. */
#define CLAIMED (FRAME_KEPT | FRAME_SLOTS_WRITTEN)

static bool still_holds(const struct validating *all, uint32_t insn, const struct frame_state *state)
{
	const struct row *row = group_row(all, insn);

	/* That of a stub depends on the address. */
	return state->held == all->group.insns.item[insn].row && row->kind != ROW_STUB && !(state->written & (CLAIMED | 1u << row->base));
}

/* Compare. False when the path ends here, because there is no such edge. */
static bool check(struct validating *all, uint32_t insn, uint64_t from, const struct frame_state *state, enum edge edge,
		  bool *tainted, enum row_reason *reason)
{
	const struct row *row = group_row(all, insn);
	struct claim_result result;

	*reason = REASON_NONE;
	if (still_holds(all, insn, state))
		return true;
	result = claim_check(state, row, group_address(all, insn));
	switch (result.verdict) {
	case CLAIM_HOLDS:
		/* Rows that claim nothing do not make a wrong frame right. */
		*tainted = *tainted && row->kind != ROW_REGISTER && row->kind != ROW_INDIRECT && row->kind != ROW_STUB;
		return true;
	case CLAIM_UNVERIFIABLE:
		*reason = *tainted ? REASON_BEHIND : result.reason;
		return true;
	case CLAIM_CONTRADICTED:
		break;
	}
	if ((edge == EDGE_CERTAIN || edge == EDGE_RETURNED) && state->doubtful) {
		group_leader(all)->recheck = true;
		edge = EDGE_POSSIBLE;
	}
	switch (edge) {
	case EDGE_CERTAIN:
		record(all, insn, from, state, result.subject, *tainted);
		*tainted = true;
		return true;
	case EDGE_CALLED:
		group_leader(all)->recheck = true;
		return false;
	case EDGE_RETURNED:
	case EDGE_POSSIBLE:
		all->group.insns.item[insn].reason = REASON_UNCERTAIN_PATH;
		return false;
	case EDGE_UNLIKELY:
		break;
	}
	return false;
}

/* Keep what all paths to a place have in common. True if that is news. `held`: the row whose claim holds for this one, or FRAME_NO_ROW. */
static bool merge_state(struct group *group, uint32_t *index, const struct frame_state *state, bool doubtful, uint32_t held)
{
	struct frame_state *first;

	if (*index != NOTHING) {
		if (!frame_state_merge(&group->states.item[*index], state, doubtful))
			return false;
		group->states.item[*index].held = FRAME_NO_ROW;
		return true;
	}
	*index = (uint32_t)group->states.count;
	first = array_add(&group->states);
	frame_state_copy(first, state);
	first->doubtful = doubtful;
	first->held = held;
	first->written = 0;
	return true;
}

static void arrive_at(struct validating *all, uint32_t insn, uint64_t from, const struct frame_state *state,
		      enum edge edge, bool tainted)
{
	struct group *group = &all->group;
	struct code_insn *at = &group->insns.item[insn];
	bool doubtful = state->doubtful || casts_doubt(edge);
	enum row_reason reason;

	/* Another path was here with the same state, which has been compared. */
	if (at->state[tainted] != NOTHING && frame_state_repeats(&group->states.item[at->state[tainted]], state, doubtful))
		return;
	if (!check(all, insn, from, state, edge, &tainted, &reason))
		return;
	if (!at->leader) {
		at->leader = true;
		group->again = group->again || at->reached;
	}
	if (!merge_state(group, &at->state[tainted], state, doubtful, reason || tainted ? FRAME_NO_ROW : at->row) || at->queued[tainted])
		return;
	at->queued[tainted] = true;
	group_add_work(group, insn, tainted);
}

/* What its rows say of where registers were saved is of no use where the caller gets something else back. */
static void note_return(struct validating *all, const struct frame_state *state, bool tainted)
{
	if (!tainted && !all->group.spoiled && frame_state_returns_copy(state))
		all->group.spoiled = REASON_SAVES;
}

/* A jump to the entry of a function outside of the group that finds the frame of a call: a tail call. */
static bool is_tail_call(struct validating *all, uint32_t unit_index, uint64_t address, const struct frame_state *state,
			 enum edge edge)
{
	const struct unit *unit = &all->units.item[unit_index];
	struct claim_result result;

	/* Stubs are entered by calls and tail calls only. */
	if (unit->stubs)
		return true;
	if (!unit->function)
		return false;
	if (edge == EDGE_UNLIKELY || (edge == EDGE_POSSIBLE && address != unit->code.start))
		return true;
	if (address != unit->code.start)
		return false;
	result = claim_check(state, &all->rows->item[unit->row], address);
	if (result.verdict == CLAIM_CONTRADICTED && (edge == EDGE_CERTAIN || edge == EDGE_POSSIBLE))
		return false;
	if (result.verdict == CLAIM_HOLDS) {
		struct unit *leader = group_leader(all);

		*array_add(&all->tails) = (struct tail_call){ unit_index, leader->tail };
		leader->tail = (uint32_t)all->tails.count - 1;
	}
	return true;
}

/*
 * What the compiler believes to be unreachable has no end: gcc lets it run into whatever part comes next, or jump to its
 * start. So a frame that does not fit there does not show that the part is wrong.
 */
static enum edge weaken(const struct validating *all, uint32_t unit, uint64_t address, enum edge edge)
{
	return edge == EDGE_CERTAIN && address == all->units.item[unit].code.start ? EDGE_POSSIBLE : edge;
}

void paths_arrive(struct validating *all, uint64_t address, uint64_t from, const struct frame_state *state,
		  enum edge edge, bool tainted)
{
	const struct part *part = group_part(all, address);
	uint32_t insn;

	if (part && part != group_part(all, from))
		edge = weaken(all, part->unit, address, edge);
	if (!part) {
		uint32_t unit = validating_unit(all, address);

		if (unit == NOTHING || is_tail_call(all, unit, address, state, edge)) {
			note_return(all, state, tainted);
			return;
		}
		edge = weaken(all, unit, address, edge);
	}
	insn = group_insn(all, address);
	if (insn != NOTHING)
		arrive_at(all, insn, from, state, edge, tainted);
}

/* A call to a place that is no function's entry, as its row has it: usually in the middle of an FDE: of a subroutine there, or only to push the address behind it. */
static void enter_inside(struct validating *all, uint64_t target, uint64_t from, const struct frame_state *state)
{
	uint32_t unit = validating_unit(all, target), insn;
	struct frame_state fresh, pushed;

	if (unit == NOTHING || all->units.item[unit].stubs ||
	    (all->units.item[unit].function && target == all->units.item[unit].code.start))
		return;
	insn = group_insn(all, target);
	if (insn == NOTHING)
		return;
	frame_state_enter(&fresh);
	frame_state_copy(&pushed, state);
	frame_state_push(&pushed);
	if (claim_check(&fresh, group_row(all, insn), target).verdict == CLAIM_CONTRADICTED &&
	    claim_check(&pushed, group_row(all, insn), target).verdict == CLAIM_HOLDS)
		arrive_at(all, insn, from, &pushed, EDGE_CERTAIN, false);
	else
		arrive_at(all, insn, from, &fresh, EDGE_CERTAIN, false);
}

static void apply_breaks(struct frame_state *state, uint8_t breaks)
{
	for (unsigned int i = 0; i < FRAME_SAVED; i++)
		if (breaks & 1u << i)
			frame_state_break(state, frame_saved_register[i]);
	if (breaks & BREAKS_STACK)
		frame_state_break(state, REGISTER_STACK_POINTER);
}

/* Returns the kind of the edge to the instruction behind the call. */
static enum edge follow_call(struct validating *all, uint32_t insn, struct frame_state *state, bool tainted)
{
	const struct code_insn at = all->group.insns.item[insn];
	uint64_t address = group_address(all, insn), pad;

	if (at.effect.insn == INSN_CALL && at.effect.address == address + at.effect.length) {
		frame_state_push(state);
		return EDGE_CERTAIN;
	}
	if (at.effect.insn == INSN_CALL)
		enter_inside(all, at.effect.address, address, state);
	frame_state_call(state);
	if (at.effect.insn == INSN_CALL)
		apply_breaks(state, callee_breaks(all, at.effect.address));
	pad = landing_pad_find(&all->group.parts.item[at.part].pads, address);
	if (pad)
		paths_arrive(all, pad, address, state, EDGE_POSSIBLE, tainted);
	return callee_edge(all, insn);
}

/* As a caller expects it: nothing on the stack but the return address, and all registers as they were. */
static bool is_entry_frame(const struct frame_state *state)
{
	struct row entry = { .kind = ROW_REGISTER, .base = REGISTER_STACK_POINTER, .offset = 8, .return_at = -1 };

	memset(entry.saved, ROW_SAME, sizeof(entry.saved));
	return claim_check(state, &entry, 0).verdict == CLAIM_HOLDS;
}

static struct junction *find_junction(struct group *group, struct value table)
{
	for (size_t i = 0; i < group->junctions.count; i++) {
		struct junction *junction = &group->junctions.item[i];

		if (junction->table.kind == table.kind && junction->table.number == table.number &&
		    junction->table.offset == table.offset)
			return junction;
	}
	*array_add(&group->junctions) = (struct junction){ .table = table, .state = { NOTHING, NOTHING } };
	return &group->junctions.item[group->junctions.count - 1];
}

/* Is it not what it was at the entry, for certain? */
static bool is_changed(const struct frame_state *state, unsigned int number)
{
	struct value value = state->reg[number];

	if (number == REGISTER_STACK_POINTER && value.kind == VALUE_STACK)
		return value.number == BASE_CFA && value.offset != -8;
	if (value.kind == VALUE_CALLER)
		return value.number != number;
	return value_is_unknown(value, VALUE_BROKEN) || (value.kind != VALUE_UNKNOWN && value.kind != VALUE_DERIVED);
}

/*
 * Compare what a return leaves with what a caller relies on. That something is not known to be given back has been said
 * of the rows there; here it is about helpers in assembler that have a calling convention of their own.
 */
static void note_breaks(struct validating *all, uint32_t insn, const struct frame_state *state)
{
	struct group *group = &all->group;

	if (group->insns.item[insn].effect.pops || is_changed(state, REGISTER_STACK_POINTER))
		group->breaks |= BREAKS_STACK;
	for (unsigned int i = 0; i < FRAME_SAVED; i++)
		if (is_changed(state, frame_saved_register[i]))
			group->breaks |= (uint8_t)(1u << i);
}

/* The return address was taken from the stack: this is a return by a jump. */
static bool has_left_frame(const struct frame_state *state)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER];

	return sp.kind == VALUE_STACK && sp.number == BASE_CFA && sp.offset > -8;
}

#define RECENT 64

/* Most entries of large tables lead to one place, for all values that are not told apart. Who is not found is only looked at again. */
static bool is_recent(uint64_t recent[RECENT], uint64_t address)
{
	uint64_t *place = &recent[address / 4 % RECENT];
	bool found = *place == address;

	*place = address;
	return found;
}

static void follow_indirect_jump(struct validating *all, uint32_t insn, const struct frame_state *state, bool tainted)
{
	const struct insn_effect *effect = &all->group.insns.item[insn].effect;
	struct value table = jump_find_table(all, insn, state);
	const struct value labels = { .kind = VALUE_UNKNOWN };
	struct jump_targets targets = { 0 };
	uint64_t address = group_address(all, insn), recent[RECENT] = { 0 };
	struct junction *junction;

	/* Through one fixed word: the global offset table, out of the function. */
	if (effect->kind == EFFECT_NONE && effect->source == NO_REGISTER)
		return;
	/* A tail call through a register looks like a jump to a label, but for the frame. */
	if (table.kind != VALUE_TARGET && is_entry_frame(state))
		return;
	junction = find_junction(&all->group, table);
	if (junction->leads_nowhere)
		junction = find_junction(&all->group, labels);
	if (!merge_state(&all->group, &junction->state[tainted], state, state->doubtful, FRAME_NO_ROW))
		return;

	jump_find_targets(all, insn, junction->table, &targets);
	if (!targets.count && junction->table.number) {
		junction->leads_nowhere = true;
		junction = find_junction(&all->group, labels);
		if (merge_state(&all->group, &junction->state[tainted], state, state->doubtful, FRAME_NO_ROW))
			jump_find_targets(all, insn, labels, &targets);
		else
			return;
	}
	if (!targets.count && !is_entry_frame(state)) {
		all->group.spoiled = REASON_INDIRECT_JUMP;
		if (has_left_frame(state))
			note_breaks(all, insn, state);
	}
	for (size_t i = 0; i < targets.count; i++)
		if (!is_recent(recent, targets.item[i]))
			paths_arrive(all, targets.item[i], address, state, EDGE_POSSIBLE, tainted);
	array_free(&targets);
}

/* The number that stands for the place where the stack is aligned. */
static uint8_t align_number(struct validating *all, const struct insn_effect *effect, uint64_t address)
{
	struct group *group = &all->group;

	if (effect->kind != EFFECT_ALIGN)
		return 0;
	for (size_t i = 0; i < group->aligned.count; i++)
		if (group->aligned.item[i] == address)
			return (uint8_t)(i + 1);
	if (group->aligned.count == UINT8_MAX) {
		group->spoiled = REASON_TOO_LARGE;
		return UINT8_MAX;
	}
	*array_add(&group->aligned) = address;
	return (uint8_t)group->aligned.count;
}

/* Execute. False when control does not go on to the next instruction; else *edge is how sure that is. */
static bool execute(struct validating *all, uint32_t insn, struct frame_state *state, bool tainted, enum edge *edge)
{
	unsigned int uses;
	const struct insn_effect effect = all->group.insns.item[insn].effect;
	uint64_t address = group_address(all, insn);

	/* What pads the code behind a call that does not return is not reached either. */
	if (effect.insn == INSN_NOP)
		return true;
	*edge = EDGE_CERTAIN;
	switch (effect.insn) {
	case INSN_RETURN:
		group_leader(all)->has_return = true;
		note_breaks(all, insn, state);
		note_return(all, state, tainted);
		return false;
	case INSN_STOP:
		return false;
	case INSN_JUMP:
		paths_arrive(all, effect.address, address, state, EDGE_CERTAIN, tainted);
		return false;
	case INSN_JUMP_INDIRECT:
		follow_indirect_jump(all, insn, state, tainted);
		return false;
	case INSN_JUMP_CONDITIONAL:
		frame_state_apply(state, &effect, all->image->span.start, 0);
		paths_arrive(all, effect.address, address, state, EDGE_CERTAIN, tainted);
		return true;
	case INSN_CALL:
	case INSN_CALL_INDIRECT:
		*edge = follow_call(all, insn, state, tainted);
		return true;
	default:
		uses = frame_state_stack_use(state, &effect);
		all->group.stack_uses |= uses;
		if (uses & (STACK_GIVEN | STACK_COMPUTED))
			*array_add(&all->group.switches) = address;
		frame_state_apply(state, &effect, all->image->span.start, align_number(all, &effect, address));
		if (effect.faults)
			*edge = EDGE_UNLIKELY;
		return true;
	}
}

/* Control leaves what was decoded, and not by a jump. */
static void fall_off(struct validating *all, uint64_t next, uint64_t from, const struct frame_state *state, enum edge edge,
		     bool tainted)
{
	if (edge == EDGE_CALLED)
		return;
	if (group_part(all, next) == group_part(all, from))
		all->group.spoiled = REASON_UNDECODED;
	/* Behind the last stub there is padding, which was entered as a stub. */
	else if (edge == EDGE_CERTAIN && !all->units.item[group_part(all, from)->unit].stubs)
		paths_arrive(all, next, from, state, EDGE_POSSIBLE, tainted);
	else
		paths_arrive(all, next, from, state, EDGE_UNLIKELY, tainted);
}

/* Do both name the same places? Then what was settled for one is settled for the other. */
static bool name_same_places(const struct row *one, const struct row *other)
{
	return one->kind == other->kind && !((one->flags | other->flags) & ROW_SAVED_AT_FRAME) &&
	       !memcmp(one->saved, other->saved, sizeof(one->saved));
}

/* From a leader to the next one, or to where the path ends. */
static void walk(struct validating *all, uint32_t insn, bool tainted)
{
	struct group *group = &all->group;
	struct frame_state state;
	enum row_reason reason = REASON_NONE;
	enum edge edge = EDGE_CERTAIN;
	uint64_t from = group_address(all, insn), address = from;
	uint32_t row = NOTHING;
	bool settled;

	frame_state_copy(&state, &group->states.item[group->insns.item[insn].state[tainted]]);
	for (bool first = true;; first = false) {
		struct code_insn *at = &group->insns.item[insn];
		uint32_t next = insn + 1;

		if (!first && state.held == row && (at->leader || at->row != row || state.written & CLAIMED))
			claim_settle(&state, &all->rows->item[row], state.written);
		if (at->leader && !first) {
			arrive_at(all, insn, from, &state, edge, tainted);
			return;
		}
		if (at->row != row || (state.written & (CLAIMED | 1u << group_row(all, insn)->base))) {
			if (!check(all, insn, from, &state, edge, &tainted, &reason))
				return;
			settled = !first && (at->row == row || (state.held == row && name_same_places(&all->rows->item[row], group_row(all, insn))));
			row = at->row;
			state.held = tainted || reason ? FRAME_NO_ROW : row;
			if (state.held == row && !settled)
				claim_settle(&state, group_row(all, insn), UINT32_MAX);
			state.written = 0;
		} else if (tainted) {
			at->contradicted = at->contradicted || group->insns.item[insn - 1].contradicted;
		}
		at->reached = true;
		state.doubtful = state.doubtful || casts_doubt(edge);
		if (reason && !at->reason)
			at->reason = (uint8_t)reason;

		from = address;
		address += at->effect.length;
		if (!execute(all, insn, &state, tainted, &edge))
			return;
		/* The arrays may have moved. */
		at = &group->insns.item[insn];
		if (next == group->insns.count || group->insns.item[next].part != at->part || group_address(all, next) != address)
			next = group_next(all, insn, address);
		if (next == NOTHING) {
			fall_off(all, address, from, &state, edge, tainted);
			return;
		}
		insn = next;
	}
}

void paths_follow(struct validating *all)
{
	struct group *group = &all->group;

	while (group->work.count && group->spoiled != REASON_TOO_LARGE) {
		struct work work = group_take_work(group);

		group->insns.item[work.insn].queued[work.tainted] = false;
		walk(all, work.insn, work.tainted);
	}
}
