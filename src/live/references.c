/*
 * What may interrupt it: as for a stack (stacks.c), nothing. It only reads, and no page that has never been touched.
 */
#include "live/references.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live/digest.h"
#include "live/pages.h"
#include "live/stacks.h"

#define PAGE 4096u
#define UPPER 16		/* bits of a word that are no part of a program's address */
#define NEAR (64u << 20)	/* targets no farther from each other are looked for in one pass */
#define CONTROL_MAX 65536u	/* bytes of a thread's control block, and what may be behind it to the end of its stack */
#define STACK_MAX (1ul << 30)

struct search {
	struct references *references;
	const struct process *process;
	struct pages pages;
	struct scan_set set;		/* all targets */
	ARRAY(struct range) groups;	/* bounds of targets that are near each other */
	bool guarded;
	uint64_t guard;			/* by which the C library hides addresses */
	pid_t tid;			/* of a stopped thread */
	const struct mapping *mapping;	/* that is searched, */
	struct range part;		/* and which part of it now */
	uint64_t left;
	uint8_t *bytes;			/* CARRY, then PAGES_RUN_MAX */
	uint64_t end;			/* where the last run ended, whose last bytes stand before those of the next one */
	bool measuring;
	bool done;			/* every owner has a reason */
};

#define CARRY 8u	/* a word may begin in one run and end in the next */

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

/* For all owners. */
static void note_all(struct references *references, const char *why)
{
	for (size_t i = 0; i < references->why.count; i++)
		references_note(references, i, text_copy(why));
}

bool references_open(const struct references *references)
{
	for (size_t i = 0; i < references->why.count; i++)
		if (!references->why.item[i])
			return true;
	return false;
}

static const char *name_of(const struct mapping *mapping)
{
	return *mapping->name ? mapping->name : "anonymous memory";
}

/* A value that stands at an address. */
static void hit(struct search *search, uint64_t value, uint64_t at)
{
	struct references *references = search->references;
	size_t owner = references_owner(references, value);

	if (owner == SIZE_MAX || owner == references_owner(references, at))
		return;
	references_note(references, owner, text_format("0x%" PRIx64 " in %s may be a pointer into it: 0x%" PRIx64, at,
						       name_of(search->mapping), value));
	search->done = !references_open(references);
}

static uint64_t without_upper(uint64_t word)
{
	return word << UPPER >> UPPER;
}

/* Aligned words with something in the upper bits, and hidden ones. */
static void search_words(struct search *search, uint64_t start, const uint64_t *words, size_t count)
{
	for (size_t group = 0; group < search->groups.count; group++) {
		uint64_t from = search->groups.item[group].start, span = search->groups.item[group].end - from + 1;

		for (size_t i = 0; i < count && !search->done; i++) {
			uint64_t revealed = registers_reveal(words[i], search->guard);

			if ((without_upper(words[i]) - from >= span) & (revealed - from >= span))
				continue;
			hit(search, without_upper(words[i]), start + i * sizeof(*words));
			if (search->guarded)
				hit(search, revealed, start + i * sizeof(*words));
		}
	}
}

/* `bytes` stand at `start`. */
static void search_bytes(struct search *search, uint64_t start, const uint8_t *bytes, size_t size)
{
	for (size_t at = scan_bytes(&search->set, bytes, size); at < size && !search->done;
	     at += 1 + scan_bytes(&search->set, bytes + at + 1, size - at - 1))
		hit(search, load64(bytes + at), start + at);
}

static bool too_much(struct search *search)
{
	char *why = text_format("more than %" PRIu64 " MiB would have to be searched for pointers into it (--reclaim)",
				search->references->limit >> 20);

	note_all(search->references, why);
	free(why);
	search->done = true;
	return false;
}

static bool read_run(const struct search *search, struct range run)
{
	uint8_t *to = search->bytes + CARRY;

	/* (The second way reads what the program itself may not, and costs more.) */
	return process_read_stopped(search->tid, run.start, to, run.end - run.start) ||
	       process_read(search->process, run.start, to, run.end - run.start);
}

/* What is at run.start stands behind the carry. */
static void search_run(struct search *search, struct range run)
{
	uint8_t *bytes = search->bytes + CARRY;
	size_t size = run.end - run.start, before = search->end == run.start ? CARRY : 0;

	search_words(search, run.start, (const uint64_t *)(const void *)bytes, size / sizeof(uint64_t));
	search_bytes(search, run.start - before, bytes - before, size + before);
	memcpy(search->bytes, bytes + size - CARRY, CARRY);
	search->end = run.end;
}

static bool is_device(const struct mapping *mapping)
{
	return mapping->inode && !strncmp(mapping->name, "/dev/", 5) && strncmp(mapping->name, "/dev/shm/", 9) != 0 &&
	       strncmp(mapping->name, "/dev/zero", 9) != 0;
}

static bool visit_run(void *context, struct range run)
{
	struct search *search = context;
	uint64_t size;

	run.start = run.start < search->part.start ? search->part.start : run.start;
	run.end = run.end > search->part.end ? search->part.end : run.end;
	size = run.end - run.start;
	if (size + 8 * search->pages.entries > search->left)
		return too_much(search);
	search->left -= size;
	if (search->measuring)
		return true;
	if (read_run(search, run)) {
		search_run(search, run);
	} else if (!is_device(search->mapping)) {
		char *why = text_format("what is at 0x%" PRIx64 " in %s can't be read", run.start, name_of(search->mapping));

		note_all(search->references, why);
		free(why);
		search->done = true;
	}
	return !search->done;
}

/*
 * Of a shared mapping the page table does not tell what there is: a page stays with the file when the process has dropped it. It is read
 * through the file, where that has something, so that nothing changes in the process. False: it can't be.
 */
static bool search_file(struct search *search, const struct mapping *mapping)
{
	char *path = text_format("/proc/%d/map_files/%" PRIx64 "-%" PRIx64, process_living_task(search->process), mapping->range.start,
				 mapping->range.end);
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	off_t at = (off_t)mapping->offset, end = at + (off_t)(mapping->range.end - mapping->range.start);
	bool known = file >= 0;

	free(path);
	while (known && !search->done && at < end) {
		off_t data = lseek(file, at, SEEK_DATA), hole = data < 0 ? data : lseek(file, data, SEEK_HOLE);
		size_t size;

		if (data >= end || (data < 0 && errno == ENXIO))
			break;
		known = data >= 0 && hole > data;
		if (!known)
			break;
		size = (size_t)((hole < end ? hole : end) - data);
		size = size > PAGES_RUN_MAX ? PAGES_RUN_MAX : size;
		if (size > search->left)
			too_much(search);
		search->left -= search->done ? 0 : size;
		if (!search->done && !search->measuring) {
			struct range run = { mapping->range.start + (uint64_t)data - mapping->offset, 0 };
			ssize_t got = pread(file, search->bytes + CARRY, size, data);

			known = got >= (ssize_t)CARRY;
			run.end = known ? run.start + ((uint64_t)got & ~7ul) : run.start;
			size = run.end - run.start;
			if (known)
				search_run(search, run);
		}
		at = data + (off_t)size;
	}
	if (file >= 0)
		close(file);
	return known;
}

/* What can hold nothing that the program wrote. */
static bool is_read_only(const struct mapping *mapping)
{
	return mapping_special(mapping, "[vdso]") || mapping_special(mapping, "[vvar]") || mapping_special(mapping, "[vvar_vclock]") ||
	       mapping_special(mapping, "[vsyscall]") ||
	       (mapping->shared && !mapping->write && !mapping->execute && strncmp(mapping->name, "/memfd:", 7) != 0);
}

static struct range whole_pages(struct range range)
{
	return (struct range){ range.start & ~(uint64_t)(PAGE - 1), (range.end + PAGE - 1) & ~(uint64_t)(PAGE - 1) };
}

static bool is_passed_by(const struct references *references, struct range range)
{
	for (size_t i = 0; i < references->passed_by.count; i++)
		if (references->passed_by.item[i].start <= range.start && references->passed_by.item[i].end >= range.end)
			return true;
	return false;
}

/* Code that the program itself has made (a JIT compiler) can refer to what is near without holding an address: nothing is known of that. */
static void look_at_code(struct search *search, const struct mapping *mapping)
{
	struct references *references = search->references;
	const uint64_t reach = references->arch->reach;

	if (!mapping->execute || (mapping->inode && !mapping->shared) || is_passed_by(references, mapping->range))
		return;
	for (size_t i = 0; i < references->targets.count; i++) {
		const struct reference_target *target = &references->targets.item[i];

		if (target->range.start < mapping->range.end + reach && mapping->range.start < target->range.end + reach)
			references_note(references, target->owner, text_format("the code at 0x%" PRIx64 ", which is of no image, may refer to it",
									       mapping->range.start));
	}
	search->done = !references_open(references);
}

/* The parts of a mapping that are not passed by. passed_by is sorted. */
static void search_mapping(struct search *search, const struct mapping *mapping)
{
	const struct references *references = search->references;
	uint64_t at = mapping->range.start;

	search->mapping = mapping;
	if (is_read_only(mapping))
		return;
	if (!search->measuring)
		look_at_code(search, mapping);
	if (search->done || (mapping->shared && !is_device(mapping) && search_file(search, mapping)))
		return;
	search->pages.own = !mapping->shared;
	for (size_t i = 0; i <= references->passed_by.count && !search->done; i++) {
		bool last = i == references->passed_by.count;
		struct range passed = last ? (struct range){ mapping->range.end, UINT64_MAX } : references->passed_by.item[i];

		if (passed.end <= at)
			continue;
		passed.start = passed.start < mapping->range.end ? passed.start : mapping->range.end;
		if (passed.start > at) {
			search->part = (struct range){ at, passed.start };
			(void)!pages_each(&search->pages, whole_pages(search->part), visit_run, search);
		}
		at = passed.end;
		if (at >= mapping->range.end)
			break;
	}
}

static void search_memory(struct search *search, const struct maps *maps)
{
	for (size_t i = 0; i < maps->count && !search->done; i++)
		search_mapping(search, &maps->item[i]);
}

/* --- threads --- */

/*
 * Where a thread's stack begins, from what its control block says: the C library keeps the start and the size of the memory there, in two words that follow
 * each other (glibc: stackblock and stackblock_size of struct pthread, also where the program has given it the memory; musl: map_base
 * and map_size), and the block itself is at the end of that memory. 0: it is not said.
 */
static uint64_t find_bottom(const struct search *search, const struct mapping *mapping, uint64_t control, uint64_t pointer)
{
	uint64_t words[PAGE / sizeof(uint64_t)], bottom = 0;
	uint64_t size = mapping->range.end - control < sizeof(words) ? mapping->range.end - control : sizeof(words);

	if (control % sizeof(*words) || !process_read_stopped(search->tid, control, words, size))
		return 0;
	for (size_t i = 0; i + 1 < size / sizeof(*words); i++) {
		uint64_t end = words[i] + words[i + 1];

		if (words[i] < pointer && words[i + 1] <= STACK_MAX && end >= control && end - control <= CONTROL_MAX && words[i] > bottom)
			bottom = words[i];
	}
	return bottom && bottom < mapping->range.start ? mapping->range.start : bottom;
}

/* What is below the stack pointer of a thread that is proven to be on its own stack, and on nothing else that lies in it (a signal stack). */
static bool find_dead_part(const struct search *search, const struct thread *thread, struct unwind_trace *trace, struct range *dead)
{
	const struct survey *survey = search->references->survey;
	const struct maps *maps = search->references->maps;
	const struct mapping *mapping = maps_find(maps, registers_stack(&thread->registers));
	struct range stack;

	if (!mapping || stack_find(survey, maps, thread, &stack))
		return false;
	stack_walk(survey, maps, search->references->arch, thread, stack, NULL, NULL, trace);
	if (!unwind_trace_proven(trace))
		return false;
	*dead = (struct range){ mapping->range.start, stack.start };
	if (!mapping_special(mapping, "[stack]"))
		dead->start = find_bottom(search, mapping, registers_thread_pointer(&thread->registers), stack.start);
	return dead->start && dead->start < dead->end;
}

static void search_registers(struct search *search, const struct thread *thread)
{
	static _Alignas(64) uint8_t vectors[REGISTERS_VECTORS_MAX];
	struct references *references = search->references;
	const uint8_t *plain = (const uint8_t *)thread->registers.word;
	size_t size = registers_read_vectors(thread->tid, vectors), at;

	if (thread->unreadable || !size) {
		char *why = text_format("the registers of thread %d can't be read", thread->tid);

		note_all(references, why);
		free(why);
		return;
	}
	for (at = 0; (at += scan_bytes(&search->set, plain + at, sizeof(thread->registers.word) - at)) < sizeof(thread->registers.word); at++)
		references_note(references, references_owner(references, load64(plain + at)),
				text_format("a register of thread %d may point into it", thread->tid));
	for (at = 0; (at += scan_bytes(&search->set, vectors + at, size - at)) < size; at++)
		references_note(references, references_owner(references, load64(vectors + at)),
				text_format("a vector register of thread %d may point into it", thread->tid));
}

static void find_guard(struct search *search, const struct thread *thread)
{
	uint64_t pointer = registers_thread_pointer(&thread->registers);

	search->guarded |= pointer && process_read_stopped(thread->tid, pointer + REGISTERS_GUARD_AT, &search->guard, sizeof(search->guard));
}

static void search_threads(struct search *search, const struct threads *threads)
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
		search_registers(search, thread);
		find_guard(search, thread);
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

static void prepare(struct search *search)
{
	struct references *references = search->references;
	ARRAY(struct range) ranges = { 0 };

	for (size_t i = 0; i < references->targets.count; i++) {
		struct reference_target *target = &references->targets.item[i];

		target->range.end += PAGE;
		*array_add(&ranges) = target->range;
		while (references->why.count <= target->owner)
			*array_add(&references->why) = NULL;
	}
	scan_set_build(&search->set, ranges.item, ranges.count);
	for (size_t i = 0; i < search->set.count; i++) {
		struct range *last = search->groups.count ? &search->groups.item[search->groups.count - 1] : NULL;

		if (last && search->set.range[i].start - last->end < NEAR)
			last->end = search->set.range[i].end;
		else
			*array_add(&search->groups) = search->set.range[i];
	}
	array_free(&ranges);
}

static void begin(struct search *search, const struct process *process)
{
	search->process = process;
	pages_open(process, true, &search->pages);
	if (!search->measuring)
		search->bytes = memory_resize(NULL, CARRY + PAGES_RUN_MAX, 1);
}

static void end(struct search *search)
{
	pages_close(&search->pages);
	free(search->bytes);
	scan_set_free(&search->set);
	array_free(&search->groups);
}

uint64_t references_measure(const struct process *process, const struct maps *maps, const struct range *passed_by, size_t count)
{
	struct references references = { .maps = maps, .limit = UINT64_MAX };
	struct search search = { .references = &references, .measuring = true, .left = UINT64_MAX };

	for (size_t i = 0; i < count; i++)
		*array_add(&references.passed_by) = passed_by[i];
	sort(references.passed_by.item, references.passed_by.count);
	begin(&search, process);
	search_memory(&search, maps);
	end(&search);
	array_free(&references.passed_by);
	return UINT64_MAX - search.left + 8 * search.pages.entries;
}

void references_search(struct references *references, const struct threads *threads)
{
	struct search search = { .references = references, .left = references->limit };

	prepare(&search);
	begin(&search, references->survey->process);
	search_threads(&search, threads);
	sort(references->passed_by.item, references->passed_by.count);
	search.done = !references_open(references);
	if (search.tid)		/* (else all have ended) */
		search_memory(&search, references->maps);
	end(&search);
}

void references_free(struct references *references)
{
	for (size_t i = 0; i < references->why.count; i++)
		free(references->why.item[i]);
	array_free(&references->why);
	array_free(&references->targets);
	array_free(&references->passed_by);
}
