/* What may interrupt a search in a stop: as for a stack (stacks.c), nothing. While the process runs: sweep.c. */
#include "live/contexts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096u
#define WIRE_WAIT 10000000000u	/* ns for a breakpoint to become free, at most, */
#define WIRE_NAP 100000000	/* and between two looks */
#define STALE_MAX 4096u		/* pages that are to be avoided; of a process with more, the first ones that are found */

struct search {
	const struct survey *survey;
	const struct stack_check *check;	/* with all threads stopped; or NULL */
	const struct maps *maps;
	ARRAY(struct range) own;	/* stacks of threads, and stent's own tables, sorted */
	pid_t tid;			/* of a stopped thread; 0: the process runs */
	struct word_search *words;
	struct pages pages;
	bool found;			/* a context that makecontext() has made */
	struct stack_result *result;
	struct place_avoid *stale;	/* pages that words lead to although nothing is there */
};

static bool stop(struct search *search, enum stack_verdict verdict, const char *text)
{
	if (!search->result)
		return false;
	search->result->verdict = verdict;
	snprintf(search->result->text, sizeof(search->result->text), "%s (%s)", text, search->survey->switches);
	return false;
}

/*
 * The start of a range is an entry, of this function or of the next one. It is a place to return to as well, of the range that ends
 * there, but only behind a call that does not return.
 */
static bool is_entry(const struct stack_check *check, uint64_t address)
{
	const struct unwind_module *module;
	bool starts = false, inside = false, ends = false;

	for (size_t i = 0; i < check->ranges.count; i++) {
		starts |= check->ranges.item[i].start == address;
		inside |= range_holds(check->ranges.item[i], address);
		ends |= check->ranges.item[i].end == address;
	}
	if (!ends || (inside && !starts))
		return starts;
	module = unwind_module_find(check->survey->modules.item, check->survey->modules.count, address - 1);
	return module && module->text &&
	       !check->arch->ends_with_call(module->text + (address - module->code.start), address - module->code.start);
}

/*
 * Anywhere, because a program may keep the stack of a coroutine elsewhere while it is suspended, at an address of any alignment (libraries that run all
 * coroutines on one stack copy it from the address of some variable on).
 */
static bool hit_code(void *context, uint64_t word, uint64_t place)
{
	struct search *search = context;
	char text[160];

	if (is_entry(search->check, word))
		return true;
	/* (Where two functions meet it is behind the call that the first one ends with.) */
	snprintf(text, sizeof(text), "a suspended context may be in %s: 0x%" PRIx64 " is at 0x%" PRIx64,
		 stack_check_name(search->check, word - 1), word, place);
	return stop(search, STACK_INSIDE, text);
}

static bool hit_context(void *context, uint64_t word, uint64_t place)
{
	struct search *search = context;
	const struct survey *survey = search->survey;

	(void)place;
	for (size_t i = 0; i < survey->makers.count; i++)
		search->found |= survey->makers.item[i].words.start == word;
	return !search->found;
}

static bool hit_gap(void *context, uint64_t word, uint64_t place)
{
	struct search *search = context;
	struct range page = { word & ~(uint64_t)(PAGE - 1), (word & ~(uint64_t)(PAGE - 1)) + PAGE };

	(void)place;
	if (maps_find(search->maps, word) ||
	    (search->stale->count && search->stale->item[search->stale->count - 1].start == page.start))
		return true;
	*array_add(search->stale) = page;
	return search->stale->count < STALE_MAX;
}

static bool hit_unreadable(void *context, struct range run)
{
	struct search *search = context;
	const struct mapping *mapping = maps_find(search->maps, run.start);

	/* What has gone meanwhile leads nowhere. */
	if (!search->tid || (mapping && mapping_of_device(mapping)))
		return true;
	return stop(search, STACK_UNRELIABLE, "memory in which suspended contexts may be can't be read");
}

/* The pages of a mapping that are not, as a whole, known to be something else. */
static bool add_mapping(struct search *search, const struct mapping *mapping)
{
	uint64_t at = mapping->range.start;

	for (size_t i = 0; i < search->own.count; i++) {
		struct range own = search->own.item[i];

		if (own.end <= at || own.start >= mapping->range.end)
			continue;
		if (own.start > at && !word_search_add(search->words, &search->pages, (struct range){ at, own.start }))
			return false;
		at = own.end;
	}
	return at >= mapping->range.end || word_search_add(search->words, &search->pages, (struct range){ at, mapping->range.end });
}

/* What there is to search. False: it is more than may be. */
static bool add_memory(struct search *search)
{
	bool all = true;

	word_search_clear(search->words);
	pages_open(search->survey->process, false, search->survey->search, &search->pages);
	for (size_t i = 0; i < search->maps->count && all; i++) {
		const struct mapping *mapping = &search->maps->item[i];

		if (sweep_counts(mapping, &search->pages.own))
			all = add_mapping(search, mapping);
	}
	pages_close(&search->pages);
	return all;
}

static void search_for(struct search *search, const struct scan_set *set, bool anywhere,
		       bool (*hit)(void *context, uint64_t word, uint64_t place))
{
	const struct word_visit visit = {
		.process = search->survey->process,
		.tid = search->tid,
		.set = set,
		.anywhere = anywhere,
		.hit = hit,
		.unreadable = hit_unreadable,
		.context = search,
	};

	(void)word_search_run(search->words, &visit);
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

	if (stack_find(search->survey, search->maps, thread, &stack))
		return;
	stack_walk(search->survey, search->maps, search->check->arch, thread, stack, NULL, NULL, search->check->trace);
	*array_add(&search->own) = (struct range){
		unwind_trace_proven(search->check->trace) ? stack_bottom(search->maps, thread, stack) : stack.start,
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

/*
 * Contexts that makecontext() makes can be told by what it puts on their stacks, wherever these are kept: without any there is nothing to search for.
 * (One that has ended has the address behind a call there, and may have left more on its stack.)
 */
static bool has_contexts(struct search *search)
{
	const struct survey *survey = search->survey;
	ARRAY(struct range) words = { 0 };
	struct scan_set set;

	if (!survey->made_contexts || survey->unknown_maker || !survey->makers.count)
		return true;
	for (size_t i = 0; i < survey->makers.count; i++)
		*array_add(&words) = (struct range){ survey->makers.item[i].words.start, survey->makers.item[i].words.start + 1 };
	scan_set_build(&set, words.item, words.count);
	search_for(search, &set, true, hit_context);
	scan_set_free(&set);
	array_free(&words);
	return search->found || search->result->verdict != STACK_FREE;
}

struct contexts *contexts_new(const struct live_options *options)
{
	struct contexts *contexts = memory_zeroed(1, sizeof(*contexts));
	uint64_t timeout = options->no_wait ? 0 : (uint64_t)options->timeout * 1000000;

	contexts->kin = options->kin;
	contexts->wait = timeout < WIRE_WAIT ? timeout : WIRE_WAIT;
	return contexts;
}

void contexts_free(struct contexts *contexts)
{
	if (!contexts)
		return;
	tripwire_remove(&contexts->wire);
	if (contexts->words.bytes)
		word_search_close(&contexts->words);
	free(contexts);
}

/*
 * Other stents have the processor's breakpoints for as long as they need them. A debugger has them for longer: where they were waited for in vain once,
 * they are not again.
 */
static bool wait_for_wire(const struct contexts *contexts, const struct survey *survey, const struct patience *patience, struct tripwire *wire)
{
	const struct timespec nap = { 0, WIRE_NAP };
	static bool in_vain;
	uint64_t wait = in_vain ? 0 : contexts->wait, end = clock_now() + wait;
	bool set;

	while (!(set = sweep_watch(survey, wire)) && errno == ENOSPC && clock_now() < end && !patience_over(patience))
		nanosleep(&nap, NULL);
	in_vain |= !set && wait && clock_now() >= end;
	return set;
}

/* *swept: what need not be swept any more. */
static bool set_wire(struct contexts *contexts, const struct survey *survey, const struct patience *patience, const struct swept **swept)
{
	*swept = kin_join(contexts->kin, survey, patience, &contexts->wire);
	if (*swept)
		return true;
	tripwire_remove(&contexts->wire);
	return wait_for_wire(contexts, survey, patience, &contexts->wire);
}

/*
 * Is it known, from now on, that there is none? The wire is set before the memory is swept, so who makes one later comes to it, or is within
 * makecontext() still: transition_prepare() has that in the way.
 */
static bool look_for_none(struct contexts *contexts, const struct survey *survey, const struct patience *patience)
{
	const struct swept *swept;

	if (!survey->made_contexts || contexts->seen || !set_wire(contexts, survey, patience, &swept))
		return false;
	contexts->none = sweep_is_clean(survey, swept, patience);
	contexts->seen = !contexts->none;
	if (contexts->seen)
		tripwire_remove(&contexts->wire);
	return contexts->none;
}

static bool still_has_none(struct contexts *contexts)
{
	if (!contexts->none)
		return false;
	if (tripwire_untouched(&contexts->wire) && tripwire_check(&contexts->wire))
		return true;
	tripwire_remove(&contexts->wire);
	return contexts->none = false;
}

static const char *too_much = "suspended contexts may be in more memory than is searched";

void contexts_rehearse(struct contexts *contexts, const struct survey *survey, const struct patience *patience, struct stack_result *result)
{
	struct search search = { .survey = survey, .maps = &survey->maps, .words = &contexts->words, .result = result };
	bool first = !contexts->words.bytes;

	*result = (struct stack_result){ .verdict = STACK_FREE };
	if (!survey->switches || still_has_none(contexts))
		return;
	/* Others may have had all breakpoints, or made a context that has ended since. */
	if ((first || contexts->too_much) && look_for_none(contexts, survey, patience))
		return;
	if (first)
		word_search_open(true, &contexts->words);
	contexts->too_much = !add_memory(&search);
	if (contexts->too_much)
		stop(&search, STACK_UNRELIABLE, too_much);
	else if (first)
		search_for(&search, NULL, false, NULL);
}

void contexts_ready(struct contexts *contexts)
{
	if (contexts && contexts->none)
		(void)!tripwire_check(&contexts->wire);	/* if it isn't whole, the stop finds that, too */
}

bool contexts_to_search(const struct contexts *contexts)
{
	return contexts && !contexts->none;
}

bool contexts_still_none(struct contexts *contexts)
{
	return contexts && contexts->none && tripwire_holds(&contexts->wire);
}

void contexts_check(struct contexts *contexts, const struct stack_check *check, const struct maps *maps, const struct threads *threads,
		    struct stack_result *result)
{
	struct search search = { .survey = check->survey, .check = check, .maps = maps, .words = &contexts->words, .result = result };
	uint64_t begun = clock_now();

	*result = (struct stack_result){ .verdict = STACK_FREE };
	contexts->size = contexts->took = 0;
	if (!check->survey->switches)
		return;
	if (contexts->none) {
		/* (Nothing is prepared for a search now.) */
		if (!contexts_still_none(contexts))
			stop(&search, STACK_UNRELIABLE, "a context may have been made just now");
		return;
	}
	find_own_memory(&search, threads);
	/* (Without a thread all have ended.) */
	if (search.tid && !add_memory(&search)) {
		stop(&search, STACK_UNRELIABLE, too_much);
	} else if (search.tid) {
		contexts->size = contexts->words.size;
		if (has_contexts(&search) && result->verdict == STACK_FREE)
			search_for(&search, &check->set, true, hit_code);
	}
	contexts->took = clock_now() - begun;
	array_free(&search.own);
}

void contexts_avoid(const struct survey *survey, const struct maps *maps, const struct range *windows, size_t count,
		    struct place_avoid *avoid)
{
	struct word_search words;
	struct search search = { .survey = survey, .maps = maps, .words = &words, .stale = avoid };
	struct scan_set set;

	if (!survey->switches)
		return;
	word_search_open(false, &words);
	scan_set_build(&set, windows, count);
	(void)add_memory(&search);	/* what there is more of is left out */
	search_for(&search, &set, false, hit_gap);
	scan_set_free(&set);
	word_search_close(&words);
	if (avoid->count)
		qsort(avoid->item, avoid->count, sizeof(struct range), compare_ranges);
}
