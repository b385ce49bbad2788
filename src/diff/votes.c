/* votes.c: count what unchanged code says about where things went. */
#include <stdlib.h>

#include "base/search.h"
#include "diff/comparison.h"

static int compare_votes(const void *one, const void *other)
{
	const struct vote *a = one, *b = other;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return (a->to > b->to) - (a->to < b->to);
}

void votes_add(struct vote_map *map, uint64_t from, uint64_t to)
{
	*array_add(&map->votes) = (struct vote){ from, to, 1 };
}

static void merge(struct vote_map *map)
{
	size_t kept = 0;

	if (map->votes.count)
		qsort(map->votes.item, map->votes.count, sizeof(struct vote), compare_votes);
	for (size_t i = 0; i < map->votes.count; i++) {
		struct vote *vote = &map->votes.item[i], *last = kept ? &map->votes.item[kept - 1] : NULL;

		if (last && last->from == vote->from && last->to == vote->to)
			last->count += vote->count;
		else
			map->votes.item[kept++] = *vote;
	}
	map->votes.count = kept;
}

/* Most votes win; a tie has no winner. */
static void find_winners(struct vote_map *map)
{
	for (size_t i = 0; i < map->votes.count;) {
		struct vote best = map->votes.item[i];
		bool tie = false;
		size_t next = i + 1;

		for (; next < map->votes.count && map->votes.item[next].from == best.from; next++) {
			const struct vote *vote = &map->votes.item[next];

			tie = vote->count == best.count || (tie && vote->count < best.count);
			if (vote->count > best.count)
				best = *vote;
		}
		if (!tie)
			*array_add(&map->winners) = best;
		i = next;
	}
}

static void find_reverse(struct vote_map *map)
{
	size_t kept = 0;

	for (size_t i = 0; i < map->winners.count; i++)
		*array_add(&map->reverse) = (struct vote){ map->winners.item[i].to, map->winners.item[i].from,
							   map->winners.item[i].count };
	if (map->reverse.count)
		qsort(map->reverse.item, map->reverse.count, sizeof(struct vote), compare_votes);
	/* Two old addresses that became one: neither is its counterpart for certain. */
	for (size_t i = 0; i < map->reverse.count;) {
		size_t next = i + 1;

		while (next < map->reverse.count && map->reverse.item[next].from == map->reverse.item[i].from)
			next++;
		if (next == i + 1)
			map->reverse.item[kept++] = map->reverse.item[i];
		i = next;
	}
	map->reverse.count = kept;
}

void votes_count(struct vote_map *map)
{
	merge(map);
	map->winners.count = map->reverse.count = 0;
	find_winners(map);
	find_reverse(map);
}

void votes_clear(struct vote_map *map)
{
	array_free(&map->votes);
	array_free(&map->winners);
	array_free(&map->reverse);
}

const struct vote *votes_from(const struct vote_map *map, uint64_t from, size_t *count)
{
	size_t first = array_search(&map->votes, from, from), next = first;

	while (next < map->votes.count && map->votes.item[next].from == from)
		next++;
	*count = next - first;
	return *count ? &map->votes.item[first] : NULL;
}

const struct vote *votes_winner(const struct vote_map *map, uint64_t from)
{
	size_t index = array_search(&map->winners, from, from);

	return index < map->winners.count && map->winners.item[index].from == from ? &map->winners.item[index] : NULL;
}

const struct vote *votes_reverse(const struct vote_map *map, uint64_t to)
{
	size_t index = array_search(&map->reverse, from, to);

	return index < map->reverse.count && map->reverse.item[index].from == to ? &map->reverse.item[index] : NULL;
}
