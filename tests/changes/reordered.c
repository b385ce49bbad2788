/* Functions in another order in each build. One of them changes. */
#include "host.h"

static long a(long n), b(long n), c(long n), d(long n);

#define A static APART long a(long n) { return b(n) + labs(n); }
#define B static APART long b(long n) { return c(n) * 2 + atol("3"); }
#define C static APART long c(long n) { return d(n) - (long)strlen("four"); }
#define D static APART long d(long n) { return n * V + abs((int)n); }

#if V == 1
A B C D
#else
D B A C
#endif

static long answer(long n)
{
	return a(n) * 1000 + c(n);
}
