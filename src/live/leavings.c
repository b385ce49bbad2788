/*
 * What is left of killed stents and of patches whose library was unloaded. All threads stand still, so what their stacks tell holds until
 * they are let go. Killed in between: whatever is not taken away is found again.
 */
#include <stdlib.h>

#include "live/finders.h"
#include "live/leavings.h"
#include "live/stacks.h"

bool leavings_are_left(const struct survey *survey, const struct threads *threads, const struct maps *maps, const struct range *ranges,
		       size_t count)
{
	struct stack_check check = { .survey = survey, .arch = registers_arch() };
	struct stack_result result = { .verdict = STACK_FREE };

	for (size_t i = 0; i < count; i++)
		stack_check_add(&check, ranges[i], "");
	stack_check_ready(&check);
	for (size_t i = 0; i < threads->count && result.verdict == STACK_FREE; i++)
		if (threads->item[i].state == THREAD_STOPPED)	/* else it has ended */
			stack_check_thread(&check, maps, &threads->item[i], &result);
	stack_check_free(&check);
	return result.verdict == STACK_FREE;
}

/*
 * A patch takes its place, or has been about to when its stent was killed. To the survey, which saw the entries lead to that other one, it
 * looks like a patch whose image was mapped anew. But it may be in force again by now: the other one was turned back.
 */
static bool is_replaced(const struct survey *survey, const struct ledger *lost)
{
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *other = &survey->ledgers.item[i];

		for (size_t j = 0; j < other->replaced.count && other->state != LEDGER_REVERTED; j++)
			if (other->replaced.item[j] == lost->nonce)
				return true;
	}
	return false;
}

/* A patch whose image has gone: once nobody is in its code, nobody has to find that code's tables, and its memory may be used again. */
static void retire(const struct transition *transition, const struct maps *maps, struct ledger *lost)
{
	const struct survey *survey = transition->survey;
	ARRAY(struct range) code = { 0 };
	struct error unused = { 0 };

	for (size_t i = 0; i < lost->parts.count; i++)
		if (lost->parts.item[i].flags & SEGMENT_EXECUTE)
			*array_add(&code) = lost->parts.item[i].range;
	for (size_t i = 0; i < lost->finders.count; i++)
		*array_add(&code) = lost->finders.item[i].code;
	if (leavings_are_left(survey, &transition->threads, maps, code.item, code.count) &&
	    finders_remove(survey, lost, transition->ledger, &unused) == STATUS_OK)
		(void)!ledger_store_state(survey->process, lost, LEDGER_REVERTED, &unused);
	array_free(&code);
	error_clear(&unused);
}

void leavings_clear(struct transition *transition, const struct maps *maps)
{
	struct survey *survey = transition->survey;
	struct remote_leftovers *stubs = &transition->leftovers;

	if (stubs->count && leavings_are_left(survey, &transition->threads, maps, stubs->item, stubs->count))
		remote_sweep(survey->process, stubs);
	/* Where there may be coroutines, stacks are not all that there is. */
	for (size_t i = 0; i < survey->ledgers.count && !survey->switches; i++)
		if (survey->ledgers.item[i].lost && !is_replaced(survey, &survey->ledgers.item[i]))
			retire(transition, maps, &survey->ledgers.item[i]);
}
