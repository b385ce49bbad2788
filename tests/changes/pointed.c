/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a constant table with pointers
 * refused with gcc -O2 -static -s: a constant table with pointers
 * refused with clang -O2 -fno-pie -no-pie -s: a constant table with pointers
 *
 * Numbers that did not change, whose start code takes, and whose end is in a table that grew. And a constant that both the table and the process point to.
 */
#include "host.h"

struct config {
	int level, size;
};

static const struct {
	int first[8], next[8];
} all = { { 2, 7, 1, 8, 2, 8, 1, 8 }, { 3, 1, 4 } };
static const struct config fallback = { 3, 70 };

static const struct entry {
	const int *end;
	const struct config *config;
	long factor;
} entries[] = {
	{ all.first + 4, &fallback, 1 }, { all.next, &fallback, 2 },
#if V == 2
	{ all.first + 4, &fallback, 3 }, { all.next, &fallback, 4 },
#endif
};

static const struct config *volatile current;
static const int *volatile kept[2];

/* Does not change. */
static APART void begin(void)
{
	current = &fallback;
	kept[0] = all.first;
	kept[1] = all.next;
}

static APART long sum(long n)
{
	const struct entry *entry = &entries[n % (sizeof(entries) / sizeof(*entries))];
	long sum = entry->config == current ? 1000 : 5000;

	for (const int *at = all.first; at != entry->end && at < all.first + 16; at++)
		sum += *at * entry->factor;
	return sum * 10 + n % 7;
}

static long answer(long n)
{
	begin();
	return sum(n);
}
