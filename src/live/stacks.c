#include "live/stacks.h"

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
}

void stack_check_free(struct stack_check *check)
{
	scan_set_free(&check->set);
	array_free(&check->ranges);
	array_free(&check->names);
}

/* Name of the range that holds the address, or NULL. */
static const char *name_inside(const struct stack_check *check, uint64_t address)
{
	for (size_t i = 0; i < check->ranges.count; i++)
		if (range_holds(check->ranges.item[i], address))
			return check->names.item[i];
	return NULL;
}

static const char *name_at(const struct stack_check *check, uint64_t address)
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
static const char *find_stack(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
			      struct range *stack)
{
	uint64_t pointer = registers_stack(&thread->registers);
	uint64_t control = registers_thread_pointer(&thread->registers);
	const struct mapping *mapping = maps_find(maps, pointer);
	bool first = thread->tid == check->survey->process->pid;

	if (!mapping || !mapping->read || !mapping->write)
		return "its stack pointer is in no stack";
	if (!(first && mapping_special(mapping, "[stack]")) &&
	    (first || mapping_special(mapping, "[heap]") || !range_holds(mapping->range, control) || control < pointer))
		return "it runs on a stack that is not known to be its own (a signal stack or a coroutine?)";
	if (pointer % sizeof(uint64_t))
		return "its stack pointer is not aligned";
	if (mapping->range.end - pointer > STACK_MAX)
		return "its stack is too large";
	*stack = (struct range){ (pointer - REGISTERS_RED_ZONE) & ~7ul, mapping->range.end };
	if (stack->start < mapping->range.start)
		stack->start = mapping->range.start;
	return NULL;
}

/* The stack as read once, and other memory (code) from the process. */
struct reader {
	const struct process *process;
	struct range stack;
	const uint8_t *bytes;
};

static bool read_memory(void *context, uint64_t address, void *out, size_t size)
{
	const struct reader *reader = context;

	if (range_holds(reader->stack, address) && size <= reader->stack.end - address) {
		memcpy(out, reader->bytes + (address - reader->stack.start), size);
		return true;
	}
	return process_read(reader->process, address, out, size);
}

static void walk(const struct stack_check *check, const struct thread *thread, struct reader *reader,
		 struct stack_result *result)
{
	struct unwind_start start = { .pc = registers_pc(&thread->registers), .stack = reader->stack };
	struct unwind_memory memory = { .read = read_memory, .context = reader };
	struct unwind_trace trace;
	uint64_t hit;

	registers_dwarf(&thread->registers, start.registers);
	for (unsigned int i = 0; i < UNWIND_REGISTERS; i++)
		start.known[i] = true;
	unwind_walk(check->survey->modules.item, check->survey->modules.count, check->arch, &start, memory, &trace);
	result->walked = true;
	/* A frame of an incomplete trace that lies inside says as much as one of a complete one. */
	if (unwind_trace_hits(&trace, check->ranges.item, check->ranges.count, &hit)) {
		result->verdict = STACK_INSIDE;
		snprintf(result->text, sizeof(result->text), "in %s", name_at(check, hit));
	} else if (!trace.complete) {
		result->verdict = STACK_UNRELIABLE;
		snprintf(result->text, sizeof(result->text), "stack not reliable: %s", trace.reason);
	} else {
		result->verdict = STACK_FREE;
	}
	unwind_trace_free(&trace);
}

/*
 * Is a signal being handled? The handler may run on a signal stack that lies inside of the thread's own (an array in a frame):
 * the interrupted frames are then below the stack pointer, where no scan looks. The walk finds that the chain does not rise.
 */
static bool in_handler(const struct stack_check *check, const struct reader *reader)
{
	const uint64_t *words = (const uint64_t *)reader->bytes;
	size_t count = (reader->stack.end - reader->stack.start) / sizeof(uint64_t);
	struct scan_set restorers;
	size_t found;

	scan_set_build(&restorers, check->survey->restorers.item, check->survey->restorers.count);
	found = scan_words(&restorers, words, count);
	scan_set_free(&restorers);
	return found < count;
}

/* True when no register and no word of the stack can lead into the code that is being left. */
static bool scan(const struct stack_check *check, const struct thread *thread, const struct reader *reader)
{
	size_t words = (reader->stack.end - reader->stack.start) / sizeof(uint64_t);
	uint64_t registers[REGISTERS_DWARF];

	registers_dwarf(&thread->registers, registers);
	return scan_words(&check->set, registers, REGISTERS_DWARF) == REGISTERS_DWARF &&
	       scan_words(&check->set, (const uint64_t *)reader->bytes, words) == words;
}

void stack_check_thread(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
			struct stack_result *result)
{
	struct reader reader = { .process = check->survey->process };
	uint8_t *bytes = NULL;
	const char *why;

	*result = (struct stack_result){ .verdict = STACK_UNRELIABLE };
	if (thread->unreadable) {
		snprintf(result->text, sizeof(result->text), "it runs 32-bit code");
		return;
	}
	/* Where it is now needs no stack. */
	why = name_inside(check, registers_pc(&thread->registers));
	if (why) {
		result->verdict = STACK_INSIDE;
		snprintf(result->text, sizeof(result->text), "in %s", why);
		return;
	}
	why = find_stack(check, maps, thread, &reader.stack);
	if (!why) {
		bytes = memory_zeroed(reader.stack.end - reader.stack.start, 1);
		if (!process_read(check->survey->process, reader.stack.start, bytes, reader.stack.end - reader.stack.start))
			why = "its stack can't be read";
	}
	reader.bytes = bytes;
	if (why)
		snprintf(result->text, sizeof(result->text), "%s", why);
	else if (scan(check, thread, &reader) && !in_handler(check, &reader))
		result->verdict = STACK_FREE;
	else
		walk(check, thread, &reader, result);
	free(bytes);
}
