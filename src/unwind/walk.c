#include "unwind/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "unwind/cfi.h"
#include "unwind/expression.h"
#include "unwind/stack.h"
#include "unwind/table.h"

#define CALL_LENGTH_MAX 8	/* as much as arch->ends_with_call() asks for */
#define WORD 8

struct walk {
	const struct unwind_module *modules;
	size_t module_count;
	const struct arch *arch;
	struct unwind_state state;
	uint64_t pc;
	bool after_call;
	ARRAY(struct unwind_frame) frames;
	struct unwind_trace *trace;
};

/* End the walk without proof. */
static bool give_up(struct walk *walk, const struct unwind_module *module, const char *why)
{
	snprintf(walk->trace->reason, sizeof(walk->trace->reason), "0x%" PRIx64 "%s%s: %s", walk->pc,
		 module ? " in " : "", module ? module->name : "", why);
	return false;
}

static const struct unwind_module *find_module(const struct walk *walk, uint64_t address)
{
	size_t low = 0, high = walk->module_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (walk->modules[middle].code.end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < walk->module_count && range_holds(walk->modules[low].code, address) ? &walk->modules[low] : NULL;
}

static bool follows_call(const struct walk *walk, const struct unwind_module *module)
{
	uint8_t code[CALL_LENGTH_MAX];
	uint64_t size = walk->pc - module->code.start;

	if (size > sizeof(code))
		size = sizeof(code);
	return walk->state.memory.read(walk->state.memory.context, walk->pc - size, code, size) &&
	       walk->arch->ends_with_call(code + size, size);
}

/*
 * A return address follows a call; all else on a stack is no return address. The exception is the one
 * that the kernel gives to a signal handler: the start of the restorer, whose FDE begins one byte
 * before it so that a look-up of pc - 1 finds it (glibc, sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c).
 */
static const char *check_return_address(const struct walk *walk, const struct unwind_module *module,
					const struct eh_fde *fde)
{
	if (fde->cie.signal_frame)
		return walk->pc == fde->code.start + 1 ? NULL : "a return into the middle of a signal restorer";
	return follows_call(walk, module) ? NULL : "a return address that follows no call";
}

static const char *find_cfa(const struct unwind_state *state, const struct cfi_row *row, uint64_t *cfa)
{
	const struct cfi_rule *rule = &row->cfa;
	const char *why = NULL;

	switch (rule->kind) {
	case RULE_REGISTER:
		if (rule->from >= UNWIND_REGISTERS || !state->known[rule->from])
			return "the CFA depends on a register whose value is not known";
		*cfa = state->registers[rule->from] + (uint64_t)rule->offset;
		return NULL;
	case RULE_EXPRESSION:
		if (expression_evaluate(rule->expression, rule->expression_size, state, NULL, cfa, &why))
			return NULL;
		return why;
	default:
		return "no rule for the CFA";
	}
}

/* The psABI lets a callee change all but these (figure 3.4). */
static bool callee_saved(unsigned int number)
{
	return number == 3 || number == REGISTER_FRAME_POINTER || (number >= 12 && number <= 15);
}

/* The value of one of the caller's registers; false when it is not known. */
static bool find_register(const struct unwind_state *state, const struct cfi_rule *rule, unsigned int number,
			  uint64_t cfa, uint64_t *value)
{
	const char *why;

	switch (rule->kind) {
	case RULE_UNSPECIFIED:
		*value = state->registers[number];
		return callee_saved(number) && state->known[number];
	case RULE_SAME_VALUE:
		*value = state->registers[number];
		return state->known[number];
	case RULE_OFFSET:
		return unwind_read_stack(state, cfa + (uint64_t)rule->offset, value);
	case RULE_VAL_OFFSET:
		*value = cfa + (uint64_t)rule->offset;
		return true;
	case RULE_REGISTER:
		if (rule->from >= UNWIND_REGISTERS || !state->known[rule->from])
			return false;
		*value = state->registers[rule->from];
		return true;
	case RULE_EXPRESSION:
		return expression_evaluate(rule->expression, rule->expression_size, state, &cfa, value, &why) &&
		       unwind_read_stack(state, *value, value);
	case RULE_VAL_EXPRESSION:
		return expression_evaluate(rule->expression, rule->expression_size, state, &cfa, value, &why);
	case RULE_UNDEFINED:
		break;
	}
	return false;
}

/*
 * The caller's stack begins at the CFA, above all that the callee has. A call frame is at least one
 * word, its return address; only code that was stopped or interrupted after it had taken that off the
 * stack into a register (glibc's vfork) may have none, and such a frame is not the caller of another,
 * so a chain can't stand still. A saved return address lies in the frame.
 */
static const char *check_cfa(const struct walk *walk, const struct cfi_row *row, uint64_t cfa, bool signal_frame)
{
	const struct unwind_state *state = &walk->state;
	const struct cfi_rule *return_rule = &row->rule[REGISTER_RETURN_ADDRESS];
	uint64_t sp = state->registers[REGISTER_STACK_POINTER];
	bool popped = !walk->after_call && !signal_frame && return_rule->kind == RULE_REGISTER;

	if (!state->known[REGISTER_STACK_POINTER] || sp < state->stack.start || sp > state->stack.end)
		return "the stack pointer is outside the stack";
	if (cfa % WORD)
		return "the CFA is not aligned";
	if (cfa < state->stack.start || cfa > state->stack.end)
		return "the CFA is outside the stack";
	if (cfa < sp || (cfa == sp && !popped))
		return "the CFA does not rise";
	if (return_rule->kind == RULE_UNSPECIFIED || return_rule->kind == RULE_SAME_VALUE)
		return "no rule for the return address";
	if (return_rule->kind == RULE_OFFSET) {
		uint64_t slot = cfa + (uint64_t)return_rule->offset;

		if (slot < sp || slot > cfa - WORD || slot % WORD)
			return "the return address is not saved in the frame";
	}
	return NULL;
}

/* Replace the state by the caller's. Registers that are not known are so only until a rule needs one. */
static const char *restore_caller(struct walk *walk, const struct cfi_row *row, uint64_t cfa)
{
	struct unwind_state caller = walk->state;

	for (unsigned int number = 0; number < UNWIND_REGISTERS; number++)
		caller.known[number] = find_register(&walk->state, &row->rule[number], number, cfa,
						     &caller.registers[number]);
	if (!caller.known[REGISTER_RETURN_ADDRESS])
		return "the return address can't be read";

	/* By definition (psABI 3.2.2, DWARF 5, 6.4.1); a rule of its own, as signal frames have, must agree. */
	if (row->rule[REGISTER_STACK_POINTER].kind != RULE_UNSPECIFIED &&
	    (!caller.known[REGISTER_STACK_POINTER] || caller.registers[REGISTER_STACK_POINTER] != cfa))
		return "the rule for the stack pointer contradicts the CFA";
	caller.known[REGISTER_STACK_POINTER] = true;
	caller.registers[REGISTER_STACK_POINTER] = cfa;
	walk->state = caller;
	return NULL;
}

/* Take one frame: true when there is a caller to go on with. */
static bool step(struct walk *walk)
{
	uint64_t address = walk->pc - walk->after_call;
	const struct unwind_module *module = find_module(walk, address);
	struct unwind_frame *frame;
	struct cfi_row row;
	struct eh_fde fde;
	const char *why;
	uint64_t cfa = 0;

	if (walk->frames.count == UNWIND_FRAMES_MAX)
		return give_up(walk, module, "more frames than a walk follows");
	frame = array_add(&walk->frames);
	*frame = (struct unwind_frame){ .pc = walk->pc, .after_call = walk->after_call, .module = module };
	if (!module)
		return give_up(walk, module, "not the code of any image");
	if (!module->table)
		return give_up(walk, module, "code without unwind data");
	why = unwind_table_find(module->table, address, &fde);
	if (!why && walk->after_call)
		why = check_return_address(walk, module, &fde);
	if (!why)
		why = cfi_find_row(&fde, address, &row);
	if (why)
		return give_up(walk, module, why);

	/* The outermost frame of a thread says so (psABI 4.2.4; glibc's _start, clone and clone3). */
	if (row.rule[REGISTER_RETURN_ADDRESS].kind == RULE_UNDEFINED) {
		walk->trace->complete = true;
		return false;
	}
	why = find_cfa(&walk->state, &row, &cfa);
	if (!why)
		why = check_cfa(walk, &row, cfa, fde.cie.signal_frame);
	if (!why)
		why = restore_caller(walk, &row, cfa);
	if (why)
		return give_up(walk, module, why);

	frame->cfa = cfa;
	walk->pc = walk->state.registers[REGISTER_RETURN_ADDRESS];
	walk->after_call = !fde.cie.signal_frame;
	return true;
}

void unwind_walk(const struct unwind_module *modules, size_t count, const struct arch *arch,
		 const struct unwind_start *start, struct unwind_memory memory, struct unwind_trace *trace)
{
	struct walk walk = {
		.modules = modules,
		.module_count = count,
		.arch = arch,
		.state = { .stack = start->stack, .memory = memory },
		.pc = start->pc,
		.trace = trace,
	};

	memcpy(walk.state.registers, start->registers, sizeof(walk.state.registers));
	memcpy(walk.state.known, start->known, sizeof(walk.state.known));
	walk.state.registers[REGISTER_RETURN_ADDRESS] = start->pc;
	walk.state.known[REGISTER_RETURN_ADDRESS] = true;
	*trace = (struct unwind_trace){ 0 };
	while (step(&walk))
		;
	trace->frame = walk.frames.item;
	trace->count = walk.frames.count;
}

void unwind_trace_free(struct unwind_trace *trace)
{
	free(trace->frame);
	*trace = (struct unwind_trace){ 0 };
}

bool unwind_trace_hits(const struct unwind_trace *trace, const struct range *ranges, size_t count, uint64_t *hit)
{
	for (size_t i = 0; i < trace->count; i++) {
		const struct unwind_frame *frame = &trace->frame[i];

		for (size_t j = 0; j < count; j++) {
			if (!range_holds(ranges[j], frame->pc) &&
			    !(frame->after_call && range_holds(ranges[j], frame->pc - 1)))
				continue;
			*hit = frame->pc;
			return true;
		}
	}
	return false;
}
