#include "unwind/expression.h"

#include "image/dwarf_bytes.h"

/* DWARF 5, 7.7.1. */
enum {
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08,
	OP_CONST1S = 0x09,
	OP_CONST2U = 0x0a,
	OP_CONST2S = 0x0b,
	OP_CONST4U = 0x0c,
	OP_CONST4S = 0x0d,
	OP_DROP = 0x13,
	OP_AND = 0x1a,
	OP_MINUS = 0x1c,
	OP_MUL = 0x1e,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_SHL = 0x24,
	OP_GE = 0x2a,
	OP_LIT0 = 0x30,
	OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70,
	OP_BREG31 = 0x8f,
};

#define DEPTH_MAX 16	/* the deepest one seen has 4 */

struct machine {
	const struct unwind_state *state;
	struct dwarf_cursor bytes;
	uint64_t stack[DEPTH_MAX];
	size_t depth;
	const char *why;	/* first thing that went wrong; all later results are void */
};

static void push(struct machine *machine, uint64_t value)
{
	if (machine->depth == DEPTH_MAX)
		machine->why = "an expression needs too deep a stack";
	else
		machine->stack[machine->depth++] = value;
}

static uint64_t pop(struct machine *machine)
{
	if (machine->depth == 0) {
		machine->why = "an expression pops from an empty stack";
		return 0;
	}
	return machine->stack[--machine->depth];
}

static void push_register(struct machine *machine, uint8_t number)
{
	uint64_t offset = (uint64_t)dwarf_read_sleb(&machine->bytes);

	if (number >= UNWIND_REGISTERS || !machine->state->known[number])
		machine->why = "an expression needs a register whose value is not known";
	else
		push(machine, machine->state->registers[number] + offset);
}

static void load(struct machine *machine)
{
	uint64_t word = 0;

	if (!unwind_read_stack(machine->state, pop(machine), &word))
		machine->why = "an expression reads memory outside the stack";
	push(machine, word);
}

/* All arithmetic is modulo 2^64 (2.5.1.4), comparisons are signed (2.5.1.5). */
static void combine(struct machine *machine, uint8_t operator)
{
	uint64_t second = pop(machine), first = pop(machine);

	switch (operator) {
	case OP_AND:
		push(machine, first & second);
		break;
	case OP_MINUS:
		push(machine, first - second);
		break;
	case OP_MUL:
		push(machine, first * second);
		break;
	case OP_PLUS:
		push(machine, first + second);
		break;
	case OP_SHL:
		push(machine, second < 64 ? first << second : 0);
		break;
	case OP_GE:
		push(machine, (int64_t)first >= (int64_t)second);
		break;
	}
}

static void execute(struct machine *machine, uint8_t operator)
{
	struct dwarf_cursor *bytes = &machine->bytes;

	switch (operator) {
	case OP_CONST1U:
		push(machine, dwarf_read8(bytes));
		break;
	case OP_CONST1S:
		push(machine, (uint64_t)(int8_t)dwarf_read8(bytes));
		break;
	case OP_CONST2U:
		push(machine, dwarf_read16(bytes));
		break;
	case OP_CONST2S:
		push(machine, (uint64_t)(int16_t)dwarf_read16(bytes));
		break;
	case OP_CONST4U:
		push(machine, dwarf_read32(bytes));
		break;
	case OP_CONST4S:
		push(machine, (uint64_t)(int32_t)dwarf_read32(bytes));
		break;
	case OP_DEREF:
		load(machine);
		break;
	case OP_DROP:
		pop(machine);
		break;
	case OP_PLUS_UCONST:
		push(machine, pop(machine) + dwarf_read_uleb(bytes));
		break;
	case OP_AND: case OP_MINUS: case OP_MUL: case OP_PLUS: case OP_SHL: case OP_GE:
		combine(machine, operator);
		break;
	default:
		if (operator >= OP_LIT0 && operator <= OP_LIT31)
			push(machine, operator - OP_LIT0);
		else if (operator >= OP_BREG0 && operator <= OP_BREG31)
			push_register(machine, operator - OP_BREG0);
		else
			machine->why = "an expression has an operator that unwind data does not use";
	}
}

bool expression_evaluate(const uint8_t *bytes, size_t size, const struct unwind_state *state,
			 const uint64_t *initial, uint64_t *value, const char **why)
{
	struct machine machine = { .state = state, .bytes = { bytes, bytes + size, false } };

	if (initial)
		push(&machine, *initial);
	/* No operator jumps, so this ends with the bytes. */
	while (!machine.why && dwarf_left(&machine.bytes)) {
		execute(&machine, dwarf_read8(&machine.bytes));
		if (machine.bytes.bad)
			machine.why = "an expression is cut off";
	}
	if (!machine.why)
		*value = pop(&machine);
	*why = machine.why;
	return !machine.why;
}
