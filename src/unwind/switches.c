/*
 * switches.c: where the stack pointer is loaded with what does not come from the stack.
 *
 * That is how coroutines, longjmp() and exceptions leave a stack for another one. On known paths path.c finds it; where
 * none are known (hand-written assembler without unwind data: boost's jump_fcontext) one looks at the instructions in
 * their order, which finds some too many.
 */
#include "unwind/validating.h"

void switches_find_straight(struct validating *all, struct range code)
{
	const uint8_t *bytes = image_bytes(all->image, code.start, code.end - code.start);
	const struct arch *arch = all->image->arch;
	struct frame_state state;
	struct insn_effect effect;

	frame_state_guess(&state);
	for (uint64_t at = code.start; bytes && at < code.end; at += effect.length) {
		if (!arch->effect(bytes + (at - code.start), code.end - at, at, &effect)) {
			effect = (struct insn_effect){ .length = 1 };
			continue;
		}
		switch (effect.insn) {
		case INSN_RETURN:
			frame_state_guess(&state);
			break;
		case INSN_CALL:
		case INSN_CALL_INDIRECT:
			frame_state_call(&state);
			break;
		case INSN_OTHER:
			if (frame_state_switches(&state, &effect))
				*array_add(&all->switches) = at;
			frame_state_apply(&state, &effect, all->image->span.start, 1);
			break;
		default:
			break;
		}
	}
}
