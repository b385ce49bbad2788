/* Constants: a changed table of numbers, a changed text, a number of floating point, and a table that is only read by old code. */
#include "host.h"

static const long squares[] = { 0, 1, 4, 9, 16, 25, 36, 49, 64,
#if V == 1
	80, };		/* wrong */
#else
	81, };
#endif
static const short kept[] = { 9, 8, 7, 6, 5, 4, 3, 2, 1, 0 };

static APART long look_up(long n)
{
	return n >= 0 && n < 10 ? squares[n] : -1;
}

static APART long look_up_kept(long n)
{
	return n >= 0 && n < 10 ? kept[n] : -1;
}

static APART long text(long n)
{
	return (long)strlen(n & 1 ? "odd" : V == 1 ? "even" : "not odd") + n;
}

static APART long real(long n)
{
	return (long)((double)n * (V == 1 ? 2.5 : 3.25));
}

static long answer(long n)
{
	return look_up(n) * 1000000 + look_up_kept(n) * 10000 + text(n) * 100 + real(n);
}
