#include "unwind/cfi.h"

#include "image/dwarf_bytes.h"

/* DWARF 5, 7.24; the GNU ones: LSB Core 5.0, 10.5.2. */
enum {
	CFA_ADVANCE_LOC = 0x40,		/* the upper two bits; an operand in the lower six */
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	CFA_NOP = 0x00,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

#define REMEMBER_MAX 8	/* compilers nest two */

struct machine {
	const struct eh_cie *cie;
	struct dwarf_cursor program;
	uint64_t location;
	bool initial_done;	/* the FDE's instructions run, not the CIE's */
	bool arrived;		/* the visitor wants no more rows */
	cfi_visitor *visit;
	void *context;
	const char *why;	/* first thing that went wrong; the row is void then */
	struct cfi_row row, initial;
	struct cfi_row remembered[REMEMBER_MAX];
	size_t depth;
};

static void advance(struct machine *machine, uint64_t delta)
{
	uint64_t bytes, next;

	if (!machine->initial_done)
		machine->why = "the initial instructions of a CIE advance the location";
	else if (__builtin_mul_overflow(delta, machine->cie->code_align, &bytes) ||
		 __builtin_add_overflow(machine->location, bytes, &next))
		machine->why = "a location of the unwind data wraps around";
	else if (next > machine->location) {
		struct range span = { machine->location, next };

		machine->location = next;
		machine->arrived = !machine->visit(machine->context, span, &machine->row);
	}
}

/* Scaled by the data alignment. Factors are unsigned or signed as the instruction says. */
static int64_t factored(struct machine *machine, int64_t factor)
{
	int64_t offset;

	if (__builtin_mul_overflow(factor, machine->cie->data_align, &offset)) {
		machine->why = "an offset of the unwind data is out of range";
		return 0;
	}
	return offset;
}

static int64_t read_offset(struct machine *machine)
{
	uint64_t offset = dwarf_read_uleb(&machine->program);

	if (offset > INT64_MAX) {
		machine->why = "an offset of the unwind data is out of range";
		return 0;
	}
	return (int64_t)offset;
}

static struct cfi_rule read_expression(struct machine *machine, enum cfi_rule_kind kind)
{
	uint64_t size = dwarf_read_uleb(&machine->program);
	const uint8_t *expression = dwarf_read_block(&machine->program, size);

	return (struct cfi_rule){ .kind = kind, .expression = expression, .expression_size = (size_t)size };
}

static void set_rule(struct machine *machine, uint64_t number, struct cfi_rule rule)
{
	if (number < FRAME_ALL_REGISTERS)
		machine->row.rule[number] = rule;
}

static void set_offset(struct machine *machine, uint64_t number, enum cfi_rule_kind kind, int64_t factor)
{
	set_rule(machine, number, (struct cfi_rule){ .kind = kind, .offset = factored(machine, factor) });
}

static void restore_rule(struct machine *machine, uint64_t number)
{
	if (!machine->initial_done)
		machine->why = "the initial instructions of a CIE restore a rule";
	else if (number < FRAME_ALL_REGISTERS)
		machine->row.rule[number] = machine->initial.rule[number];
}

static void remember_row(struct machine *machine)
{
	if (machine->depth == REMEMBER_MAX)
		machine->why = "the unwind data remembers too many states";
	else
		machine->remembered[machine->depth++] = machine->row;
}

/* gcc, binutils and elfutils restore the CFA's rule too. */
static void restore_row(struct machine *machine)
{
	if (machine->depth == 0)
		machine->why = "the unwind data restores a state that it did not remember";
	else
		machine->row = machine->remembered[--machine->depth];
}

static void define_cfa(struct machine *machine, uint64_t from, int64_t offset)
{
	machine->row.cfa = (struct cfi_rule){ .kind = RULE_REGISTER, .from = from, .offset = offset };
}

static void execute_cfa(struct machine *machine, uint8_t opcode)
{
	struct dwarf_cursor *program = &machine->program;
	struct cfi_rule *cfa = &machine->row.cfa;
	uint64_t number;

	/* "Valid only if the current CFA rule is defined to use a register and offset" (6.4.2.2). */
	if ((opcode == CFA_DEF_CFA_REGISTER || opcode == CFA_DEF_CFA_OFFSET || opcode == CFA_DEF_CFA_OFFSET_SF) &&
	    cfa->kind != RULE_REGISTER) {
		machine->why = "the unwind data changes a CFA rule that is no register and offset";
		return;
	}
	switch (opcode) {
	case CFA_DEF_CFA:
		number = dwarf_read_uleb(program);
		define_cfa(machine, number, read_offset(machine));
		break;
	case CFA_DEF_CFA_SF:
		number = dwarf_read_uleb(program);
		define_cfa(machine, number, factored(machine, dwarf_read_sleb(program)));
		break;
	case CFA_DEF_CFA_REGISTER:
		cfa->from = dwarf_read_uleb(program);
		break;
	case CFA_DEF_CFA_OFFSET:
		cfa->offset = read_offset(machine);
		break;
	case CFA_DEF_CFA_OFFSET_SF:
		cfa->offset = factored(machine, dwarf_read_sleb(program));
		break;
	case CFA_DEF_CFA_EXPRESSION:
		*cfa = read_expression(machine, RULE_EXPRESSION);
		break;
	}
}

static void execute_rule(struct machine *machine, uint8_t opcode)
{
	struct dwarf_cursor *program = &machine->program;
	uint64_t number = dwarf_read_uleb(program);

	switch (opcode) {
	case CFA_UNDEFINED:
		set_rule(machine, number, (struct cfi_rule){ .kind = RULE_UNDEFINED });
		break;
	case CFA_SAME_VALUE:
		set_rule(machine, number, (struct cfi_rule){ .kind = RULE_SAME_VALUE });
		break;
	case CFA_REGISTER:
		set_rule(machine, number,
			 (struct cfi_rule){ .kind = RULE_REGISTER, .from = dwarf_read_uleb(program) });
		break;
	case CFA_OFFSET_EXTENDED:
		set_offset(machine, number, RULE_OFFSET, read_offset(machine));
		break;
	case CFA_OFFSET_EXTENDED_SF:
		set_offset(machine, number, RULE_OFFSET, dwarf_read_sleb(program));
		break;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		set_offset(machine, number, RULE_OFFSET, -read_offset(machine));
		break;
	case CFA_VAL_OFFSET:
		set_offset(machine, number, RULE_VAL_OFFSET, read_offset(machine));
		break;
	case CFA_VAL_OFFSET_SF:
		set_offset(machine, number, RULE_VAL_OFFSET, dwarf_read_sleb(program));
		break;
	case CFA_EXPRESSION:
		set_rule(machine, number, read_expression(machine, RULE_EXPRESSION));
		break;
	case CFA_VAL_EXPRESSION:
		set_rule(machine, number, read_expression(machine, RULE_VAL_EXPRESSION));
		break;
	case CFA_RESTORE_EXTENDED:
		restore_rule(machine, number);
		break;
	}
}

/* DW_CFA_set_loc is refused with the unknown ones: no producer for x86-64 writes it. */
static void execute_extended(struct machine *machine, uint8_t opcode)
{
	switch (opcode) {
	case CFA_NOP:
		break;
	case CFA_ADVANCE_LOC1:
		advance(machine, dwarf_read8(&machine->program));
		break;
	case CFA_ADVANCE_LOC2:
		advance(machine, dwarf_read16(&machine->program));
		break;
	case CFA_ADVANCE_LOC4:
		advance(machine, dwarf_read32(&machine->program));
		break;
	case CFA_REMEMBER_STATE:
		remember_row(machine);
		break;
	case CFA_RESTORE_STATE:
		restore_row(machine);
		break;
	case CFA_GNU_ARGS_SIZE:
		/* Concerns landing pads, not the rows. */
		dwarf_read_uleb(&machine->program);
		break;
	case CFA_DEF_CFA: case CFA_DEF_CFA_SF: case CFA_DEF_CFA_REGISTER: case CFA_DEF_CFA_OFFSET:
	case CFA_DEF_CFA_OFFSET_SF: case CFA_DEF_CFA_EXPRESSION:
		execute_cfa(machine, opcode);
		break;
	case CFA_UNDEFINED: case CFA_SAME_VALUE: case CFA_REGISTER: case CFA_OFFSET_EXTENDED:
	case CFA_OFFSET_EXTENDED_SF: case CFA_GNU_NEGATIVE_OFFSET_EXTENDED: case CFA_VAL_OFFSET:
	case CFA_VAL_OFFSET_SF: case CFA_EXPRESSION: case CFA_VAL_EXPRESSION: case CFA_RESTORE_EXTENDED:
		execute_rule(machine, opcode);
		break;
	default:
		machine->why = "the unwind data has an instruction that is not known";
	}
}

static void run(struct machine *machine, const uint8_t *program, size_t size)
{
	machine->program = (struct dwarf_cursor){ program, program + size, false };
	while (!machine->why && !machine->arrived && dwarf_left(&machine->program)) {
		uint8_t opcode = dwarf_read8(&machine->program);
		uint8_t operand = opcode & 0x3f;

		switch (opcode & 0xc0) {
		case CFA_ADVANCE_LOC:
			advance(machine, operand);
			break;
		case CFA_OFFSET:
			set_offset(machine, operand, RULE_OFFSET, read_offset(machine));
			break;
		case CFA_RESTORE:
			restore_rule(machine, operand);
			break;
		default:
			execute_extended(machine, opcode);
		}
		if (machine->program.bad)
			machine->why = "an instruction of the unwind data is cut off";
	}
}

const char *cfi_visit_rows(const struct eh_fde *fde, cfi_visitor *visit, void *context, uint64_t *reached)
{
	struct machine machine;

	*reached = fde->code.start;
	if (!fde->program)
		return "its unwind data is of a kind that is not known";
	if (fde->cie.return_register != FRAME_ALL_REGISTERS - 1)
		return "its unwind data keeps the return address in another register than the ABI's";

	/* Not one initialiser: the remembered rows need no clearing, and are most of it. */
	machine.cie = &fde->cie;
	machine.location = fde->code.start;
	machine.initial_done = machine.arrived = false;
	machine.visit = visit;
	machine.context = context;
	machine.why = NULL;
	machine.depth = 0;
	memset(&machine.row, 0, sizeof(machine.row));

	run(&machine, fde->cie.program, fde->cie.program_size);
	machine.initial = machine.row;
	machine.initial_done = true;
	if (!machine.why)
		run(&machine, fde->program, fde->program_size);
	/* The last row lasts to the end of the code, whose very end may be the last address there is. */
	if (!machine.why && !machine.arrived)
		visit(context, (struct range){ machine.location, UINT64_MAX }, &machine.row);
	*reached = machine.location;
	return machine.why;
}
