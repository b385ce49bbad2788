/* A function that is inlined into several others changes. */
#include "host.h"

static inline __attribute__((always_inline)) long checked(long n)
{
#if V > 1
	if (n > 6)
		return 6;
#endif
	return n;
}

static APART long one(long n)
{
	return checked(n) * 3 + labs(n);
}

static APART long two(long n)
{
	return labs(checked(n + 1)) - 1;
}

static APART long three(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += checked(i) + atol("1");
	return sum;
}

static APART long none(long n)
{
	return labs(n - 4);
}

static long answer(long n)
{
	return one(n) * 1000000 + two(n) * 10000 + three(n) * 100 + none(n);
}
