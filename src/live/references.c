/*
 * What may interrupt it: as for a stack (stacks.c), nothing. It only reads, and no page that has never been touched.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "live/digest.h"
#include "live/referring.h"
#include "live/stacks.h"

#define PAGE 4096u

size_t references_owner(const struct references *references, uint64_t value)
{
	for (size_t i = 0; i < references->targets.count; i++)
		if (value >= references->targets.item[i].range.start && value <= references->targets.item[i].range.end)
			return references->targets.item[i].owner;
	return SIZE_MAX;
}

void references_note(struct references *references, size_t owner, char *why)
{
	if (owner >= references->why.count || references->why.item[owner])
		free(why);
	else
		references->why.item[owner] = why;
}

bool references_open(const struct references *references)
{
	for (size_t i = 0; i < references->why.count; i++)
		if (!references->why.item[i])
			return true;
	return false;
}

void reference_give_up(struct reference_search *search, char *why)
{
	struct references *references = search->references;

	for (size_t i = 0; i < references->why.count; i++)
		references_note(references, i, text_copy(why));
	free(why);
	search->done = true;
}

/* --- threads --- */

/* What is below the stack pointer of a thread that is proven to be on its own stack, and on nothing else that lies in it (a signal stack). */
static bool find_dead_part(const struct reference_search *search, const struct thread *thread, struct unwind_trace *trace, struct range *dead)
{
	const struct survey *survey = search->references->survey;
	const struct maps *maps = search->references->maps;
	struct range stack;

	if (stack_find(survey, maps, thread, &stack))
		return false;
	stack_walk(survey, maps, search->references->arch, thread, stack, NULL, NULL, trace);
	if (!unwind_trace_proven(trace))
		return false;
	*dead = (struct range){ stack_bottom(maps, thread, stack), stack.start };
	return dead->start < dead->end;
}

static void search_registers(struct reference_search *search, const struct thread *thread)
{
	static _Alignas(64) uint64_t vectors[REGISTERS_VECTORS_MAX / sizeof(uint64_t)];
	const struct reference_place plain = { .name = "a register", .tid = thread->tid };
	const struct reference_place wide = { .name = "a vector register", .tid = thread->tid };
	size_t size = registers_read_vectors(thread->tid, (uint8_t *)vectors);

	if (thread->unreadable || !size) {
		reference_give_up(search, text_format("the registers of thread %d can't be read", thread->tid));
		return;
	}
	reference_search_words(search, &plain, thread->registers.word, sizeof(thread->registers.word) / sizeof(uint64_t));
	reference_search_words(search, &wide, vectors, size / sizeof(uint64_t));
	reference_search_bytes(search, &wide, (const uint8_t *)vectors, size);
}

static void find_guard(struct reference_search *search, const struct thread *thread)
{
	uint64_t pointer = registers_thread_pointer(&thread->registers);

	search->guarded |= pointer && process_read_stopped(thread->tid, pointer + REGISTERS_GUARD_AT, &search->guard, sizeof(search->guard));
}

static void search_threads(struct reference_search *search, const struct threads *threads)
{
	const struct survey *survey = search->references->survey;
	/* What a walk proves rests on unwind data, of the images that there were. */
	bool known = digest_code_files(search->references->maps) == digest_code_files(&survey->maps);
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));

	for (size_t i = 0; i < threads->count; i++) {
		const struct thread *thread = &threads->item[i];
		struct range dead;

		if (thread->state != THREAD_STOPPED)	/* it has ended */
			continue;
		search->tid = thread->tid;
		*array_add(&search->stacks) = registers_stack(&thread->registers);
		find_guard(search, thread);
		search_registers(search, thread);
		if (known && !thread->unreadable && find_dead_part(search, thread, trace, &dead))
			*array_add(&search->references->passed_by) = dead;
	}
	unwind_trace_free(trace);
	free(trace);
}

/* --- the whole --- */

static int compare_ranges(const void *one, const void *other)
{
	const struct range *a = one, *b = other;

	return (a->start > b->start) - (a->start < b->start);
}

static void sort(struct range *ranges, size_t count)
{
	if (count)
		qsort(ranges, count, sizeof(*ranges), compare_ranges);
}

static void add_owners(struct references *references)
{
	for (size_t i = 0; i < references->targets.count; i++) {
		struct reference_target *target = &references->targets.item[i];

		target->range.end += PAGE;
		while (references->why.count <= target->owner)
			*array_add(&references->why) = NULL;
	}
}

bool references_fit(const struct process *process, const struct maps *maps, const struct range *passed_by, size_t count, uint64_t limit,
		    bool *swapped)
{
	struct references references = { .maps = maps, .limit = limit };
	struct reference_search search = { .references = &references, .process = process, .measuring = true };

	for (size_t i = 0; i < count; i++)
		*array_add(&references.passed_by) = passed_by[i];
	sort(references.passed_by.item, references.passed_by.count);
	reference_search_memory(&search);
	array_free(&references.passed_by);
	*swapped = search.pages.swapped;
	return !search.done;
}

void references_search(struct references *references, const struct threads *threads)
{
	struct reference_search search = { .references = references, .process = references->survey->process };

	add_owners(references);
	reference_prepare(&search);
	search_threads(&search, threads);
	sort(references->passed_by.item, references->passed_by.count);
	search.done = !references_open(references);
	if (search.tid)		/* (else all have ended) */
		reference_search_memory(&search);
	scan_set_free(&search.high);
	array_free(&search.groups);
	array_free(&search.stacks);
}

void references_free(struct references *references)
{
	for (size_t i = 0; i < references->why.count; i++)
		free(references->why.item[i]);
	array_free(&references->why);
	array_free(&references->targets);
	array_free(&references->passed_by);
}
