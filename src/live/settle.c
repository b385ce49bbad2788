/*
 * A stop of all threads: the transition begins, is taken over from a killed stent, turns round and ends in one of these, and
 * always by the same steps. Where stent is killed between any two of them, all threads run on as they are:
 *
 *	selector := what all run	(once, and unless it stands there)
 *	ledger INSTALLING/REVERTING	the next stent takes over, beginning with a stop of all
 *	entries of the table		nobody reads them before the selector is 0. Later: only those of threads that are free now
 *					change, and of threads that are no more. Values before keys
 *	fallback			(after the entries: whoever is not of the new mind has one by now)
 *	unwinders know new code		(once) finders.h; nobody is in it yet
 *	entries := jump to dispatcher	(once) the selector still says what all run: the same as before
 *	if all have arrived:
 *	  selector := their version	the commit, one aligned 8-byte store
 *	  entries := settled or original	what dispatchers would have said
 *	  ledgers of replaced patches	nothing leads to them, or, on the way back, to this one's new code
 *	  unwinders forget it		if it is left
 *	  ledger ACTIVE/REVERTED
 *	else:
 *	  selector := 0			each goes by its own entry from here on
 *
 * Nobody is in the bytes behind the first of an entry, on its way back into them, or in a dispatcher with what it read
 * before the table was filled anew: where that can't be proven, the transition does not begin now.
 * docs/model.md shows why each order is needed; tests/model that nothing else is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "live/contexts.h"
#include "live/finders.h"
#include "live/leavings.h"
#include "live/stacking.h"
#include "live/transiting.h"
#include "process/sharing.h"

/* A thread in this stop. */
struct arrival {
	const struct thread *thread;
	uint64_t pointer;	/* its thread pointer */
	enum version now;
	bool free, shared;
	bool in_entry;		/* it is about to go on in an entry that is to be redirected */
	char *text;		/* why it is not free; NULL: it is. Owned */
};

struct settling {
	struct transition *transition;
	struct maps maps;
	struct versions versions;
	ARRAY(struct arrival) arrivals;
	bool first;		/* nobody goes by the table: entries may have no jumps, or not all */
	bool as_left;		/* all stands in the process that the last step of stent's has left there, the selector as well */
	bool all;		/* every thread is there, or can go there now */
	bool force;		/* because the user says so */
};

static void block(struct transition *transition, pid_t tid, const char *text)
{
	blockers_add(&transition->blockers, transition->survey->process, tid, text);
}

/* Where it has not begun: what mostly is so, asked by one system call. If it isn't, those who look one by one say what is wrong, if anything is. */
static bool stands_as_left(const struct transition *transition)
{
	const struct ledger *ledger = transition->ledger;
	uint64_t selector = versions_table(ledger, transition_from(transition));
	bool put = transition->to == VERSION_OLD, stands;
	struct process_pieces pieces = { 0 };
	struct ledger_words words;

	ledger_list_header(ledger, &words, &pieces);
	finders_list_sites(ledger, put, &pieces);
	versions_list_sites(ledger, put ? SITE_SETTLED : SITE_ORIGINAL, &pieces);
	*array_add(&pieces) = (struct process_bytes){ ledger->dispatch.selector, &selector, sizeof(selector) };
	stands = process_holds(transition->survey->process, pieces.item, pieces.count);
	array_free(&pieces);
	return stands;
}

/* The process is still the one that was prepared, and its entries hold what they should. */
static enum status check_process(struct settling *settling, struct error *error)
{
	const struct transition *transition = settling->transition;
	const struct process *process = transition->survey->process;
	const struct ledger *ledger = transition->ledger;
	unsigned int allowed = transition->to == VERSION_NEW ? SITE_ORIGINAL : SITE_SETTLED;

	settling->as_left = !transition_is_on(transition) && stands_as_left(transition);
	if (settling->as_left)
		return STATUS_OK;
	/* The region may have been unmapped, or another one may have come to lie at its place. (After exec() nothing can be read.) */
	if (!ledger_is_there(process, ledger))
		return fail(error, "process %d (%s) has executed another program or unmapped the patch meanwhile",
			    process->pid, process->comm);
	/* What a killed stent left half done; but where each goes by its own entry all are jumps, or the image was mapped anew. */
	if (transition_is_on(transition))
		allowed = settling->versions.selector ? SITE_ORIGINAL | SITE_JUMP | SITE_SETTLED : SITE_JUMP;
	if (finders_check_sites(transition->survey, ledger, error) != STATUS_OK)
		return STATUS_REFUSED;
	return versions_check_sites(process, ledger, allowed, error);
}

/* Would the thread go on somewhere in the ranges? Other than stack_check_read() this asks for where it goes on, not for whose code. */
static bool goes_on_in(const struct stack_check *check, const struct maps *maps, const struct thread *thread,
		       const struct stack *stack)
{
	struct stack_result result;

	stack_check_read(check, maps, thread, stack, &result);
	if (result.verdict == STACK_FREE)
		return false;
	if (!result.walked || !unwind_trace_proven(check->trace))
		return true;
	for (size_t i = 0; i < check->trace->frames.count; i++)
		for (size_t j = 0; j < check->ranges.count; j++)
			if (range_holds(check->ranges.item[j], check->trace->frames.item[i].pc))
				return true;
	return false;
}

/* Entries can't be redirected under a thread that is about to go on in their middle. */
static bool can_begin(struct settling *settling)
{
	struct transition *transition = settling->transition;
	bool can = true;

	for (size_t i = 0; i < settling->arrivals.count; i++) {
		if (!settling->arrivals.item[i].in_entry)
			continue;
		block(transition, settling->arrivals.item[i].thread->tid, "in the first instructions of a function that is to be redirected");
		can = false;
	}
	return can;
}

static void look_at_thread(struct settling *settling, const struct thread *thread, const struct stack *stack)
{
	struct transition *transition = settling->transition;
	struct arrival *arrival = array_add(&settling->arrivals);
	bool clear = stack_is_clear(&transition->leaving, thread, stack);
	struct stack_result result = { .verdict = STACK_FREE };

	if (!clear)
		stack_check_read(&transition->leaving, &settling->maps, thread, stack, &result);
	*arrival = (struct arrival){ .thread = thread, .free = result.verdict == STACK_FREE };
	if (!arrival->free)
		arrival->text = text_copy(result.text);
	arrival->pointer = registers_thread_pointer(&thread->registers);
	arrival->now = versions_of(transition->ledger, &settling->versions, arrival->pointer);
	arrival->in_entry = settling->first && !clear &&
			    !(arrival->free && !result.walked && stack_passes(&transition->entries, thread, stack)) &&
			    goes_on_in(&transition->entries, &settling->maps, thread, stack);
	transition->report->threads++;
	transition->report->walked += result.walked;
}

static void look_at_threads(struct settling *settling)
{
	struct transition *transition = settling->transition;
	const struct threads *threads = &transition->threads;
	size_t read;

	for (size_t i = 0; i < threads->count; i += read) {
		read = stacks_read(&transition->leaving, &settling->maps, threads->item + i, threads->count - i);
		for (size_t j = 0; j < read; j++)
			if (threads->item[i + j].state == THREAD_STOPPED)	/* else it has ended */
				look_at_thread(settling, &threads->item[i + j], &transition->leaving.stacks->item[j]);
	}
}

static int compare_pointers(const void *one, const void *other)
{
	const struct arrival *a = *(struct arrival *const *)one, *b = *(struct arrival *const *)other;

	return (a->pointer > b->pointer) - (a->pointer < b->pointer);
}

static void look_at_group(struct arrival **arrivals, size_t count)
{
	bool free = true;

	for (size_t i = 0; i < count; i++)
		free &= arrivals[i]->free;
	for (size_t i = 0; i < count && count > 1; i++) {
		arrivals[i]->shared = true;
		arrivals[i]->free = free;
	}
}

/* Threads that share a pointer have one entry: they move together or not at all. */
static void look_at_pairs(struct settling *settling)
{
	struct arrival **sorted = memory_resize(NULL, settling->arrivals.count + 1, sizeof(*sorted));
	size_t first = 0;

	for (size_t i = 0; i < settling->arrivals.count; i++)
		sorted[i] = &settling->arrivals.item[i];
	qsort(sorted, settling->arrivals.count, sizeof(*sorted), compare_pointers);
	for (size_t i = 1; i <= settling->arrivals.count; i++) {
		if (i < settling->arrivals.count && sorted[i]->pointer == sorted[first]->pointer)
			continue;
		look_at_group(sorted + first, i - first);
		first = i;
	}
	free(sorted);
}

static bool has_arrived(const struct settling *settling, const struct arrival *arrival)
{
	return arrival->now == settling->transition->to || arrival->free;
}

/* Frames that no thread is on: of suspended coroutines. */
static bool contexts_are_free(struct settling *settling)
{
	struct transition *transition = settling->transition;
	struct live_report *report = transition->report;
	struct stack_result result;

	if (!transition->survey->switches)
		return true;
	contexts_check(transition->contexts, &transition->leaving, &settling->maps, &transition->threads, &result);
	report->searching += transition->contexts->took;
	report->searched = transition->contexts->size;
	if (report->searched && !report->searched_for)
		report->searched_for = utf8_make_printable(text_copy(transition->survey->switches));
	if (result.verdict != STACK_FREE)
		block(transition, transition->survey->process->pid, result.text);
	return result.verdict == STACK_FREE;
}

/* Where all arrive in the first stop, nobody goes by it. */
static bool uses_table(const struct settling *settling)
{
	return !(settling->first && settling->all);
}

/* What each thread is to run from here on, in settling->versions. False: there is no room for all that stay behind. */
static bool assign_versions(struct settling *settling)
{
	const struct transition *transition = settling->transition;
	const struct ledger *ledger = transition->ledger;
	struct versions *versions = &settling->versions;
	size_t behind = 0;

	if (settling->first)		/* nobody has gone by the table so far, or does now (can_begin()) */
		versions_clear(ledger, versions);
	for (size_t i = 0; i < (size_t)1 << ledger->dispatch.table_bits; i++)
		if (versions->entry[i].key)
			versions->entry[i].version = transition->to == VERSION_NEW ? ledger->new_table : ledger->old_table;
	for (size_t i = 0; i < settling->arrivals.count; i++)
		behind += !has_arrived(settling, &settling->arrivals.item[i]);
	if (!versions_have_room(ledger, versions, behind))
		return false;
	for (size_t i = 0; i < settling->arrivals.count; i++)
		if (!has_arrived(settling, &settling->arrivals.item[i]))
			versions_set(ledger, versions, settling->arrivals.item[i].pointer, settling->arrivals.item[i].now);
	return true;
}

static enum status finish(const struct settling *settling, struct error *error)
{
	const struct transition *transition = settling->transition;
	const struct process *process = transition->survey->process;
	struct ledger *ledger = transition->ledger;
	bool new = transition->to == VERSION_NEW;
	bool stays = new && transition->was_active;	/* it has turned round: who was in the other version then still is */
	enum status status = ledger_store_forced(process, ledger, settling->force || (ledger->forced && stays), error);

	if (status == STATUS_OK)
		status = versions_put_selector(process, ledger, transition->to, error);

	if (status == STATUS_OK)
		status = versions_put_sites(process, ledger, new ? SITE_SETTLED : SITE_ORIGINAL, error);
	if (status == STATUS_OK)
		status = stacking_finish(transition->survey, ledger, new, error);
	/* Who was forced out may still be in new code. */
	if (status == STATUS_OK && !new && !ledger->forced)
		status = finders_remove(transition->survey, ledger, ledger, error);
	if (status != STATUS_OK)
		return status;
	return new ? ledger_store_active(process, ledger, (uint64_t)time(NULL), error) :
		     ledger_store_state(process, ledger, LEDGER_REVERTED, error);
}

/* Up to where entries lead to dispatchers, which say what was the case before. */
static enum status begin(const struct settling *settling, struct error *error)
{
	const struct transition *transition = settling->transition;
	const struct process *process = transition->survey->process;
	struct ledger *ledger = transition->ledger;
	enum version from = transition_from(transition);
	enum status status = STATUS_OK;

	/* Where it begins, dispatchers are to say what all run, and a revert what lies below; nobody asks them yet. */
	if (settling->first && from == VERSION_NEW && ledger->detached)
		status = stacking_put_base(process, ledger, error);
	if (status == STATUS_OK && !transition_is_on(transition) && !settling->as_left)
		status = versions_put_selector(process, ledger, from, error);
	if (status == STATUS_OK)
		status = ledger_store_state(process, ledger, transition->to == VERSION_NEW ? LEDGER_INSTALLING : LEDGER_REVERTING,
					    error);
	if (status == STATUS_OK && uses_table(settling))
		status = versions_put_entries(process, ledger, &settling->versions, error);
	if (status == STATUS_OK && uses_table(settling))
		status = versions_put_fallback(process, ledger, transition->to, error);
	if (status == STATUS_OK && settling->first)
		status = finders_put(transition->survey, ledger, ledger, error);
	if (status == STATUS_OK && settling->first)
		status = versions_put_sites(process, ledger, SITE_JUMP, error);
	return status;
}

/*
 * Both halves are written in their order, and each is read back as a whole. So all that the commit rests on is known to stand there before it. What comes
 * with it and behind it is undone as a whole (undo()) where it does not read back.
 */
static enum status write_half(const struct settling *settling, enum status (*half)(const struct settling *settling, struct error *error),
			      struct error *error)
{
	const struct process *process = settling->transition->survey->process;
	enum status written, status;

	process_put_off(process);
	written = half(settling, error);
	status = process_put_done(process, error);
	return written == STATUS_OK ? status : written;
}

static enum status go_by_table(const struct settling *settling, struct error *error)
{
	const struct transition *transition = settling->transition;

	return versions_put_per_thread(transition->survey->process, transition->ledger, error);
}

static enum status write_all(struct settling *settling, struct error *error)
{
	enum status status = write_half(settling, begin, error);

	if (status == STATUS_OK)
		status = write_half(settling, settling->all ? finish : go_by_table, error);
	if (settling->all || status != STATUS_OK)
		return status;
	settling->transition->begun = true;
	return STATUS_NOTHING;
}

/* The threads that have not arrived, for watch.c, and for who wants to know what it waits for. */
static void list_threads(struct settling *settling)
{
	struct transition *transition = settling->transition;

	transition->watched.count = transition->arrived.count = 0;
	for (size_t i = 0; i < settling->arrivals.count; i++) {
		const struct arrival *arrival = &settling->arrivals.item[i];
		struct watched *watched;

		if (has_arrived(settling, arrival)) {
			*array_add(&transition->arrived) = arrival->thread->tid;
			continue;
		}
		block(transition, arrival->thread->tid, arrival->text ? arrival->text :
		      "it shares its thread pointer with a thread that is in the way");
		watched = array_add(&transition->watched);
		*watched = (struct watched){ .thread = { .tid = arrival->thread->tid, .state = THREAD_RELEASED } };
		watched->point.event = -1;
		watched->shared = arrival->shared;
		watched->pointer = arrival->pointer;
		watched->pointer_known = true;
		snprintf(watched->text, sizeof(watched->text), "%s", arrival->text ? arrival->text : "");
	}
}

/* A write has failed in the stop in which the transition began: nobody has run since, so all can be as it was. */
static enum status undo(const struct settling *settling, enum ledger_state before, struct error *error)
{
	const struct transition *transition = settling->transition;
	const struct process *process = transition->survey->process;
	bool new = transition->to == VERSION_NEW;
	enum status status = versions_put_selector(process, transition->ledger, transition_from(transition), error);

	/* Below a patch that has replaced nobody after all lies what it found. */
	if (status == STATUS_OK && new && transition->ledger->detached) {
		transition->ledger->detached = false;
		status = ledger_store_flags(process, transition->ledger, error);
	}
	/* They may have been taken out already, and exceptions go through new code. */
	if (status == STATUS_OK && !new)
		status = finders_put(transition->survey, transition->ledger, transition->ledger, error);
	if (status == STATUS_OK)
		status = versions_put_sites(process, transition->ledger, new ? SITE_ORIGINAL : SITE_SETTLED, error);
	if (status == STATUS_OK && new)
		status = stacking_finish(transition->survey, transition->ledger, false, error);
	if (status == STATUS_OK && before == LEDGER_PREPARED)
		status = finders_remove(transition->survey, transition->ledger, transition->ledger, error);
	if (status == STATUS_OK)
		status = ledger_store_state(process, transition->ledger, before, error);
	if (status != STATUS_OK)
		fail(error, "process %d (%s): patch %s is half installed; 'stent revert' takes it out", process->pid,
		     process->comm, transition->ledger->name);
	return status;
}

static enum status settle(struct settling *settling, bool force, struct error *error)
{
	struct transition *transition = settling->transition;
	enum ledger_state before = transition->ledger->state;
	bool on = transition_is_on(transition);
	enum status status;

	/* What a stack proves rests on unwind data; a library that was loaded since may have some of its own, and coroutines. */
	transition->stale = !transition_knows(transition, &settling->maps);
	if (transition->stale) {
		block(transition, transition->survey->process->pid, "the process loads or unloads libraries");
		return STATUS_NOTHING;
	}
	look_at_threads(settling);
	look_at_pairs(settling);
	settling->all = true;
	settling->force = force;
	for (size_t i = 0; i < settling->arrivals.count; i++) {
		settling->arrivals.item[i].free |= force;
		settling->all &= has_arrived(settling, &settling->arrivals.item[i]);
	}
	list_threads(settling);
	if (settling->first && !can_begin(settling))
		return STATUS_NOTHING;
	if (!settling->all && settling->first && transition_moves_together(transition))
		return STATUS_NOTHING;
	/* A child may have been made since the look before the stop; none can be made now. */
	if (!transition_is_alone(transition, sharing_process) || (!force && !contexts_are_free(settling)))
		return STATUS_NOTHING;
	if (uses_table(settling) && !assign_versions(settling)) {
		block(transition, transition->survey->process->pid, "more threads than the patch has prepared for");
		return STATUS_NOTHING;
	}
	status = write_all(settling, error);
	if (status == STATUS_OK)
		leavings_clear(transition, &settling->maps);
	if (status != STATUS_OK && status != STATUS_NOTHING && !on)
		(void)!undo(settling, before, error);
	return status;
}

/*
 * While the ledger says that the transition is off, the selector names the version that all run, which is the one that is left, and
 * nobody reads the table: what is in it is of no interest. (On means that it may be on: a killed stent may not have stored the 0 yet.)
 */
static enum status read_versions(struct settling *settling, struct error *error)
{
	const struct transition *transition = settling->transition;
	const struct ledger *ledger = transition->ledger;
	enum status status;

	if (!transition_is_on(transition)) {
		settling->first = true;
		settling->versions.selector = versions_table(ledger, transition_from(transition));
		settling->versions.entry = memory_zeroed((size_t)1 << ledger->dispatch.table_bits, sizeof(struct dispatch_entry));
		return STATUS_OK;
	}
	status = versions_read(transition->survey->process, ledger, &settling->versions, error);
	/* While each goes by its own entry, the jumps are there. Else they may not be, or not all. */
	settling->first = settling->versions.selector != 0;
	return status;
}

/*
 * Before the stop: what is only read in it is read now, too, and forgotten. The stop's own look finds its memory, and the process's, in the
 * processor's caches. Everything is decided by what is read in the stop.
 */
void settle_rehearse(void *context, const struct threads *threads)
{
	struct transition *transition = context;
	struct settling settling = { .transition = transition };
	struct error unused = { 0 };

	(void)!sharing_look(transition->survey->process);
	if (maps_look(transition->survey->process, &settling.maps, &unused) == STATUS_OK &&
	    read_versions(&settling, &unused) == STATUS_OK && check_process(&settling, &unused) == STATUS_OK)
		(void)!transition_knows(transition, &settling.maps);
	versions_free(&settling.versions);
	maps_free(&settling.maps);
	error_clear(&unused);
	contexts_ready(transition->contexts);
	stacks_rehearse(&transition->leaving, threads);
}

enum status settle_all(struct transition *transition, bool force, struct error *error)
{
	const struct process *process = transition->survey->process;
	struct settling settling = { .transition = transition };
	/* Suspended contexts are looked for everywhere, frames only where threads are. */
	enum status status = (contexts_to_search(transition->contexts) ? maps_read : maps_look)(process, &settling.maps, error);

	if (status == STATUS_OK)
		status = read_versions(&settling, error);
	if (status == STATUS_OK)
		status = check_process(&settling, error);
	if (status == STATUS_OK)
		status = settle(&settling, force, error);
	versions_free(&settling.versions);
	for (size_t i = 0; i < settling.arrivals.count; i++)
		free(settling.arrivals.item[i].text);
	array_free(&settling.arrivals);
	maps_free(&settling.maps);
	return status;
}
