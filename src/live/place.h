/* place.h: where in a process new memory can lie. */
#ifndef STENT_LIVE_PLACE_H
#define STENT_LIVE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "process/maps.h"

/* Ranges, sorted, none of which the new memory shall overlap if that can be helped. */
struct place_avoid {
	struct range *item;
	size_t count, room;
};

struct place_request {
	struct range image;	/* every byte of the new memory must be in reach of every byte of this */
	uint64_t reach;
	uint64_t limit;		/* end of the addresses that may be used */
	uint64_t lowest;	/* vm.mmap_min_addr */
	uint64_t size;		/* multiple of the page size */
	const struct place_avoid *avoid;	/* or NULL */
};

/* False: there is no such place. */
bool place_find(const struct maps *maps, const struct place_request *request, uint64_t *address) must_check;

/* From here on `maps`, which is sorted, counts this as taken. */
void place_take(struct maps *maps, struct range range);

/* vm.mmap_min_addr of this system, 64 KiB at least. */
uint64_t place_lowest(void);

#endif
