/*
 * What may interrupt it: as for a stack (stacks.c), nothing. Pages that have never been touched are not read, because that would
 * give them memory: /proc/PID/pagemap tells which ones hold something.
 */
#include "live/contexts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u
#define CHUNK (1u << 20)	/* bytes that are read at a time */
#define CHUNK_PAGES (CHUNK / PAGE)
#define PAGE_PRESENT (UINT64_C(1) << 63)	/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGE_SWAPPED (UINT64_C(1) << 62)

struct search {
	const struct stack_check *check;
	const struct scan_set *set;		/* words that are looked for */
	bool (*hit)(struct search *search, uint64_t word, uint64_t place);	/* one is found; false: search no further */
	const struct maps *maps;
	ARRAY(struct range) own;	/* stacks of threads, and stent's own tables, sorted */
	pid_t tid;			/* of a stopped thread */
	int pagemap;			/* descriptor, or -1 */
	uint64_t left;			/* bytes that may still be read */
	uint64_t *bytes;		/* CHUNK */
	bool found;			/* a context that makecontext() has made */
	struct stack_result *result;
};

static bool stop(struct search *search, enum stack_verdict verdict, const char *text)
{
	search->result->verdict = verdict;
	snprintf(search->result->text, sizeof(search->result->text), "%s (%s)", text, search->check->survey->switches);
	return false;
}

static bool is_entry(const struct stack_check *check, uint64_t address)
{
	for (size_t i = 0; i < check->ranges.count; i++)
		if (check->ranges.item[i].start == address)
			return true;
	return false;
}

/* The end of a range is a place of the code that is left only behind a call that does not return. */
static bool is_other_entry(const struct stack_check *check, uint64_t address)
{
	const struct unwind_module *module;
	bool ends = false;

	for (size_t i = 0; i < check->ranges.count; i++) {
		if (range_holds(check->ranges.item[i], address))
			return false;
		ends |= check->ranges.item[i].end == address;
	}
	module = unwind_module_find(check->survey->modules.item, check->survey->modules.count, address - 1);
	return ends && module && module->text &&
	       !check->arch->ends_with_call(module->text + (address - module->code.start), address - module->code.start);
}

static bool hit_code(struct search *search, uint64_t word, uint64_t place)
{
	char text[160];

	if (is_entry(search->check, word) || is_other_entry(search->check, word))
		return true;
	snprintf(text, sizeof(text), "a suspended context may be in %s: 0x%" PRIx64 " is at 0x%" PRIx64,
		 stack_check_name(search->check, word), word, place);
	return stop(search, STACK_INSIDE, text);
}

static bool hit_context(struct search *search, uint64_t word, uint64_t place)
{
	const struct survey *survey = search->check->survey;

	(void)place;
	for (size_t i = 0; i < survey->context_starts.count; i++)
		search->found |= survey->context_starts.item[i] == word;
	return !search->found;
}

static bool search_words(struct search *search, uint64_t start, size_t count)
{
	for (size_t at = scan_words(search->set, search->bytes, count); at < count;
	     at += 1 + scan_words(search->set, search->bytes + at + 1, count - at - 1))
		if (!search->hit(search, search->bytes[at], start + 8 * at))
			return false;
	return true;
}

static bool search_run(struct search *search, const struct mapping *mapping, uint64_t start, uint64_t size)
{
	if (size > search->left)
		return stop(search, STACK_UNRELIABLE, "suspended contexts may be in more memory than is searched");
	search->left -= size;
	if (process_read_stopped(search->tid, start, search->bytes, size))
		return search_words(search, start, size / sizeof(uint64_t));
	/* The memory of a device is no stack. */
	if (mapping->inode && !strncmp(mapping->name, "/dev/", 5))
		return true;
	return stop(search, STACK_UNRELIABLE, "memory in which suspended contexts may be can't be read");
}

/* Up to CHUNK bytes from a page's start on: the runs of pages that hold something. */
static bool search_chunk(struct search *search, const struct mapping *mapping, uint64_t start, uint64_t end)
{
	uint64_t entries[CHUNK_PAGES];
	size_t pages = (end - start) / PAGE, run = 0;
	ssize_t size = (ssize_t)(pages * sizeof(*entries));

	if (search->pagemap < 0 ||
	    pread(search->pagemap, entries, (size_t)size, (off_t)(start / PAGE * sizeof(*entries))) != size)
		return search_run(search, mapping, start, end - start);
	for (size_t i = 0; i <= pages; i++) {
		if (i < pages && (entries[i] & (PAGE_PRESENT | PAGE_SWAPPED)))
			continue;
		if (i > run && !search_run(search, mapping, start + run * PAGE, (i - run) * PAGE))
			return false;
		run = i + 1;
	}
	return true;
}

static bool search_range(struct search *search, const struct mapping *mapping, struct range range)
{
	for (uint64_t at = range.start; at < range.end; at += CHUNK)
		if (!search_chunk(search, mapping, at, range.end - at > CHUNK ? at + CHUNK : range.end))
			return false;
	return true;
}

/* The pages of a mapping that are not, as a whole, known to be something else. */
static bool search_mapping(struct search *search, const struct mapping *mapping)
{
	uint64_t at = mapping->range.start;

	for (size_t i = 0; i < search->own.count; i++) {
		struct range own = search->own.item[i];

		if (own.end <= at || own.start >= mapping->range.end)
			continue;
		if (own.start > at && !search_range(search, mapping, (struct range){ at, own.start }))
			return false;
		at = own.end;
	}
	return at >= mapping->range.end || search_range(search, mapping, (struct range){ at, mapping->range.end });
}

/*
 * A thread's own stack: above the stack pointer it has been checked, and what is below is dead. Where the mapping goes on above
 * the thread's control block, other memory has been joined to it, which counts.
 */
static void add_own_stack(struct search *search, const struct thread *thread)
{
	const struct mapping *mapping = maps_find(search->maps, registers_stack(&thread->registers));
	uint64_t control = registers_thread_pointer(&thread->registers);
	struct range stack;

	if (stack_find(search->check->survey, search->maps, thread, &stack))
		return;
	stack_walk(search->check->survey, search->maps, search->check->arch, thread, stack, NULL, NULL, search->check->trace);
	*array_add(&search->own) = (struct range){
		unwind_trace_proven(search->check->trace) ? mapping->range.start : stack.start,
		range_holds(mapping->range, control) ? control & ~(uint64_t)(PAGE - 1) : mapping->range.end,
	};
}

static int compare_ranges(const void *one, const void *other)
{
	const struct range *a = one, *b = other;

	return (a->start > b->start) - (a->start < b->start);
}

static void find_own_memory(struct search *search, const struct threads *threads)
{
	for (size_t i = 0; i < threads->count; i++) {
		const struct thread *thread = &threads->item[i];

		if (thread->state != THREAD_STOPPED || thread->unreadable)
			continue;
		search->tid = thread->tid;
		add_own_stack(search, thread);
	}
	for (size_t i = 0; i < search->check->tables.count; i++)
		*array_add(&search->own) = search->check->tables.item[i];
	if (search->own.count)
		qsort(search->own.item, search->own.count, sizeof(struct range), compare_ranges);
}

static void search_memory(struct search *search)
{
	search->left = search->check->survey->search;
	for (size_t i = 0; i < search->maps->count; i++) {
		const struct mapping *mapping = &search->maps->item[i];

		if (mapping->read && mapping->write && !search_mapping(search, mapping))
			return;
	}
}

/* Contexts that makecontext() makes can be told by what it puts on their stacks: without any there is nothing to search for. */
static bool has_contexts(struct search *search)
{
	const struct survey *survey = search->check->survey;
	ARRAY(struct range) starts = { 0 };
	struct scan_set set;

	if (!survey->made_contexts || !survey->context_starts.count)
		return true;
	for (size_t i = 0; i < survey->context_starts.count; i++)
		*array_add(&starts) = (struct range){ survey->context_starts.item[i], survey->context_starts.item[i] + 1 };
	scan_set_build(&set, starts.item, starts.count);
	search->set = &set;
	search->hit = hit_context;
	search_memory(search);
	search->set = NULL;
	scan_set_free(&set);
	array_free(&starts);
	return search->found || search->result->verdict != STACK_FREE;
}

void contexts_check(const struct stack_check *check, const struct maps *maps, const struct threads *threads,
		    struct stack_result *result)
{
	struct search search = { .check = check, .maps = maps, .result = result };

	*result = (struct stack_result){ .verdict = STACK_FREE };
	if (!check->survey->switches)
		return;
	search.pagemap = openat(check->survey->process->directory, "pagemap", O_RDONLY | O_CLOEXEC);
	search.bytes = memory_resize(NULL, CHUNK, 1);
	find_own_memory(&search, threads);
	/* (Without a thread all have ended.) */
	if (search.tid && has_contexts(&search) && result->verdict == STACK_FREE) {
		search.set = &check->set;
		search.hit = hit_code;
		search_memory(&search);
	}
	if (search.pagemap >= 0)
		close(search.pagemap);
	free(search.bytes);
	array_free(&search.own);
}
