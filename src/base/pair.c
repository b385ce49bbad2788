/*
 * pair.c: Myers' algorithm with linear memory: E. W. Myers, An O(ND) Difference Algorithm and Its Variations, Algorithmica 1 (1986), 4b.
 * Furthest paths grow from both corners of the grid of a and b; where they meet, the grid falls into two with half of the edits each.
 */
#include "base/pair.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct pairing {
	const uint64_t *a, *b;
	size_t *paired;
	int64_t *forward, *backward;	/* how far along `a` each diagonal's path goes; [0] is the middle one */
};

/* a[from.a .. to.a) against b[from.b .. to.b) */
struct corner {
	size_t a, b;
};

/* One more edit on every diagonal. `sign`: 1 forward, from the start; -1 backward, from the end. True when a path meets one of the
 * other direction, at *meet, counted from the start. */
static bool extend(const struct pairing *p, struct corner from, struct corner to, int64_t edits, bool backward, struct corner *meet)
{
	int64_t m = (int64_t)(to.a - from.a), n = (int64_t)(to.b - from.b), delta = m - n;
	int64_t *own = backward ? p->backward : p->forward;
	const int64_t *other = backward ? p->forward : p->backward;
	int64_t other_edits = backward ? edits : edits - 1;

	for (int64_t k = -edits; k <= edits; k += 2) {
		int64_t x = k == -edits || (k != edits && own[k - 1] < own[k + 1]) ? own[k + 1] : own[k - 1] + 1;
		int64_t y = x - k, opposite = delta - k;

		while (x < m && y < n &&
		       (backward ? p->a[to.a - 1 - (size_t)x] == p->b[to.b - 1 - (size_t)y]
				 : p->a[from.a + (size_t)x] == p->b[from.b + (size_t)y])) {
			x++;
			y++;
		}
		own[k] = x;
		/* Paths of both directions meet on diagonals of one parity only: when the number of edits is odd forward, even backward. */
		if ((delta & 1) == backward || opposite < -other_edits || opposite > other_edits || x > m || y < 0 || y > n ||
		    x + other[opposite] < m)
			continue;
		*meet = backward ? (struct corner){ to.a - (size_t)x, to.b - (size_t)y } : (struct corner){ from.a + (size_t)x, from.b + (size_t)y };
		return true;
	}
	return false;
}

/* A point of a shortest path that has half of its edits on either side. False when there are too many. */
static bool find_middle(const struct pairing *p, struct corner from, struct corner to, struct corner *middle)
{
	p->forward[1] = p->backward[1] = 0;
	for (int64_t edits = 0; edits <= PAIR_EDITS_MAX / 2; edits++)
		if (extend(p, from, to, edits, false, middle) || extend(p, from, to, edits, true, middle))
			return (middle->a != from.a || middle->b != from.b) && (middle->a != to.a || middle->b != to.b);
	return false;
}

static void pair_box(const struct pairing *p, struct corner from, struct corner to)
{
	struct corner middle;

	for (;;) {
		while (from.a < to.a && from.b < to.b && p->a[from.a] == p->b[from.b]) {
			p->paired[from.a++] = from.b + 1;
			from.b++;
		}
		while (from.a < to.a && from.b < to.b && p->a[to.a - 1] == p->b[to.b - 1]) {
			p->paired[--to.a] = to.b;
			to.b--;
		}
		if (from.a == to.a || from.b == to.b || !find_middle(p, from, to, &middle))
			return;
		pair_box(p, from, middle);
		from = middle;
	}
}

void pair_sequences(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count, size_t *paired)
{
	/* Each diagonal that PAIR_EDITS_MAX / 2 edits reach, and one more on either side. */
	int64_t *room = memory_zeroed(2 * (PAIR_EDITS_MAX + 3), sizeof(*room));
	struct pairing pairing = { .a = a, .b = b, .paired = paired, .forward = room + PAIR_EDITS_MAX / 2 + 1 };

	pairing.backward = pairing.forward + PAIR_EDITS_MAX + 3;
	memset(paired, 0, a_count * sizeof(*paired));
	pair_box(&pairing, (struct corner){ 0, 0 }, (struct corner){ a_count, b_count });
	free(room);
}
