#include "unwind/frame_state.h"

#include <string.h>

#define WORD 8

static const struct value unknown = { .kind = VALUE_UNKNOWN };
static const struct value broken = { .kind = VALUE_UNKNOWN, .number = VALUE_BROKEN };
static const struct value stale = { .kind = VALUE_UNKNOWN, .number = VALUE_STALE };
static const struct value fetched = { .kind = VALUE_UNKNOWN, .number = VALUE_FETCHED };
static const struct value computed = { .kind = VALUE_COMPUTED };
static const struct value derived = { .kind = VALUE_DERIVED };

static void set_register(struct frame_state *state, unsigned int number, struct value value)
{
	if (number >= FRAME_REGISTERS || value_equal(state->reg[number], value))
		return;
	state->reg[number] = value;
	state->written |= UINT32_C(1) << number | (value.kind == VALUE_CALLER ? FRAME_CALLER_WRITTEN : 0);
}

/* To another register or to memory. */
static struct value value_copied(struct value value)
{
	value.loaded = value.loaded && value.kind != VALUE_CALLER;
	return value;
}

/* Stack addresses and constants move along; all else becomes a value of the function's own. */
static struct value value_moved(struct value value, int32_t offset)
{
	if (offset == 0)
		return value_copied(value);
	if (value.kind == VALUE_UNKNOWN || value.kind == VALUE_DERIVED)
		return value;
	if ((value.kind != VALUE_STACK && value.kind != VALUE_CONSTANT) ||
	    __builtin_add_overflow(value.offset, offset, &value.offset))
		return value.kind == VALUE_STACK ? unknown : computed;
	return value;
}

static void drop_slot(struct frame_state *state, unsigned int index)
{
	state->slot[index] = state->slot[--state->slots];
	state->written |= FRAME_SLOTS_WRITTEN;
}

/* The stack pointer rises. */
static void drop_below_red_zone(struct frame_state *state)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER];

	for (unsigned int i = state->slots; i-- > 0 && sp.kind == VALUE_STACK;)
		if (state->slot[i].base == sp.number && state->slot[i].offset < (int64_t)sp.offset - FRAME_RED_ZONE) {
			drop_slot(state, i);
			state->lossy = true;
		}
}

/*
 * A store up to `end` at one base may hit a word at another, as the distance between the two is not known. It is known only
 * that what was aligned lies no higher than where the stack pointer was, and that the caller's frame lies above all.
 */
static void store_at_unknown_distance(struct frame_state *state, uint32_t base, int64_t end)
{
	for (unsigned int i = state->slots; i-- > 0;) {
		const struct frame_slot *slot = &state->slot[i];
		bool clear = slot->base == BASE_CFA && slot->offset >= state->aligned_at + end;

		if (slot->base == base || (base == BASE_CFA ? end > 0 : clear))
			continue;
		drop_slot(state, i);
		state->lossy = true;
	}
}

/* Is it a place where a word is safe from signal handlers? */
static bool is_kept(const struct frame_state *state, uint32_t base, int32_t offset)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER];

	return sp.kind != VALUE_STACK || sp.number != base || offset >= (int64_t)sp.offset - FRAME_RED_ZONE;
}

/*
 * `size` bytes get a value. A store through a pointer that is not known to point into the frame is taken
 * not to hit the registers that the function saved: a program that overwrites those has no stack to walk.
 */
static void store(struct frame_state *state, uint32_t base, int32_t offset, int32_t size, struct value value)
{
	bool matters = size == WORD && value.kind != VALUE_UNKNOWN && value.kind != VALUE_COMPUTED;

	value = value_copied(value);
	for (unsigned int i = state->slots; i-- > 0;)
		if (state->slot[i].base == base && (int64_t)state->slot[i].offset + WORD > offset &&
		    state->slot[i].offset < (int64_t)offset + size)
			drop_slot(state, i);
	store_at_unknown_distance(state, base, (int64_t)offset + size);
	if (!matters)
		return;
	if (state->slots == FRAME_SLOTS || !is_kept(state, base, offset)) {
		state->lossy = true;
		return;
	}
	state->slot[state->slots++] = (struct frame_slot){ base, offset, value };
	state->written |= FRAME_SLOTS_WRITTEN;
}

static void move_stack_pointer(struct frame_state *state, int32_t distance)
{
	set_register(state, REGISTER_STACK_POINTER, value_moved(state->reg[REGISTER_STACK_POINTER], distance));
}

static void push(struct frame_state *state, int32_t size, struct value value)
{
	struct value *sp = &state->reg[REGISTER_STACK_POINTER];

	move_stack_pointer(state, -size);
	if (sp->kind == VALUE_STACK)
		store(state, sp->number, sp->offset, size, value);
}

static struct value pop(struct frame_state *state, int32_t size)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER], value = unknown;

	if (size == WORD && sp.kind == VALUE_STACK)
		value = frame_state_load(state, sp.number, sp.offset);
	value.loaded = value.loaded || value.kind == VALUE_CALLER;
	move_stack_pointer(state, size);
	drop_below_red_zone(state);
	return value;
}

void frame_state_guess(struct frame_state *state)
{
	frame_state_enter(state);
	set_register(state, REGISTER_FRAME_POINTER, derived);
}

void frame_state_break(struct frame_state *state, unsigned int number)
{
	set_register(state, number, broken);
}

void frame_state_derive(struct frame_state *state, unsigned int number)
{
	set_register(state, number, derived);
}

void frame_state_push(struct frame_state *state)
{
	push(state, WORD, computed);
}

void frame_state_enter(struct frame_state *state)
{
	state->slots = 1;
	state->lossy = state->doubtful = false;
	state->aligned_at = INT32_MIN;
	state->written = UINT32_MAX;
	state->held = FRAME_NO_ROW;
	for (unsigned int i = 0; i < FRAME_REGISTERS; i++)
		state->reg[i] = (struct value){ .kind = VALUE_CALLER, .number = (uint8_t)i };
	state->reg[REGISTER_STACK_POINTER] = (struct value){ .kind = VALUE_STACK, .number = BASE_CFA, .offset = -WORD };
	state->slot[0] = (struct frame_slot){
		.base = BASE_CFA, .offset = -WORD,
		.value = { .kind = VALUE_CALLER, .number = REGISTER_RETURN_ADDRESS },
	};
}

static struct value load(const struct frame_state *state, const struct insn_effect *effect)
{
	struct value base = effect->source < FRAME_REGISTERS ? state->reg[effect->source] : computed, value;
	int32_t offset;

	if (!value_is_on_stack(base) && effect->source != REGISTER_STACK_POINTER)
		return fetched;
	if (base.kind != VALUE_STACK || __builtin_add_overflow(base.offset, effect->offset, &offset))
		return unknown;
	value = frame_state_load(state, base.number, offset);
	if (value.kind == VALUE_UNKNOWN && value.number == 0 && !state->lossy)
		return fetched;
	value.loaded = value.kind == VALUE_STACK || value.kind == VALUE_CALLER;
	return value;
}

/* Something from the place on gets another value. */
static void spoil_from(struct frame_state *state, uint32_t base, int32_t offset)
{
	for (unsigned int i = state->slots; i-- > 0;) {
		if (state->slot[i].base == base && (int64_t)state->slot[i].offset + WORD <= offset)
			continue;
		drop_slot(state, i);
		state->lossy = true;
	}
}

static void spoil_all(struct frame_state *state)
{
	state->lossy = state->lossy || state->slots;
	while (state->slots)
		drop_slot(state, 0);
}

static void store_at(struct frame_state *state, const struct insn_effect *effect, struct value value)
{
	struct value base = effect->target < FRAME_REGISTERS ? state->reg[effect->target] : unknown;
	int32_t offset;

	if (base.kind != VALUE_STACK || base.loaded || __builtin_add_overflow(base.offset, effect->offset, &offset))
		return;
	if (effect->size)
		store(state, base.number, offset, effect->size, value);
	else
		spoil_from(state, base.number, offset);
}

static struct value constant(uint64_t address, uint64_t origin)
{
	uint64_t offset = address - origin;

	return offset > INT32_MAX ? computed : (struct value){ .kind = VALUE_CONSTANT, .offset = (int32_t)offset };
}

/* A word of a table that begins at a constant: an absolute address, or what must be added to the table's. */
struct value frame_state_table(const struct frame_state *state, const struct insn_effect *effect, uint64_t origin)
{
	struct value table = constant(effect->address, origin), other = unknown;

	if (effect->source < FRAME_REGISTERS) {
		table = state->reg[effect->source];
		/* Without optimisation the table's address may be in either register. */
		if (effect->index < FRAME_REGISTERS)
			other = state->reg[effect->index];
		if (table.kind != VALUE_CONSTANT && other.kind == VALUE_CONSTANT)
			table = other;
		table = value_moved(table, effect->offset);
	}
	if (table.kind != VALUE_CONSTANT || (effect->size != 4 && effect->size != WORD))
		return fetched;
	table.kind = effect->size == WORD ? VALUE_TARGET : VALUE_ENTRY;
	table.number = (uint8_t)effect->size;
	return table;
}

static struct value sum(struct value one, struct value other)
{
	if (other.kind == VALUE_ENTRY) {
		struct value swap = one;

		one = other;
		other = swap;
	}
	if (one.kind == VALUE_ENTRY && other.kind == VALUE_CONSTANT && one.offset == other.offset)
		return (struct value){ .kind = VALUE_TARGET, .number = one.number, .offset = one.offset };
	if (value_is_on_stack(one) || value_is_on_stack(other))
		return derived;
	return one.kind == VALUE_UNKNOWN || other.kind == VALUE_UNKNOWN ? unknown : computed;
}

/* By an amount that is no constant: the difference of two addresses on a stack is no address. */
static struct value shifted(struct value value, struct value amount)
{
	if (value_is_on_stack(value))
		return value_is_on_stack(amount) ? unknown : derived;
	return value.kind == VALUE_UNKNOWN || amount.kind == VALUE_UNKNOWN || value_is_on_stack(amount) ? unknown : computed;
}

static void align(struct frame_state *state, const struct insn_effect *effect, uint8_t number)
{
	struct value value = effect->target < FRAME_REGISTERS ? state->reg[effect->target] : unknown;

	if (value.kind == VALUE_STACK) {
		if (value.number == BASE_CFA && value.offset > state->aligned_at)
			state->aligned_at = value.offset;
		value = (struct value){ .kind = VALUE_STACK, .number = number };
	} else if (value.kind != VALUE_UNKNOWN && value.kind != VALUE_DERIVED)
		value = computed;
	set_register(state, effect->target, value);
}

void frame_state_apply(struct frame_state *state, const struct insn_effect *effect, uint64_t origin, uint8_t align_number)
{
	struct value first, second;

	for (uint32_t rest = effect->writes; rest; rest &= rest - 1) {
		unsigned int number = (unsigned int)__builtin_ctz(rest);

		/* A stack pointer that was computed may still point into the frame. */
		set_register(state, number, number == REGISTER_STACK_POINTER ? unknown : computed);
	}
	first = effect->source < FRAME_REGISTERS ? state->reg[effect->source] : computed;
	switch (effect->kind) {
	case EFFECT_PUSH:
		push(state, effect->size, first);
		break;
	case EFFECT_POP:
		first = pop(state, effect->size);
		set_register(state, effect->target, first);
		break;
	case EFFECT_LEAVE:
		set_register(state, REGISTER_STACK_POINTER, state->reg[REGISTER_FRAME_POINTER]);
		if (!value_is_on_stack(state->reg[REGISTER_STACK_POINTER]))
			set_register(state, REGISTER_STACK_POINTER, unknown);
		first = pop(state, WORD);
		set_register(state, REGISTER_FRAME_POINTER, first);
		break;
	case EFFECT_MOVE:
		set_register(state, effect->target, value_moved(first, effect->offset));
		if (effect->target == REGISTER_STACK_POINTER)
			drop_below_red_zone(state);
		break;
	case EFFECT_ALIGN:
		align(state, effect, align_number);
		break;
	case EFFECT_LOAD:
		set_register(state, effect->target, load(state, effect));
		break;
	case EFFECT_STORE:
		store_at(state, effect, first);
		break;
	case EFFECT_SPOIL:
		store_at(state, effect, computed);
		break;
	case EFFECT_EXCHANGE:
		second = state->reg[effect->target];
		set_register(state, effect->target, value_copied(first));
		set_register(state, effect->source, value_copied(second));
		break;
	case EFFECT_ADDRESS:
		set_register(state, effect->target, constant(effect->address, origin));
		break;
	case EFFECT_SUM:
		second = state->reg[effect->index];
		set_register(state, effect->target, sum(first, second));
		break;
	case EFFECT_SHIFT:
		second = effect->index < FRAME_REGISTERS ? state->reg[effect->index] : computed;
		set_register(state, effect->target, shifted(first, second));
		break;
	case EFFECT_EXTEND:
		set_register(state, effect->target, first.kind == VALUE_ENTRY || first.kind == VALUE_UNKNOWN ? first : computed);
		break;
	case EFFECT_TABLE:
		set_register(state, effect->target, frame_state_table(state, effect, origin));
		break;
	case EFFECT_NONE:
	case EFFECT_COMPARE:
		break;
	}
	if (effect->spoils_frame)
		spoil_all(state);
}

void frame_state_call(struct frame_state *state)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER];

	for (uint32_t rest = FRAME_LOST; rest; rest &= rest - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(rest);
		struct value value = FRAME_RESULTS & 1u << i ? fetched : unknown;

		state->written |= (uint32_t)!value_equal(state->reg[i], value) << i;
		state->reg[i] = value;
	}
	if (sp.kind != VALUE_STACK)
		return;
	for (unsigned int i = 0; i < state->slots; i++)
		if (state->slot[i].base == sp.number && state->slot[i].offset < sp.offset) {
			state->slot[i--] = state->slot[--state->slots];
			state->written |= FRAME_SLOTS_WRITTEN;
		}
}

void frame_state_settle(struct frame_state *state, uint32_t numbers, uint32_t registers)
{
	uint32_t copies = 0;

	/* Without branches: nobody could foresee where they go. */
	for (unsigned int i = 0; i < FRAME_REGISTERS; i++) {
		struct value value = state->reg[i];

		copies |= ((value.kind == VALUE_CALLER) & numbers >> value.number % 32 & ((value.number != i) | !value.loaded)) << i;
	}
	for (copies &= registers; copies; copies &= copies - 1)
		set_register(state, (unsigned int)__builtin_ctz(copies), stale);
}

bool frame_state_returns_copy(const struct frame_state *state)
{
	struct value sp = state->reg[REGISTER_STACK_POINTER];

	if (sp.kind != VALUE_STACK || sp.number != BASE_CFA || sp.offset != -WORD)
		return false;
	for (unsigned int i = 0; i < FRAME_SAVED; i++)
		if (value_is_unknown(state->reg[frame_saved_register[i]], VALUE_STALE))
			return true;
	return false;
}

static struct value common_value(struct value one, struct value other)
{
	if (value_is_unknown(one, VALUE_BROKEN) || value_is_unknown(other, VALUE_BROKEN))
		return broken;
	if (value_is_unknown(one, VALUE_STALE) || value_is_unknown(other, VALUE_STALE))
		return stale;
	if (value_is_unknown(one, VALUE_FETCHED) || value_is_unknown(other, VALUE_FETCHED))
		return fetched;
	if (one.kind == VALUE_CALLER && other.kind == VALUE_CALLER && one.number == other.number)
		return (struct value){ .kind = VALUE_CALLER, .number = one.number };
	return value_is_on_stack(one) && value_is_on_stack(other) ? derived : unknown;
}

static bool has_same_values(const struct frame_state *one, const struct frame_state *other)
{
	return one->slots == other->slots && !memcmp(one->reg, other->reg, sizeof(one->reg)) &&
	       !memcmp(one->slot, other->slot, one->slots * sizeof(one->slot[0]));
}

bool frame_state_repeats(const struct frame_state *state, const struct frame_state *other, bool doubtful)
{
	return state->lossy == other->lossy && state->aligned_at == other->aligned_at && (doubtful || !state->doubtful) &&
	       has_same_values(state, other);
}

bool frame_state_merge(struct frame_state *state, const struct frame_state *other, bool doubtful)
{
	bool less = (other->lossy && !state->lossy) || (state->doubtful && !doubtful);
	uint32_t differ = 0;

	if (other->aligned_at > state->aligned_at) {
		state->aligned_at = other->aligned_at;
		less = true;
	}
	state->lossy = state->lossy || other->lossy;
	/* What both know is so on the certain path, too. */
	state->doubtful = state->doubtful && doubtful;
	/* Mostly they are the same. */
	if (has_same_values(state, other))
		return less;
	for (unsigned int i = 0; i < FRAME_REGISTERS; i++)
		differ |= (uint32_t)!value_equal(state->reg[i], other->reg[i]) << i;
	for (; differ; differ &= differ - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(differ);
		struct value common = common_value(state->reg[i], other->reg[i]);

		less = less || !value_equal(state->reg[i], common);
		state->reg[i] = common;
	}
	for (unsigned int i = 0; i < state->slots; i++) {
		const struct frame_slot *slot = &state->slot[i];

		/* Mostly both were pushed in the same order. */
		if (i < other->slots && !memcmp(slot, &other->slot[i], sizeof(*slot)))
			continue;
		if (value_equal(slot->value, frame_state_load(other, slot->base, slot->offset)))
			continue;
		state->slot[i--] = state->slot[--state->slots];
		less = state->lossy = true;
	}
	/* What only the other one knew is lost as well. */
	if (!state->lossy && state->slots < other->slots)
		less = state->lossy = true;
	return less;
}
