/*
 * switches.c: code that switches stacks.
 *
 * On known paths path.c finds it. Without unwind data, where none are known (hand-written assembler: boost's jump_fcontext in old builds, libco) one
 * looks at the instructions in their order, from one return to the next, as if each run of them were a function.
 */
#include "unwind/validating.h"

static bool is_argument(struct value value)
{
	return value.kind == VALUE_CALLER && FRAME_LOST & UINT32_C(1) << value.number;
}

/* The stack pointer gets the value. */
static unsigned int stack_from_value(struct value value)
{
	if (is_argument(value))
		return STACK_GIVEN;
	return value.kind == VALUE_COMPUTED || value_is_unknown(value, VALUE_FETCHED) ? STACK_COMPUTED : 0;
}

/* It gets a word from where the register leads. */
static unsigned int stack_from_memory(const struct frame_state *state, uint8_t base)
{
	if (base >= FRAME_REGISTERS || state->reg[base].kind == VALUE_CONSTANT)
		return STACK_GIVEN;
	if (state->reg[base].kind == VALUE_UNKNOWN && base != REGISTER_STACK_POINTER)
		return STACK_COMPUTED;
	return stack_from_value(state->reg[base]);
}

unsigned int frame_state_stack_use(const struct frame_state *state, const struct insn_effect *effect)
{
	bool loads = effect->target == REGISTER_STACK_POINTER, reads = effect->source == REGISTER_STACK_POINTER;

	if (!loads && !reads && effect->kind != EFFECT_STORE)
		return 0;
	switch (effect->kind) {
	case EFFECT_EXCHANGE:
		if (loads || reads)
			return stack_from_value(state->reg[loads ? effect->source : effect->target]);
		return 0;
	case EFFECT_MOVE:
		if (loads && !reads)
			return stack_from_value(state->reg[effect->source]);
		return reads && !loads && !effect->offset && effect->target != REGISTER_FRAME_POINTER ? STACK_COPIED : 0;
	case EFFECT_LOAD:
		return loads ? stack_from_memory(state, effect->source) : 0;
	case EFFECT_STORE:
		if (effect->source >= FRAME_REGISTERS || !value_is_on_stack(state->reg[effect->source]))
			return 0;
		return effect->target < FRAME_REGISTERS && value_is_on_stack(state->reg[effect->target]) ? 0 : STACK_STORED;
	default:
		return 0;
	}
}

/* A run of instructions that ends where control leaves it. */
struct run {
	struct frame_state state;
	unsigned int uses;
	uint8_t link;		/* leads to where the frame pointer has been stored, while nobody knows what for; or NO_REGISTER */
	size_t first;		/* of its instructions in all->switches */
};

static void begin_run(struct validating *all, struct run *run)
{
	frame_state_guess(&run->state);
	run->uses = 0;
	run->link = NO_REGISTER;
	run->first = all->switches.count;
}

/* What has been stored was put away. */
static void drop_link(struct run *run)
{
	if (run->link != NO_REGISTER)
		run->uses |= STACK_STORED;
	run->link = NO_REGISTER;
}

static bool changes_register(const struct insn_effect *effect, uint8_t number)
{
	return effect->writes & UINT32_C(1) << number || (effect->target == number && effect->kind != EFFECT_STORE) ||
	       (effect->source == number && effect->kind == EFFECT_EXCHANGE);
}

/*
 * mov %rbp,(%rsi); mov %rsi,%rbp makes a frame in memory that was given, as push %rbp; mov %rsp,%rbp does on the stack: the caller's
 * frame is not left but linked, for this very call to return to (libffi's ffi_call_win64, which has no unwind data in Debian's build). Whoever
 * puts the new frame's address away has put away the old one's. Returns the uses that are left.
 */
static unsigned int follow_link(struct run *run, const struct insn_effect *effect, unsigned int uses)
{
	if (uses & STACK_STORED && effect->source == REGISTER_FRAME_POINTER && effect->target < FRAME_REGISTERS && !effect->offset &&
	    run->link == NO_REGISTER) {
		run->link = effect->target;
		return uses & ~(unsigned int)STACK_STORED;
	}
	if (run->link != NO_REGISTER && effect->kind == EFFECT_MOVE && effect->target == REGISTER_FRAME_POINTER &&
	    effect->source == run->link && !effect->offset) {
		frame_state_derive(&run->state, run->link);
		run->link = NO_REGISTER;
	} else if (run->link != NO_REGISTER && changes_register(effect, run->link)) {
		drop_link(run);
	}
	return uses;
}

static void end_run(struct validating *all, struct run *run)
{
	drop_link(run);
	if (!stack_use_switches(run->uses))
		all->switches.count = run->first;
	begin_run(all, run);
}

void switches_find_straight(struct validating *all, struct range code)
{
	const uint8_t *bytes = image_bytes(all->image, code.start, code.end - code.start);
	const struct arch *arch = all->image->arch;
	struct insn_effect effect;
	struct run run;

	begin_run(all, &run);
	for (uint64_t at = code.start; bytes && at < code.end; at += effect.length) {
		unsigned int uses;

		if (!arch->effect(bytes + (at - code.start), code.end - at, at, &effect)) {
			/* Data: what came before was perhaps none either, but what follows is not its continuation. */
			effect = (struct insn_effect){ .length = 1 };
			end_run(all, &run);
			continue;
		}
		switch (effect.insn) {
		case INSN_RETURN:
		case INSN_JUMP_INDIRECT:
		case INSN_STOP:
			end_run(all, &run);
			break;
		case INSN_CALL:
		case INSN_CALL_INDIRECT:
			drop_link(&run);
			frame_state_call(&run.state);
			break;
		case INSN_OTHER:
			uses = follow_link(&run, &effect, frame_state_stack_use(&run.state, &effect));
			run.uses |= uses;
			if (uses & (STACK_GIVEN | STACK_COMPUTED))
				*array_add(&all->switches) = at;
			frame_state_apply(&run.state, &effect, all->image->span.start, 1);
			break;
		default:
			break;
		}
	}
	end_run(all, &run);
}
