/*
 * What may interrupt a look at a stack: all threads are stopped, so nothing of the process changes but by other processes that
 * share its memory, which the caller has looked for. Everything here only reads.
 */
#include "live/stacks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_MAX (1ul << 30)	/* bytes of one stack; more is not read while a process stands still */

void stack_check_add(struct stack_check *check, struct range range, const char *name)
{
	*array_add(&check->ranges) = range;
	*array_add(&check->names) = name;
}

void stack_check_ready(struct stack_check *check)
{
	scan_set_build(&check->set, check->ranges.item, check->ranges.count);
	check->trace = memory_zeroed(1, sizeof(*check->trace));
}

void stack_check_free(struct stack_check *check)
{
	scan_set_free(&check->set);
	if (check->trace)
		unwind_trace_free(check->trace);
	free(check->trace);
	array_free(&check->ranges);
	array_free(&check->names);
	array_free(&check->tables);
}

/* Name of the range that holds the address, or NULL. */
static const char *name_inside(const struct stack_check *check, uint64_t address)
{
	for (size_t i = 0; i < check->ranges.count; i++)
		if (range_holds(check->ranges.item[i], address))
			return check->names.item[i];
	return NULL;
}

const char *stack_check_name(const struct stack_check *check, uint64_t address)
{
	const char *inside = name_inside(check, address);

	if (inside)
		return inside;
	/* A return address behind a call that is a function's last instruction. */
	for (size_t i = 0; i < check->ranges.count; i++)
		if (check->ranges.item[i].end == address)
			return check->names.item[i];
	return "?";
}

/*
 * The memory from the stack pointer to the top of the thread's stack. A program may run a thread on other memory (a signal
 * stack, a coroutine), with more of the thread's calls on the stack it came from, so it counts only what is known to be
 * the whole: the first thread's [stack]; another thread's mapping with the thread's control block, which glibc and musl put
 * at the top of its stack. [heap] is excluded because a static program has the first thread's block there.
 * More than the thread's own part may be in the mapping; it is scanned, too.
 */
const char *stack_find(const struct survey *survey, const struct maps *maps, const struct thread *thread, struct range *stack)
{
	uint64_t pointer = registers_stack(&thread->registers);
	uint64_t control = registers_thread_pointer(&thread->registers);
	const struct mapping *mapping = maps_find(maps, pointer);
	bool first = thread->tid == survey->process->pid;

	*stack = (struct range){ 0 };
	if (!mapping || !mapping->read || !mapping->write)
		return "its stack pointer is in no stack";
	*stack = (struct range){ (pointer - REGISTERS_RED_ZONE) & ~7ul, mapping->range.end };
	if (stack->start < mapping->range.start)
		stack->start = mapping->range.start;
	if (!(first && mapping_special(mapping, "[stack]")) &&
	    (first || mapping_special(mapping, "[heap]") || !range_holds(mapping->range, control) || control < pointer))
		return "it runs on a stack that is not known to be its own (a signal stack or a coroutine?)";
	if (pointer % sizeof(uint64_t))
		return "its stack pointer is not aligned";
	if (mapping->range.end - pointer > STACK_MAX)
		return "its stack is too large";
	return NULL;
}

/* Where a walk reads. */
struct reader {
	const struct process *process;
	pid_t tid;
	const struct maps *maps;
};

/* The thread is stopped, so its number stays its own; one system call, and no copy on the way, unlike /proc/PID/mem. */
static bool read_memory(void *context, uint64_t address, void *out, size_t size)
{
	const struct reader *reader = context;

	return process_read_stopped(reader->tid, address, out, size) || process_read(reader->process, address, out, size);
}

static bool find_other_stack(void *context, uint64_t pointer, struct range *stack)
{
	const struct reader *reader = context;
	const struct mapping *mapping = maps_find(reader->maps, pointer);

	if (!mapping || !mapping->read || !mapping->write)
		return false;
	*stack = (struct range){ pointer & ~7ul, mapping->range.end };
	return true;
}

void stack_walk(const struct survey *survey, const struct maps *maps, const struct arch *arch, const struct thread *thread,
		struct range stack, const char *doubt, const uint8_t *bytes, struct unwind_trace *trace)
{
	struct reader reader = { .process = survey->process, .tid = thread->tid, .maps = maps };
	const struct unwind_memory memory = { .read = read_memory, .find_stack = find_other_stack, .context = &reader };
	struct unwind_start start = {
		.stack = stack,
		.doubt = doubt,
		.base = thread->tid == survey->process->pid ? survey->process->stack_start : 0,
		.bytes = bytes,
		.size = bytes ? stack.end - stack.start : 0,
	};

	registers_dwarf(&thread->registers, start.registers);
	unwind_walk(survey->modules.item, survey->modules.count, arch, &start, &memory, trace);
}

void stack_reason(const struct maps *maps, const struct unwind_trace *trace, char *out, size_t room)
{
	const struct unwind_frame *frame = &trace->frames.item[trace->doubtful];
	const struct mapping *mapping = frame->module ? NULL : maps_find(maps, frame->pc);

	if (mapping && mapping->execute)
		snprintf(out, room, "0x%" PRIx64 " is in %s, which is the code of no image (a JIT compiler's?)", frame->pc,
			 *mapping->name ? mapping->name : "anonymous memory");
	else
		unwind_trace_reason(trace, out, room);
}

static void walk(const struct stack_check *check, const struct maps *maps, const struct thread *thread, struct range stack,
		 const uint8_t *bytes, struct stack_result *result)
{
	struct unwind_trace *trace = check->trace;
	const struct unwind_frame *frames;
	size_t outermost;

	stack_walk(check->survey, maps, check->arch, thread, stack, NULL, bytes, trace);
	frames = trace->frames.item;
	result->walked = true;
	/* A frame of an unproven trace that lies inside says as much as one of a proven one. */
	if (unwind_trace_hits(trace, check->ranges.item, check->ranges.count, &outermost)) {
		result->verdict = STACK_INSIDE;
		snprintf(result->text, sizeof(result->text), "in %s", stack_check_name(check, frames[outermost].pc));
		if (outermost + 1 < trace->frames.count && frames[outermost + 1].after_call &&
		    (!trace->doubt || trace->doubtful > outermost)) {
			result->exit = frames[outermost + 1].pc;
			result->exit_stack = frames[outermost].cfa;
		}
	} else if (!unwind_trace_proven(trace)) {
		char why[192];

		stack_reason(maps, trace, why, sizeof(why));
		result->verdict = STACK_UNRELIABLE;
		snprintf(result->text, sizeof(result->text), "stack not reliable: %s", why);
	} else {
		result->verdict = STACK_FREE;
	}
}

/*
 * Is a signal being handled? The handler may run on a signal stack that lies inside of the thread's own (an array in a frame):
 * the interrupted frames are then below the stack pointer, where no scan looks. The walk finds that the chain does not rise.
 */
static bool in_handler(const struct stack_check *check, const uint8_t *bytes, size_t size)
{
	struct scan_set restorers;
	size_t count = size / sizeof(uint64_t), found;

	scan_set_build(&restorers, check->survey->restorers.item, check->survey->restorers.count);
	found = scan_words(&restorers, (const uint64_t *)(const void *)bytes, count);
	scan_set_free(&restorers);
	return found < count;
}

/* True when no register and no word of the stack can lead into the code that is being left. */
static bool scan(const struct stack_check *check, const struct thread *thread, const uint8_t *bytes, size_t size)
{
	size_t words = size / sizeof(uint64_t);
	uint64_t registers[REGISTERS_DWARF];

	registers_dwarf(&thread->registers, registers);
	return scan_words(&check->set, registers, REGISTERS_DWARF) == REGISTERS_DWARF &&
	       scan_words(&check->set, (const uint64_t *)(const void *)bytes, words) == words;
}

/* Look at all of a stack that is known to be the thread's. `inside`: it is, by its program counter. */
static void check_stack(const struct stack_check *check, const struct maps *maps, const struct thread *thread, bool inside,
			struct stack_result *result)
{
	struct range stack;
	const char *why = stack_find(check->survey, maps, thread, &stack);
	size_t size = stack.end - stack.start;
	uint8_t *bytes = NULL;

	if (!why) {
		bytes = memory_resize(NULL, size, 1);
		if (!process_read_stopped(thread->tid, stack.start, bytes, size) &&
		    !process_read(check->survey->process, stack.start, bytes, size))
			why = "its stack can't be read";
	}
	if (!why && (inside || !scan(check, thread, bytes, size) || in_handler(check, bytes, size)))
		walk(check, maps, thread, stack, bytes, result);
	else if (!why)
		result->verdict = STACK_FREE;
	else if (!inside)
		snprintf(result->text, sizeof(result->text), "%s", why);
	free(bytes);
}

void stack_check_thread(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
			struct stack_result *result)
{
	const char *inside;

	*result = (struct stack_result){ .verdict = STACK_UNRELIABLE };
	if (thread->unreadable) {
		snprintf(result->text, sizeof(result->text), "it runs 32-bit code");
		return;
	}
	/* Where it is now needs no stack; where it will leave does. */
	inside = name_inside(check, registers_pc(&thread->registers));
	check_stack(check, maps, thread, inside, result);
	if (inside) {
		result->verdict = STACK_INSIDE;
		snprintf(result->text, sizeof(result->text), "in %s", inside);
	}
}
