/* Thread-local variables that stay where they are: a changed function uses one that it has not used before. */
#include "host.h"

static __thread long depth = 3;
static __thread long total;

static APART long enter(long n)
{
	depth += n & 1;
	total += n;
	return depth;
}

static APART long leave(long n)
{
#if V > 1
	total = 0;
#endif
	depth = 3;
	return labs(n) + V;
}

static APART long sum(void)
{
	long is = total;

	total = 0;
	return is;
}

static long answer(long n)
{
	long at = enter(n), left = leave(n);

	return at * 10000 + left * 100 + sum();
}
