/*
 * The memory of many threads' stacks, read in few calls. All threads are stopped, but where stacks_rehearse() says otherwise, and
 * everything here only reads.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "live/stacks.h"

#define TOGETHER_MAX (256u << 10)	/* bytes of stacks that are read together: what a processor's cache holds until they are scanned */
#define MANY 32u		/* threads, of which it is worth while to know where they begin, */
#define SOUGHT 6u		/* and how many are looked at for that, */
#define SOUGHT_AT_ONCE 3u	/* at a time */
#define REHEARSED_MAX (4ul << 10)	/* bytes of one stack that are looked at before the stop, */
#define REHEARSED_OF_MANY (1ul << 10)	/* and where there are many threads */
_Static_assert(STACKS_AT_ONCE * REHEARSED_MAX <= TOGETHER_MAX, "they are read together");

struct stacks *stacks_new(void)
{
	struct stacks *stacks = memory_zeroed(1, sizeof(*stacks));

	/* Written to now, so that it is there while a process stands still. */
	stacks->room = TOGETHER_MAX;
	stacks->bytes = memory_resize(NULL, TOGETHER_MAX, 1);
	memset(stacks->bytes, 1, TOGETHER_MAX);
	return stacks;
}

void stacks_free(struct stacks *stacks)
{
	if (stacks)
		free(stacks->bytes);
	free(stacks);
}

/* Read each on its own: some can't be read, or not this way. */
static void read_one_by_one(const struct survey *survey, struct stacks *stacks, const struct thread *threads, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stack *stack = &stacks->item[i];
		size_t size = stack->range.end - stack->range.start;

		if (!stack->why && !process_read_stopped(threads[i].tid, stack->range.start, stack->bytes, size) &&
		    !process_read(survey->process, stack->range.start, stack->bytes, size))
			stack->why = "its stack can't be read";
	}
}

/*
 * By the survey's mappings, which are older than the stop, but here already: to ask the kernel takes as long as to read a stack. The end of a stack
 * does not depend on them: it is the thread's control block, or the end of [stack], which stays where it is. What a mapping says besides is that the memory
 * from the stack pointer to there is in one piece; that shows when it is read, because a hole can't be. So whatever has become of the mappings since, all of
 * the thread's own stack from the stack pointer on is in it.
 */
static bool find_by_survey(const struct survey *survey, const struct thread *thread, struct stack *stack)
{
	return !stack_find(survey, &survey->maps, thread, &stack->range) &&
	       !stack_is_borrowed(survey, &survey->maps, thread, stack->range);
}

/* `maps`: as they are now. `known`: those of the survey may say it. */
static const char *find(const struct survey *survey, const struct maps *maps, bool known, const struct thread *thread, struct stack *stack)
{
	const char *why;

	stack->range = (struct range){ 0 };
	stack->borrowed = false;
	if (thread->state != THREAD_STOPPED)
		return "it is not stopped";
	if (thread->unreadable)
		return "it runs 32-bit code";
	if (known && find_by_survey(survey, thread, stack)) {
		stack->end = stack->range.end;
		return NULL;
	}
	why = stack_find(survey, maps, thread, &stack->range);
	stack->end = stack->range.end;
	stack->borrowed = !why && stack_is_borrowed(survey, maps, thread, stack->range);
	return why;
}

/*
 * A thread begins by a call: its first word is the return address to code that ends a thread (unwind/walk.c, at_base()), and above that there are only its
 * variables, of which all threads have as many. So where the word at the distance from the control block at which one thread has been shown to
 * begin is that address, this one has begun there, too (begin_there()). No other call puts the address onto a stack; and if an earlier thread
 * has left it in memory that is a stack again, that thread had its control block in the same place, and has begun where this one has.
 *
 * The variables are read where contexts of coroutines are searched for, because that search leaves stacks out.
 */
static void leave_variables_out(const struct stacks *stacks, const struct thread *thread, struct stack *stack)
{
	if (stack->end - registers_stack(&thread->registers) >= stacks->entry_below + sizeof(uint64_t))
		stack->range.end = stack->end - stacks->entry_below;
}

/* Which of the threads' stacks are read together. Returns how many threads these are. */
static size_t choose_stacks(const struct stack_check *check, const struct maps *maps, bool known, const struct thread *threads, size_t count)
{
	struct stacks *stacks = check->stacks;
	size_t found = 0, size = 0;

	for (; found < count && found < STACKS_AT_ONCE; found++) {
		struct stack *stack = &stacks->item[found];

		stack->why = find(check->survey, maps, known, &threads[found], stack);
		if (stack->why)
			continue;
		if (known && stacks->entry && threads[found].tid != check->survey->process->pid)
			leave_variables_out(stacks, &threads[found], stack);
		if (found && size + stack->range.end - stack->range.start > TOGETHER_MAX)
			break;
		size += stack->range.end - stack->range.start;
	}
	if (size > stacks->room) {
		stacks->bytes = memory_resize(stacks->bytes, size, 1);
		stacks->room = size;
	}
	return found;
}

/* False: not all can be read, or not this way. */
static bool read_together(struct stacks *stacks, const struct thread *threads, size_t count)
{
	struct iovec pieces[STACKS_AT_ONCE];
	size_t wanted = 0, size = 0;
	pid_t tid = 0;	/* all have the same memory: any that is stopped will do */

	for (size_t i = 0; i < count; i++) {
		struct stack *stack = &stacks->item[i];

		stack->bytes = stacks->bytes + size;
		if (stack->why)
			continue;
		tid = threads[i].tid;
		pieces[wanted] = (struct iovec){ (void *)stack->range.start, stack->range.end - stack->range.start };
		size += pieces[wanted++].iov_len;
	}
	return !tid || process_read_pieces(tid, pieces, wanted, stacks->bytes, size);
}

/* The last word of those stacks that were read without the variables. */
static bool begin_there(const struct stacks *stacks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct stack *stack = &stacks->item[i];

		if (!stack->why && stack->range.end != stack->end && stack_first_word(stack)[stack_words(stack) - 1] != stacks->entry)
			return false;
	}
	return true;
}

/* From one of these threads, whose stacks have been read as a whole. */
static void learn_entry(const struct stack_check *check, const struct maps *maps, const struct thread *threads, size_t count)
{
	struct stacks *stacks = check->stacks;

	for (size_t i = 0; i < count && !stacks->entry; i++) {
		const struct stack *stack = &stacks->item[i];
		const struct unwind_frame *last;

		if (stack->why || threads[i].tid == check->survey->process->pid)
			continue;
		stack_walk(check->survey, maps, check->arch, &threads[i], stack->range, NULL, stack->bytes, check->trace);
		if (!unwind_trace_proven(check->trace) || check->trace->frames.count < 2)
			continue;
		last = &check->trace->frames.item[check->trace->frames.count - 1];
		/* The word that the frame before it ends with, if that is where the address was taken from. */
		if (last[-1].cfa % sizeof(uint64_t) || last[-1].cfa <= stack->range.start || last[-1].cfa > stack->range.end ||
		    stack_first_word(stack)[(last[-1].cfa - stack->range.start) / sizeof(uint64_t) - 1] != last->pc)
			continue;
		stacks->entry = last->pc;
		stacks->entry_below = stack->end - last[-1].cfa;
	}
}

size_t stacks_read(const struct stack_check *check, const struct maps *maps, const struct thread *threads, size_t count)
{
	struct stacks *stacks = check->stacks;
	bool seek = count >= MANY && !stacks->entry && stacks->sought < SOUGHT && !check->survey->switches;
	size_t found = choose_stacks(check, maps, true, threads, seek ? SOUGHT_AT_ONCE : count);

	if (!read_together(stacks, threads, found) || !begin_there(stacks, found)) {
		found = choose_stacks(check, maps, false, threads, seek ? SOUGHT_AT_ONCE : count);
		if (!read_together(stacks, threads, found))
			read_one_by_one(check->survey, stacks, threads, found);
	}
	if (seek) {
		learn_entry(check, maps, threads, found);
		stacks->sought += found;
	}
	return found;
}

/* Where a thread that is blocked has its stack, at most `most` bytes of it. False: not known. */
static bool foresee_stack(const struct survey *survey, const struct thread *thread, size_t most, struct iovec *piece)
{
	const struct mapping *mapping;
	struct task_call call;
	uint64_t start;

	if (thread->state != THREAD_RUNNING || !process_task_call(survey->process, thread->tid, &call) || !call.blocked)
		return false;
	start = call.stack & ~7ul;
	mapping = maps_find(&survey->maps, start);
	if (!mapping || !mapping->read)
		return false;
	*piece = (struct iovec){ (void *)start, mapping->range.end - start < most ? mapping->range.end - start : most };
	return true;
}

void stacks_rehearse(const struct stack_check *check, const struct threads *threads)
{
	size_t most = threads->count < MANY ? REHEARSED_MAX : REHEARSED_OF_MANY;

	for (size_t i = 0; i < threads->count;) {
		struct iovec pieces[STACKS_AT_ONCE];
		size_t count = 0, size = 0;
		pid_t tid = threads->item[i].tid;

		for (; i < threads->count && count < STACKS_AT_ONCE; i++)
			if (foresee_stack(check->survey, &threads->item[i], most, &pieces[count]))
				size += pieces[count++].iov_len;
		if (count && process_read_pieces(tid, pieces, count, check->stacks->bytes, size))
			(void)!scan_words_either(&check->set, &check->restorers, (const uint64_t *)(const void *)check->stacks->bytes,
						 size / sizeof(uint64_t));
	}
}
