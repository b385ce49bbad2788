/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * Tables of which other code takes an address in the middle, with a change behind that: seen by who goes through them from the start. In one of them
 * that is an element's second half.
 */
#include "host.h"

struct row {
	int key, value;
};

static const struct row rows[] = { { 1, 10 }, { 2, 20 }, { 3, 30 }, { 4, V == 1 ? 40 : 45 }, { 5, 50 }, { 0, 0 } };
static const unsigned char sizes[] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, V == 1 ? 5 : 8, 0, 0, 0 };

static APART long find(long key)
{
	const struct row *row = rows;

	while (row->key && row->key != key)
		row++;
	return row->value;
}

static APART const struct row *favourite(void)
{
	return &rows[2];
}

static APART long size(const unsigned char *from, long n)
{
	while (n-- && *from)
		from++;
	return *from;
}

static APART long all(long n)
{
	return size(sizes, n);
}

static APART long behind(long n)
{
	return size(sizes + 5, n);
}

static long answer(long n)
{
	return find(n) * 1000 + all(n) * 100 + behind(n) * 10 + favourite()->key;
}
