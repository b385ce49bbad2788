/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a constant table with pointers
 * refused with gcc -O2 -static -s: a constant table with pointers
 * refused with clang -O2 -fno-pie -no-pie -s: a constant table with pointers
 *
 * A table that begins as a type of C++ does, with two pointers of which the second leads to a text, but is none: what is behind them changed.
 */
#include "host.h"

static const char *const names[] = { "a", "bb", "ccc", V == 1 ? "dddd" : "eight...", "eeeee", "ffffff", "ggggggg", V == 1 ? "hhhhhhhh" : "h" };

static APART const char *name_of(long n)
{
	return names[n & 7];
}

static long answer(long n)
{
	return (long)strlen(name_of(n)) + 10 * n;
}
