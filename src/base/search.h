/* search.h: arrays that are sorted by address: binary search in them, and the order. */
#ifndef STENT_BASE_SEARCH_H
#define STENT_BASE_SEARCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * Index of the first item whose address is `key` or larger; `count` when there is none. `first`: the
 * address in item 0 (&items[0].member), `stride`: sizeof(items[0]). first may be anything if count is 0.
 */
static inline size_t search_address(const uint64_t *first, size_t count, size_t stride, uint64_t key)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (*(const uint64_t *)(const void *)((const char *)first + middle * stride) < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The same for ARRAY(type) with a uint64_t member. */
#define array_search(array, member, key) \
	((array)->count ? search_address(&(array)->item->member, (array)->count, sizeof(*(array)->item), (key)) : 0)

/* For qsort() and bsearch() of uint64_t. */
static inline int compare_addresses(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

#endif
