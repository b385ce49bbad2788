/* What may interrupt it: it only reads; who writes to what it reads, and when, makes no difference (sweep.c). */
#include "live/kin.h"

#include <stdlib.h>
#include <string.h>

#define MUCH (64ul << 20)	/* bytes that take longer to read than a tripwire to set */

struct live_kin *live_kin_new(void)
{
	return memory_zeroed(1, sizeof(struct live_kin));
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

void kin_meet(struct live_kin *kin, const struct survey *survey, const struct patience *patience)
{
	forget(kin);
	if (!survey->switches || !survey->made_contexts)
		return;
	if (!sweep_watch(survey, &kin->wire)) {
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

static bool shares_much(const struct survey *survey)
{
	uint64_t size = 0;
	bool own;

	for (size_t i = 0; i < survey->maps.count; i++) {
		const struct mapping *mapping = &survey->maps.item[i];

		if (mapping->shared && sweep_counts(mapping, &own))
			size += mapping->range.end - mapping->range.start;
	}
	return size >= MUCH;
}

/* A breakpoint that is held for others to come is missed by those who need one now. */
static bool meet_another(struct live_kin *kin, const struct survey *survey, const struct patience *patience)
{
	forget(kin);
	if (shares_much(survey))
		kin_meet(kin, survey, patience);
	return includes(kin, survey);
}

const struct swept *kin_join(struct live_kin *kin, const struct survey *survey, const struct patience *patience, struct tripwire *wire)
{
	*wire = (struct tripwire){ 0 };
	if (!kin || (!includes(kin, survey) && !meet_another(kin, survey, patience)))
		return NULL;
	return tripwire_join(&kin->wire, wire) && tripwire_untouched(wire) ? &kin->swept : NULL;
}
