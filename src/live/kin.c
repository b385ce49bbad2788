/* What may interrupt it: it only reads; who writes to what it reads, and when, makes no difference (sweep.c). */
#include "live/kin.h"

#include <stdlib.h>
#include <string.h>

#define MUCH (64ul << 20)	/* bytes that take longer to read than a tripwire to set */
#define MEET_MAX 20000000000u	/* ns that one of many processes may be kept waiting for what is done for others, too */

struct live_kin *live_kin_new(bool meets)
{
	struct live_kin *kin = memory_zeroed(1, sizeof(*kin));

	kin->meets = meets;
	return kin;
}

static void forget(struct live_kin *kin)
{
	tripwire_remove(&kin->wire);
	array_free(&kin->makers);
	array_free(&kin->swept);
}

void live_kin_free(struct live_kin *kin)
{
	if (kin)
		forget(kin);
	free(kin);
}

/* The last breakpoint is for those who need it for a moment only. */
static bool is_one_left(const struct survey *survey)
{
	struct tripwire wire;
	bool left = sweep_watch(survey, &wire);

	tripwire_remove(&wire);
	return left;
}

void kin_meet(struct live_kin *kin, const struct survey *survey, const struct patience *patience)
{
	forget(kin);
	if (!survey->switches || !survey->made_contexts)
		return;
	if (!sweep_watch(survey, &kin->wire) || (kin->meets && !is_one_left(survey))) {
		tripwire_remove(&kin->wire);
		return;
	}
	for (size_t i = 0; i < survey->makers.count; i++)
		*array_add(&kin->makers) = survey->makers.item[i];
	sweep_shared(survey, patience, &kin->swept);
}

/* Words of the same makers are looked for, at the same places. */
static bool includes(const struct live_kin *kin, const struct survey *survey)
{
	return kin->makers.count && survey->made_contexts && !survey->unknown_maker && survey->makers.count == kin->makers.count &&
	       !memcmp(survey->makers.item, kin->makers.item, kin->makers.count * sizeof(*kin->makers.item));
}

void kin_part(struct live_kin *kin, const struct survey *survey)
{
	if (kin && kin->meets && !includes(kin, survey))
		forget(kin);
}

static bool shares_much(const struct survey *survey)
{
	uint64_t size = 0;

	for (size_t i = 0; i < survey->maps.count; i++)
		if (swept_may_hold(&survey->maps.item[i]))
			size += survey->maps.item[i].range.end - survey->maps.item[i].range.start;
	return size >= MUCH;
}

/* What it is not enough for is read in each process. */
static void meet_first(struct live_kin *kin, const struct survey *survey, const struct patience *patience)
{
	struct patience some = *patience;

	if (clock_now() + MEET_MAX < some.deadline)
		some.deadline = clock_now() + MEET_MAX;
	kin_meet(kin, survey, &some);
}

const struct swept *kin_join(struct live_kin *kin, const struct survey *survey, const struct patience *patience, struct tripwire *wire)
{
	*wire = (struct tripwire){ 0 };
	if (!kin)
		return NULL;
	if (kin->meets && !includes(kin, survey) && shares_much(survey))
		meet_first(kin, survey, patience);
	if (!includes(kin, survey))
		return NULL;
	if (tripwire_join(&kin->wire, wire))
		return &kin->swept;
	/* It is not so any more of any of them. To find that out again, of each, would take long; and others need the breakpoint. */
	forget(kin);
	kin->meets = false;
	return NULL;
}
