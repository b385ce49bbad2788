/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with gcc -O2 -static -s: a constant table with pointers
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * A function that begins at one of two places of a table, of which the second half changed, and goes on as far as it is told.
 */
#include "host.h"

static const char *const names[] = { "a", "bb", "ccc", "dddd", "eeeee", V == 1 ? "ffffff" : "FFF", "ggggggg", "hhhhhhhh" };

struct found {
	const char *name;
	long how;
};

static APART struct found from(long n, long k)
{
	const char *const *name = n & 1 ? names : names + 4;

	return (struct found){ name[k], n };
}

static long answer(long n)
{
	return (long)strlen(from(n, n & 1 ? n & 7 : n & 3).name);
}
