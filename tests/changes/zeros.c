/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * Tables with zeros where code of only one of the builds takes an address: in one of them what changed lies behind the zeros, and the other one ends there
 * in the new build.
 */
#include "host.h"

struct row {
	int key, value;
};

static const struct row rows[] = { { 1, 10 }, { 0, 0 }, { 3, V == 1 ? 30 : 35 }, { 4, 40 } };
static const struct row ended[] = { { 1, 10 }, { V == 1 ? 2 : 0, V == 1 ? 20 : 0 }, { 0, 0 }, { 7, 70 } };

static APART long value(long n)
{
	return rows[n & 3].value;
}

static APART const struct row *favourite(void)
{
	return &rows[V];
}

static APART long find(long key)
{
	const struct row *row = ended;

	while (row->key && row->key != key)
		row++;
	return row->value;
}

static APART const struct row *last(void)
{
	return &ended[V == 1 ? 1 : 3];
}

static long answer(long n)
{
	return (value(n) * 1000 + find(n)) * 1000 + favourite()->key * 10 + last()->key;
}
