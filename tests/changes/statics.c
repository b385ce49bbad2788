/* Static variables of the same name in several functions, one of which changes: each keeps its own. They begin at 0 with each process, so what
 * is answered is how far they have come since a line with 0. */
#include "host.h"

static APART long first(long n)
{
	static long count;
	static long calls;

	calls++;
	count = n ? count + n : 0;
	return count * V + (calls ? 0 : 1);
}

static APART long second(long n)
{
	static long count;

	count = n ? count + 10 * n : 0;
	return count;
}

static APART long third(long n)
{
	static long count = 0;
	static long calls = 5;

	calls += n & 1;
	count = n ? count + 100 * n * V : 0;
	return count + (calls < 5);
}

static long answer(long n)
{
	return first(n) * 1000000 + second(n) * 1000 + third(n);
}
