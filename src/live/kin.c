/* What may interrupt it: it only reads; who writes to what it reads, and when, makes no difference (sweep.c). */
#include "live/kin.h"

#include <stdlib.h>
#include <string.h>

struct live_kin *kin_new(const struct survey *survey, const struct live_options *options)
{
	const struct patience patience = { .deadline = UINT64_MAX, .cancelled = options->cancelled };
	struct live_kin *kin;

	if (!survey->switches || !survey->made_contexts)
		return NULL;
	kin = memory_zeroed(1, sizeof(*kin));
	if (!sweep_watch(survey, &kin->wire)) {
		live_kin_free(kin);
		return NULL;
	}
	for (size_t i = 0; i < survey->makers.count; i++)
		*array_add(&kin->makers) = survey->makers.item[i];
	sweep_shared(survey, &patience, &kin->swept);
	return kin;
}

void live_kin_free(struct live_kin *kin)
{
	if (!kin)
		return;
	tripwire_remove(&kin->wire);
	array_free(&kin->makers);
	array_free(&kin->swept);
	free(kin);
}

/* Words of the same makers are looked for, at the same places. */
static bool is_included(const struct live_kin *kin, const struct survey *survey)
{
	return survey->made_contexts && !survey->unknown_maker && survey->makers.count == kin->makers.count &&
	       !memcmp(survey->makers.item, kin->makers.item, kin->makers.count * sizeof(*kin->makers.item));
}

const struct swept *kin_join(const struct live_kin *kin, const struct survey *survey, struct tripwire *wire)
{
	*wire = (struct tripwire){ 0 };
	return kin && is_included(kin, survey) && tripwire_join(&kin->wire, wire) && tripwire_untouched(wire) ? &kin->swept : NULL;
}
