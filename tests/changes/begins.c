/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with clang -O2 -s: whose address is compared with others
 * refused with clang -O3 -g: whose address is compared with others
 *
 * One function gives the start of a table of numbers, and another one its end, where another table starts. Far behind that is one that changed, so
 * that the first table is known to be the same, and the second one isn't.
 */
#include "host.h"

static const struct {
	int table[8], next[512], far[600], changed[8];
} all = { { 2, 7, 1, 8, 2, 8, 1, 8 }, { 5, [511] = 6 }, { 7, [599] = 8 }, { V } };
static const int *volatile kept[2];

static APART const int *begin(long n)
{
	kept[0] = n & 1 ? all.far : all.changed;
	return all.table + (V == 1 ? 0 : n & 1);
}

static APART const int *end(long n)
{
	kept[1] = n & 1 ? all.far : all.changed;
	return n == (V == 1 ? 99 : 3) ? all.far : all.next;
}

/* Does not change. */
static APART void keep(void)
{
	kept[0] = all.table;
	kept[1] = all.far;
}

static long answer(long n)
{
	const int *from, *to;
	long sum = 0;

	keep();
	from = begin(n);
	to = end(n);

	for (int i = 0; i < 12 && from != to; i++)
		sum = sum * 10 + *from++;
	return sum * 1000 + *kept[0] * 100 + *kept[1] * 10;
}
