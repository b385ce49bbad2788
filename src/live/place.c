#include "live/place.h"

#include <stdio.h>

#define PAGE 4096ul
#define MARGIN 65536ul		/* to neighbours: an overrun of either is not to end in the other */
#define HEAP_ROOM (256ul << 20)	/* above [heap], which grows upwards */
#define STACK_ROOM (1ul << 30)	/* below [stack], which grows downwards */

uint64_t place_lowest(void)
{
	FILE *file = fopen("/proc/sys/vm/mmap_min_addr", "re");
	unsigned long lowest = 0;

	if (file && fscanf(file, "%lu", &lowest) != 1)
		lowest = 0;
	if (file)
		fclose(file);
	return lowest < MARGIN ? MARGIN : (lowest + PAGE - 1) & ~(PAGE - 1);
}

/* The part of a gap between two mappings that may be used; either may be NULL. */
static struct range usable_gap(const struct mapping *below, const struct mapping *above, const struct place_request *request)
{
	struct range gap = { request->lowest, request->limit };
	uint64_t farthest;

	if (below)
		gap.start = below->range.end + (mapping_special(below, "[heap]") ? HEAP_ROOM : MARGIN);
	if (above) {
		uint64_t room = mapping_special(above, "[stack]") ? STACK_ROOM : MARGIN;
		uint64_t end = above->range.start > room ? above->range.start - room : 0;

		gap.end = end < gap.end ? end : gap.end;
	}
	/* A branch from one end of the image to the far end of the new memory is the longest that can be needed. */
	if (request->image.end > request->reach && gap.start < request->image.end - request->reach)
		gap.start = request->image.end - request->reach;
	farthest = request->image.start + request->reach;
	if (gap.end > farthest)
		gap.end = farthest;
	if (gap.start < request->lowest)
		gap.start = request->lowest;
	gap.start = (gap.start + PAGE - 1) & ~(PAGE - 1);
	gap.end &= ~(PAGE - 1);
	return gap;
}

/* The end of the gap that is nearest to the image, or the next place from there on that overlaps nothing. False: there is none. */
static bool find_in_gap(struct range gap, const struct place_request *request, const struct place_avoid *avoid, bool from_end, uint64_t *at)
{
	*at = from_end ? gap.end - request->size : gap.start;
	for (size_t i = 0; i < avoid->count; i++) {
		struct range one = avoid->item[from_end ? avoid->count - 1 - i : i];

		if (one.end <= *at || one.start >= *at + request->size)
			continue;
		if (from_end && one.start < gap.start + request->size)
			return false;
		*at = from_end ? one.start - request->size : one.end;
		if (gap.end < *at || gap.end - *at < request->size)
			return false;
	}
	return true;
}

static bool find(const struct maps *maps, const struct place_request *request, const struct place_avoid *avoid, uint64_t *address)
{
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i <= maps->count; i++) {
		const struct mapping *below = i ? &maps->item[i - 1] : NULL;
		const struct mapping *above = i < maps->count ? &maps->item[i] : NULL;
		struct range gap = usable_gap(below, above, request);
		bool under_image = gap.end <= request->image.start;
		uint64_t at, distance;

		/* As near to the image as can be, but above the heap as far from that. */
		if (gap.start > gap.end || gap.end - gap.start < request->size ||
		    !find_in_gap(gap, request, avoid, under_image || (below && mapping_special(below, "[heap]")), &at))
			continue;
		distance = at < request->image.start ? request->image.start - at : at - request->image.start;
		if (distance < best) {
			best = distance;
			*address = at;
		}
	}
	return best != UINT64_MAX;
}

bool place_find(const struct maps *maps, const struct place_request *request, uint64_t *address)
{
	static const struct place_avoid nothing;

	return (request->avoid && find(maps, request, request->avoid, address)) || find(maps, request, &nothing, address);
}

void place_take(struct maps *maps, struct range range)
{
	size_t i = maps->count;

	(void)!array_add(maps);
	for (; i && maps->item[i - 1].range.start > range.start; i--)
		maps->item[i] = maps->item[i - 1];
	maps->item[i] = (struct mapping){ .range = range, .name = "" };
}
