/*
 * switches.c: code that switches stacks without unwind data.
 *
 * On known paths path.c finds it. Where none are known (hand-written assembler: boost's jump_fcontext in old builds, libco) one
 * looks at the instructions in their order, from one return to the next, as if each run of them were a function.
 */
#include "unwind/validating.h"

/* A run of instructions that ends where control leaves it. */
struct run {
	struct frame_state state;
	unsigned int uses;
	size_t first;		/* of its instructions in all->switches */
};

static void begin_run(struct validating *all, struct run *run)
{
	frame_state_guess(&run->state);
	run->uses = 0;
	run->first = all->switches.count;
}

static void end_run(struct validating *all, struct run *run)
{
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
			frame_state_call(&run.state);
			break;
		case INSN_OTHER:
			uses = frame_state_stack_use(&run.state, &effect);
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
