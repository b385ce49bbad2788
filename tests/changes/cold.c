/* Unlikely parts, which compilers split off: one is new, one is gone, one changed. */
#include "host.h"

static __attribute__((cold)) APART long fail(const char *why, long n)
{
	return -(long)strlen(why) - n;
}

static APART long gets_one(long n)
{
#if V > 1
	if (__builtin_expect(n > 5, 0))
		return fail("too large", n) + fail("much", labs(n));
#endif
	return n + labs(-n);
}

static APART long loses_one(long n)
{
#if V == 1
	if (__builtin_expect(n == 3, 0))
		return fail("three", n) * fail("3", labs(n));
#endif
	return n * 2 + labs(n);
}

static APART long changes_one(long n)
{
	if (__builtin_expect(n & 4, 0))
		return fail("has a bit", n) + V * fail("of four", labs(n));
	return n + abs((int)n);
}

static APART long keeps_one(long n)
{
	if (__builtin_expect(n == 7, 0))
		return fail("seven", n) + fail("more", labs(n));
	return gets_one(n);
}

static long answer(long n)
{
	return keeps_one(n) * 1000000 + loses_one(n) * 1000 + changes_one(n);
}
