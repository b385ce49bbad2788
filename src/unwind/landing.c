#include "unwind/landing.h"

#include <stdlib.h>

#include "base/search.h"
#include "image/lsda.h"

static int compare_pads(const void *left, const void *right)
{
	uint64_t a = ((const struct landing_pad *)left)->calls.start, b = ((const struct landing_pad *)right)->calls.start;

	return (a > b) - (a < b);
}

void landing_pads_read(const struct image *image, uint64_t lsda, uint64_t start, struct landing_pads *pads)
{
	struct lsda area;

	if (!lsda)
		return;
	/* What can't be read ends the list of calls. */
	(void)!lsda_read(image, lsda, start, &area);
	for (size_t i = 0; i < area.calls.count; i++)
		if (area.calls.item[i].pad)
			*array_add(pads) = (struct landing_pad){ area.calls.item[i].code, area.calls.item[i].pad };
	if (pads->count)
		qsort(pads->item, pads->count, sizeof(*pads->item), compare_pads);
	lsda_free(&area);
}

uint64_t landing_pad_find(const struct landing_pads *pads, uint64_t call)
{
	size_t index = pads->count ? search_address(&pads->item->calls.start, pads->count, sizeof(*pads->item), call + 1) : 0;

	return index && range_holds(pads->item[index - 1].calls, call) ? pads->item[index - 1].pad : 0;
}
