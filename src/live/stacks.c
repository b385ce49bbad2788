/*
 * What may interrupt a look at a stack: all threads are stopped, so nothing of the process changes but by other processes that
 * share its memory, which the caller has looked for. Everything here only reads.
 */
#include "live/stacks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define PAGE 4096u
#define STACK_MAX (1ul << 30)	/* bytes of one stack; more is not read while a process stands still */
#define CONTROL_MAX 65536u	/* bytes of a thread's control block, and what may be behind it to the end of its stack */
#define TLS_MAX (1ul << 20)	/* bytes of thread-local variables between a thread's first frame and its control block */

void stack_check_add(struct stack_check *check, struct range range, const char *name)
{
	*array_add(&check->ranges) = range;
	*array_add(&check->names) = name;
}

void stack_check_ready(struct stack_check *check)
{
	scan_set_build(&check->set, check->ranges.item, check->ranges.count);
	scan_set_build(&check->restorers, check->survey->restorers.item, check->survey->restorers.count);
	check->trace = memory_zeroed(1, sizeof(*check->trace));
	check->stacks = stacks_new();
}

void stack_check_join(struct stack_check *check, const struct stack_check *other)
{
	const struct survey *survey = check->survey;
	ARRAY(struct range) all = { 0 };

	for (size_t i = 0; i < check->ranges.count; i++)
		*array_add(&all) = check->ranges.item[i];
	for (size_t i = 0; i < other->ranges.count; i++)
		*array_add(&all) = other->ranges.item[i];
	for (size_t i = 0; i < survey->restorers.count; i++)
		*array_add(&all) = survey->restorers.item[i];
	scan_set_free(&check->any);
	scan_set_build(&check->any, all.item, all.count);
	array_free(&all);
}

void stack_check_free(struct stack_check *check)
{
	scan_set_free(&check->set);
	scan_set_free(&check->restorers);
	scan_set_free(&check->any);
	if (check->trace)
		unwind_trace_free(check->trace);
	free(check->trace);
	stacks_free(check->stacks);
	array_free(&check->ranges);
	array_free(&check->names);
	array_free(&check->tables);
}

/* Name of the range that holds the address, or NULL. */
static const char *name_inside(const struct stack_check *check, uint64_t address)
{
	if (!scan_set_holds(&check->set, address))
		return NULL;
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

bool stack_is_borrowed(const struct survey *survey, const struct maps *maps, const struct thread *thread, struct range stack)
{
	const struct mapping *mapping = thread->tid == survey->process->pid ? maps_find(maps, stack.start) : NULL;

	return mapping && !mapping_special(mapping, "[stack]");
}

/*
 * The memory from the stack pointer to the top of the thread's stack. A program may run a thread on other memory (a signal
 * stack, a coroutine), with more of the thread's calls on the stack it came from, so it counts only what is known to be
 * the whole: the first thread's [stack]; another thread's mapping up to the thread's control block, which glibc and musl put
 * at the top of its stack, above all frames. What else may be in between is scanned, too. [heap] is excluded because a static
 * program has the first thread's block there.
 *
 * The first thread may be on such a stack, too: in a child that another thread has made by fork(). But the mapping may as well be
 * memory of the program's to which that with the first thread's block (the dynamic linker's) has been joined, with a coroutine on
 * it. So that is taken only where the exact walk is a proof, which stack_walk() sees to.
 */
const char *stack_find(const struct survey *survey, const struct maps *maps, const struct thread *thread, struct range *stack)
{
	uint64_t pointer = registers_stack(&thread->registers);
	uint64_t control = registers_thread_pointer(&thread->registers);
	const struct mapping *mapping = maps_find(maps, pointer);
	bool given = mapping && mapping_special(mapping, "[stack]") && thread->tid == survey->process->pid;

	*stack = (struct range){ 0 };
	if (!mapping || !mapping->read || !mapping->write)
		return "its stack pointer is in no stack";
	*stack = (struct range){ (pointer - FRAME_RED_ZONE) & ~7ul, mapping->range.end };
	if (stack->start < mapping->range.start)
		stack->start = mapping->range.start;
	if (!given && (mapping_special(mapping, "[heap]") || !range_holds(mapping->range, control) || control < pointer))
		return "it runs on a stack that is not known to be its own (a signal stack or a coroutine?)";
	if (!given)
		stack->end = control & ~7ul;
	if (pointer % sizeof(uint64_t))
		return "its stack pointer is not aligned";
	if (stack->end - pointer > STACK_MAX)
		return "its stack is too large";
	return NULL;
}

/*
 * The C library keeps the start and the size of a stack's memory in two words that follow each other in the thread's control block (glibc:
 * stackblock and stackblock_size of struct pthread, also where the program has given it the memory; musl: map_base and map_size), and the block
 * itself is at the end of that memory.
 */
static uint64_t find_bottom(const struct thread *thread, const struct mapping *mapping, uint64_t pointer)
{
	uint64_t words[PAGE / sizeof(uint64_t)], bottom = 0, control = registers_thread_pointer(&thread->registers);
	uint64_t size = mapping->range.end - control < sizeof(words) ? mapping->range.end - control : sizeof(words);

	if (!range_holds(mapping->range, control) || control % sizeof(*words) || !process_read_stopped(thread->tid, control, words, size))
		return pointer;
	for (size_t i = 0; i + 1 < size / sizeof(*words); i++) {
		uint64_t end = words[i] + words[i + 1];

		if (words[i] < pointer && words[i + 1] <= STACK_MAX && end >= control && end - control <= CONTROL_MAX && words[i] > bottom)
			bottom = words[i];
	}
	if (!bottom)
		return pointer;
	return bottom < mapping->range.start ? mapping->range.start : bottom;
}

uint64_t stack_bottom(const struct maps *maps, const struct thread *thread, struct range stack)
{
	const struct mapping *mapping = maps_find(maps, stack.start);

	if (!mapping)
		return stack.start;
	return mapping_special(mapping, "[stack]") ? mapping->range.start : find_bottom(thread, mapping, stack.start);
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

/*
 * Where the chain has ended, is there a control block between it and the thread's own? Then the frames are another thread's, which lent
 * its context: what the first thread has left on [stack] is in no frame here. A control block begins with its own address (psABI
 * x86-64, 3.4.6: %fs:0; glibc's and musl's structures as well), and whatever else does counts as one.
 */
static bool ends_below_another(const struct reader *reader, const struct unwind_trace *trace, uint64_t control)
{
	uint64_t at = trace->frames.count > 1 ? trace->frames.item[trace->frames.count - 2].cfa : 0;
	uint64_t words[512];

	if (!at || at > control || control - at > TLS_MAX)
		return true;
	while (at < control) {
		size_t size = control - at < sizeof(words) ? (control - at) & ~7ul : sizeof(words);

		if (!size || !read_memory((void *)reader, at, words, size))
			return true;
		for (size_t i = 0; i < size / sizeof(*words); i++)
			if (words[i] == at + i * sizeof(*words))
				return true;
		at += size;
	}
	return false;
}

void stack_walk(const struct survey *survey, const struct maps *maps, const struct arch *arch, const struct thread *thread,
		struct range stack, const char *doubt, const uint8_t *bytes, struct unwind_trace *trace)
{
	struct reader reader = { .process = survey->process, .tid = thread->tid, .maps = maps };
	const struct unwind_memory memory = { .read = read_memory, .find_stack = find_other_stack, .context = &reader };
	bool borrowed = !doubt && stack_is_borrowed(survey, maps, thread, stack);
	struct unwind_start start = {
		.stack = stack,
		.doubt = doubt,
		.base = thread->tid == survey->process->pid && !borrowed ? survey->process->stack_start : 0,
		.bytes = bytes,
		.size = bytes ? stack.end - stack.start : 0,
	};

	registers_dwarf(&thread->registers, start.registers);
	unwind_walk(survey->modules.item, survey->modules.count, arch, &start, &memory, trace);
	if (borrowed && unwind_trace_proven(trace) &&
	    ends_below_another(&reader, trace, registers_thread_pointer(&thread->registers))) {
		trace->doubtful = trace->frames.count - 1;
		trace->doubt = "the first thread runs on another one's stack";
		trace->frames.item[trace->doubtful].doubt = trace->doubt;
	}
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

static bool registers_pass(const struct scan_set *set, const struct thread *thread)
{
	uint64_t registers[FRAME_ALL_REGISTERS];

	registers_dwarf(&thread->registers, registers);
	return scan_words(set, registers, FRAME_ALL_REGISTERS) == FRAME_ALL_REGISTERS;
}

bool stack_passes(const struct stack_check *check, const struct thread *thread, const struct stack *stack)
{
	size_t words = stack_words(stack);

	return registers_pass(&check->set, thread) && scan_words(&check->set, stack_first_word(stack), words) == words;
}

/*
 * What stack_check_read() of each would say is in this: the instruction pointer is one of the registers, and a word that may lead back from a signal
 * handler is one of the set.
 */
bool stack_is_clear(const struct stack_check *check, const struct thread *thread, const struct stack *stack)
{
	size_t words = stack_words(stack);

	return check->any.middles && !thread->unreadable && !stack->why && !stack->borrowed && registers_pass(&check->any, thread) &&
	       scan_words(&check->any, stack_first_word(stack), words) == words;
}

/*
 * True when no register and no word of the stack can lead into the code that is being left, and no signal is being handled. The
 * handler may run on a signal stack that lies inside of the thread's own (an array in a frame): the interrupted frames are then
 * below the stack pointer, where no scan looks. The walk finds that the chain does not rise.
 */
static bool scan(const struct stack_check *check, const struct thread *thread, const struct stack *stack)
{
	size_t words = stack_words(stack);

	return registers_pass(&check->set, thread) &&
	       scan_words_either(&check->set, &check->restorers, stack_first_word(stack), words) == words;
}

void stack_check_read(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
		      const struct stack *stack, struct stack_result *result)
{
	const char *inside;

	*result = (struct stack_result){ .verdict = STACK_UNRELIABLE };
	/* Where it is now needs no stack; where it will leave does. */
	inside = thread->unreadable ? NULL : name_inside(check, registers_pc(&thread->registers));
	if (!stack->why && (inside || stack->borrowed || !scan(check, thread, stack)))
		walk(check, maps, thread, (struct range){ stack->range.start, stack->end }, stack->range.end == stack->end ? stack->bytes : NULL,
		     result);
	else if (!stack->why)
		result->verdict = STACK_FREE;
	else if (!inside)
		snprintf(result->text, sizeof(result->text), "%s", stack->why);
	if (inside) {
		result->verdict = STACK_INSIDE;
		snprintf(result->text, sizeof(result->text), "in %s", inside);
	}
}

void stack_check_thread(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
			struct stack_result *result)
{
	stacks_read(check, maps, thread, 1);
	stack_check_read(check, maps, thread, &check->stacks->item[0], result);
}
