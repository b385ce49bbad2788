/*
 * Nothing here allocates but for the trace's frames, and memory is read in windows: walks happen while the target stands
 * still. A thread that is scanned first hands its whole stack in, and then nothing is read at all.
 */
#include "unwind/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/search.h"
#include "arch/frame.h"

#define CALL_LENGTH_MAX 8	/* as much as arch->ends_with_call() asks for */
#define WORD 8
#define STACKS_MAX 16		/* that one chain may go over */
#define BELOW 1024		/* bytes below what is wanted that a window takes in: registers are saved there */
#define BIT(number) (1u << (number))
#define ALL_KNOWN (BIT(FRAME_ALL_REGISTERS) - 1)

struct walk {
	const struct unwind_module *modules;
	size_t module_count;
	const struct arch *arch;
	const struct unwind_memory *memory;
	struct unwind_trace *trace;
	uint64_t registers[FRAME_ALL_REGISTERS];	/* of the current frame */
	uint32_t known;		/* bit n: registers[n] has the frame's value */
	bool all_registers;	/* also those that hardly any row asks for are followed from frame to frame; without */
	bool missed;		/* that, this says that one was asked for: the walk is to be done again */
	bool after_call;
	struct range stack, have;	/* `have`: the part of `stack` that is in `bytes` */
	const uint8_t *bytes;
	uint64_t base;
	unsigned int stacks;
	const char *start_doubt;	/* about the first frame, until there is one */
	const struct unwind_module *module;	/* of the last look-up */
};

const struct unwind_module *unwind_module_find(const struct unwind_module *modules, size_t count, uint64_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (modules[middle].code.end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && range_holds(modules[low].code, address) ? &modules[low] : NULL;
}

/* Note a doubt about the last frame. False: so that one can stop with it. */
static bool doubt(struct walk *walk, const char *why)
{
	struct unwind_trace *trace = walk->trace;
	struct unwind_frame *frame = &trace->frames.item[trace->frames.count - 1];

	if (!frame->doubt)
		frame->doubt = why;
	if (!trace->doubt) {
		trace->doubt = why;
		trace->doubtful = trace->frames.count - 1;
	}
	return false;
}

/* Read the part of the stack around the address, from the frame's own end on where that is near. */
static bool fill_window(struct walk *walk, uint64_t address)
{
	uint64_t start = walk->registers[REGISTER_STACK_POINTER], end;

	if (start > address || address - start > UNWIND_WINDOW / 2)
		start = address - walk->stack.start > BELOW ? address - BELOW : walk->stack.start;
	if (start < walk->stack.start)
		start = walk->stack.start;
	end = walk->stack.end - start > UNWIND_WINDOW ? start + UNWIND_WINDOW : walk->stack.end;
	walk->have = (struct range){ 0 };
	if (!walk->memory->read(walk->memory->context, start, walk->trace->window, end - start))
		return false;
	walk->bytes = walk->trace->window;
	walk->have = (struct range){ start, end };
	return true;
}

/* Is the word inside of the range? */
static inline bool holds_word(struct range range, uint64_t address)
{
	return address >= range.start && address < range.end && range.end - address >= WORD;
}

static bool read_beyond_window(struct walk *walk, uint64_t address, uint64_t *word)
{
	if (!holds_word(walk->stack, address))
		return false;
	/* Part of a window may be unreadable. */
	if (!fill_window(walk, address))
		return walk->memory->read(walk->memory->context, address, word, WORD);
	*word = load64(walk->bytes + (address - walk->have.start));
	return true;
}

/* A word of the stack; false outside of it, and where memory can't be read. */
static inline bool read_stack(struct walk *walk, uint64_t address, uint64_t *word)
{
	if (!holds_word(walk->have, address))
		return read_beyond_window(walk, address, word);
	*word = load64(walk->bytes + (address - walk->have.start));
	return true;
}

static bool is_altered(const struct unwind_module *module, uint64_t address)
{
	size_t behind = module->altered_count ? search_address(&module->altered->end, module->altered_count,
							       sizeof(*module->altered), address + 1) : 0;

	return behind < module->altered_count && range_holds(module->altered[behind], address);
}

/*
 * A return address follows a call; all else on a stack is no return address. The exception is the one
 * that the kernel gives to a signal handler: the start of the restorer, whose FDE begins one byte
 * before it so that a look-up of pc - 1 finds it (glibc, sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c).
 */
static const char *check_return_address(const struct walk *walk, const struct unwind_module *module, const struct row *row)
{
	uint64_t pc = walk->registers[REGISTER_RETURN_ADDRESS], size = pc - module->code.start;

	if (row->kind == ROW_SIGNAL)
		return pc == module->rows->text.start + module->bias + row->start + 1 ? NULL :
			"a return into the middle of a signal restorer";
	if (size > CALL_LENGTH_MAX)
		size = CALL_LENGTH_MAX;
	return walk->arch->ends_with_call(module->text + (pc - module->code.start), size) ? NULL :
		"a return address that follows no call";
}

/* Why the row proves nothing, or NULL. */
static const char *check_row(const struct row *row)
{
	switch ((enum row_verdict)row->verdict) {
	case ROW_EXACT:
		return NULL;
	case ROW_CONTRADICTED:
		return "its instructions contradict its unwind data";
	case ROW_UNVERIFIABLE:
		return row_reason_text((enum row_reason)row->reason);
	case ROW_UNCHECKED:
		break;
	}
	return "its unwind data was not compared with its instructions";
}

static bool is_known(struct walk *walk, unsigned int number)
{
	if (walk->known & BIT(number))
		return true;
	walk->missed = !walk->all_registers;
	return false;
}

static const char *find_cfa(struct walk *walk, const struct row *row, uint64_t *cfa)
{
	if (!is_known(walk, row->base))
		return "the CFA depends on a register whose value is not known";
	*cfa = walk->registers[row->base] + (uint64_t)(int64_t)row->offset;
	if (row->kind == ROW_INDIRECT && !read_stack(walk, *cfa, cfa))
		return "the CFA can't be read";
	/* The linker's rule for the stubs of a PLT, which are 16 bytes each and aligned. */
	if (row->kind == ROW_STUB)
		*cfa = walk->registers[row->base] + WORD +
		       ((int64_t)(walk->registers[REGISTER_RETURN_ADDRESS] % 16) >= row->offset ? WORD : 0);
	return NULL;
}

/*
 * The caller's stack begins at the CFA, above all that the callee has. A call frame is at least one
 * word, its return address; only code that was stopped or interrupted after it had taken that off the
 * stack into a register (glibc's vfork) may have none, and such a frame is not the caller of another,
 * so a chain can't stand still. A saved return address lies in the frame.
 */
static const char *check_cfa(const struct walk *walk, const struct row *row, uint64_t cfa)
{
	bool in_register = row->flags & ROW_RETURN_IN_REGISTER;
	uint64_t sp = walk->registers[REGISTER_STACK_POINTER], slot = cfa + (uint64_t)(row->return_at * WORD);

	if (cfa % WORD)
		return "the CFA is not aligned";
	if (cfa < walk->stack.start || cfa > walk->stack.end)
		return "the CFA is outside the stack";
	if (cfa < sp || (cfa == sp && (walk->after_call || !in_register)))
		return "the CFA does not rise";
	if (!in_register && (slot < sp || slot > cfa - WORD))
		return "the return address is not saved in the frame";
	return NULL;
}

/* The caller's value of frame_saved_register[index]. One that can't be read is not known: that matters only where a row needs it. */
static inline uint32_t restore_saved(struct walk *walk, const struct row *row, unsigned int index, uint64_t from)
{
	uint8_t number = frame_saved_register[index];
	int8_t place = row->saved[index];

	if (place == ROW_SAME)
		return walk->known & BIT(number);
	if (place == ROW_LOST || !read_stack(walk, from + (uint64_t)(place * WORD), &walk->registers[number]))
		return 0;
	return BIT(number);
}

/* Replace the registers by the caller's. */
static const char *restore_caller(struct walk *walk, const struct row *row, uint64_t cfa)
{
	uint64_t *registers = walk->registers, caller, from = cfa;
	uint32_t known = BIT(REGISTER_STACK_POINTER) | BIT(REGISTER_RETURN_ADDRESS);
	bool readable = true;

	if (!(row->flags & ROW_RETURN_IN_REGISTER)) {
		if (!read_stack(walk, cfa + (uint64_t)(row->return_at * WORD), &caller))
			return "the return address can't be read";
	} else if (is_known(walk, (uint8_t)row->return_at)) {
		caller = registers[row->return_at];
	} else {
		return "the return address is in a register whose value is not known";
	}
	if (row->flags & ROW_SAVED_AT_FRAME) {
		from = registers[REGISTER_FRAME_POINTER];
		readable = walk->known & BIT(REGISTER_FRAME_POINTER);
	}
	if (readable && walk->all_registers) {
		for (unsigned int i = 0; i < FRAME_SAVED; i++)
			if (i != FRAME_SAVED_FRAME_POINTER)
				known |= restore_saved(walk, row, i, from);
	}
	if (readable)
		known |= restore_saved(walk, row, FRAME_SAVED_FRAME_POINTER, from);
	registers[REGISTER_RETURN_ADDRESS] = caller;
	registers[REGISTER_STACK_POINTER] = cfa;
	walk->known = known;
	return NULL;
}

/* The chain leaves its stack: a signal's frame led to another one. */
static bool change_stack(struct walk *walk, uint64_t pointer)
{
	struct range stack;

	doubt(walk, "a signal is handled on another stack");
	if (++walk->stacks > STACKS_MAX || !walk->memory->find_stack ||
	    !walk->memory->find_stack(walk->memory->context, pointer, &stack) || !range_holds(stack, pointer))
		return doubt(walk, "the interrupted code's stack pointer is in no stack");
	walk->stack = stack;
	walk->have = (struct range){ 0 };
	return true;
}

/* The kernel saved all registers of the interrupted code. */
static bool cross_signal(struct walk *walk, const struct row *row)
{
	uint64_t context = walk->registers[REGISTER_STACK_POINTER] + (uint64_t)(int64_t)row->offset, sp;
	uint64_t saved[FRAME_ALL_REGISTERS];

	for (unsigned int i = 0; i < FRAME_ALL_REGISTERS; i++)
		if (!read_stack(walk, context + frame_signal_slot[i], &saved[i]))
			return doubt(walk, "the signal's frame can't be read");
	sp = saved[REGISTER_STACK_POINTER];
	if (sp % WORD)
		doubt(walk, "the interrupted code's stack pointer is not aligned");
	if (sp < walk->stack.start || sp > walk->stack.end) {
		if (!change_stack(walk, sp))
			return false;
	} else if (sp <= walk->registers[REGISTER_STACK_POINTER]) {
		/* A signal stack inside of the thread's own. The chain might go round; it is bounded like changes. */
		doubt(walk, "a signal is handled above the stack of the code that it interrupted");
		if (++walk->stacks > STACKS_MAX)
			return false;
	}
	memcpy(walk->registers, saved, sizeof(saved));
	walk->known = ALL_KNOWN;
	walk->trace->frames.item[walk->trace->frames.count - 1].cfa = sp;
	walk->after_call = false;
	return true;
}

static bool cross_call(struct walk *walk, const struct row *row)
{
	uint64_t cfa = 0;
	const char *why = find_cfa(walk, row, &cfa);

	if (!why)
		why = check_cfa(walk, row, cfa);
	if (!why)
		why = restore_caller(walk, row, cfa);
	if (why)
		return doubt(walk, why);
	walk->trace->frames.item[walk->trace->frames.count - 1].cfa = cfa;
	walk->after_call = true;
	return true;
}

/*
 * Code without unwind data ends a chain only where nobody can be above: musl's _start has none, and its callee's frame ends
 * at the stack pointer that the kernel gave the program, aligned (arch/x86_64/crt_arch.h); its clone() (src/thread/x86_64/clone.s)
 * has none either, and goes on to end the thread.
 */
static bool at_base(const struct walk *walk, const struct unwind_module *module)
{
	uint64_t pc = walk->registers[REGISTER_RETURN_ADDRESS];

	if (!walk->after_call)
		return false;
	if (walk->base && (walk->base & ~UINT64_C(15)) - walk->registers[REGISTER_STACK_POINTER] <= 16)
		return true;
	return module->text && range_holds(module->code, pc) && !is_altered(module, pc) &&
	       walk->arch->thread_end(module->text + (pc - module->code.start), module->code.end - pc) != 0;
}

static bool stop_without_row(struct walk *walk, const struct unwind_module *module, const char *why)
{
	if (at_base(walk, module))
		walk->trace->ended = true;
	else
		doubt(walk, why);
	return false;
}

/* Take one frame: true when there is a caller to go on with. */
static bool step(struct walk *walk)
{
	uint64_t pc = walk->registers[REGISTER_RETURN_ADDRESS], address = pc - walk->after_call;
	const struct unwind_module *module = walk->module;
	const struct row *row;
	const char *why = NULL;

	if (!module || !range_holds(module->code, address))
		walk->module = module = unwind_module_find(walk->modules, walk->module_count, address);
	*array_add(&walk->trace->frames) =
		(struct unwind_frame){ .pc = pc, .after_call = walk->after_call, .module = module };
	if (walk->start_doubt)
		doubt(walk, walk->start_doubt);
	walk->start_doubt = NULL;
	if (walk->trace->frames.count == UNWIND_FRAMES_MAX)
		return doubt(walk, "more frames than a walk follows");
	if (!module)
		return doubt(walk, "not the code of any image");
	if (!module->rows)
		return stop_without_row(walk, module, module->why);
	row = rows_find(module->rows, address - module->bias);
	if (!row || row->kind == ROW_NONE)
		return stop_without_row(walk, module, module->rows->damage ? module->rows->damage : "no unwind data for this address");
	if (row->kind == ROW_UNRELIABLE)
		return doubt(walk, row_reason_text((enum row_reason)row->reason));
	why = check_row(row);
	if (!why && module->altered_count && is_altered(module, address))
		why = "its code was changed in memory";
	if (!why && walk->after_call)
		why = check_return_address(walk, module, row);
	if (why)
		doubt(walk, why);
	if (row->kind == ROW_END)
		return stop_without_row(walk, module, "its unwind data ends where no thread is known to begin");
	return row->kind == ROW_SIGNAL ? cross_signal(walk, row) : cross_call(walk, row);
}

static const char *check_start(const struct unwind_start *start)
{
	uint64_t sp = start->registers[REGISTER_STACK_POINTER];

	if (start->doubt)
		return start->doubt;
	if (sp < start->stack.start || sp > start->stack.end)
		return "the stack pointer is outside the stack";
	return sp % WORD ? "the stack pointer is not aligned" : NULL;
}

/* False: a register was asked for that was not followed. */
static bool walk_once(struct walk *walk, const struct unwind_start *start, struct unwind_trace *trace)
{
	memcpy(walk->registers, start->registers, sizeof(walk->registers));
	walk->known = ALL_KNOWN;
	walk->after_call = walk->missed = false;
	walk->stack = start->stack;
	walk->bytes = start->bytes;
	walk->have = (struct range){ 0 };
	if (start->bytes)
		walk->have = (struct range){ start->stack.start, start->stack.start + start->size };
	walk->stacks = 0;
	walk->start_doubt = check_start(start);
	trace->frames.count = 0;
	trace->ended = false;
	trace->doubt = NULL;
	trace->doubtful = 0;
	while (step(walk))
		;
	return !walk->missed;
}

void unwind_walk(const struct unwind_module *modules, size_t count, const struct arch *arch,
		 const struct unwind_start *start, const struct unwind_memory *memory, struct unwind_trace *trace)
{
	struct walk walk;

	/* Not one initialiser: most of it is set by walk_once(). */
	walk.modules = modules;
	walk.module_count = count;
	walk.arch = arch;
	walk.memory = memory;
	walk.trace = trace;
	walk.base = start->base;
	walk.module = NULL;
	walk.all_registers = false;
	if (walk_once(&walk, start, trace))
		return;
	walk.all_registers = true;
	(void)walk_once(&walk, start, trace);
}

void unwind_trace_free(struct unwind_trace *trace)
{
	array_free(&trace->frames);
}

void unwind_trace_reason(const struct unwind_trace *trace, char *out, size_t room)
{
	const struct unwind_frame *frame = &trace->frames.item[trace->doubtful];

	snprintf(out, room, "0x%" PRIx64 "%s%s: %s", frame->pc, frame->module ? " in " : "",
		 frame->module ? frame->module->name : "", trace->doubt);
}

bool unwind_trace_hits(const struct unwind_trace *trace, const struct range *ranges, size_t count, size_t *frame)
{
	for (size_t i = trace->frames.count; i-- > 0;) {
		const struct unwind_frame *candidate = &trace->frames.item[i];

		for (size_t j = 0; j < count; j++) {
			if (!range_holds(ranges[j], candidate->pc) &&
			    !(candidate->after_call && range_holds(ranges[j], candidate->pc - 1)))
				continue;
			*frame = i;
			return true;
		}
	}
	return false;
}
