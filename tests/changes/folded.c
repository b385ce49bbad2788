/* Functions with the same content, which compilers fold into one: one of them changes, one becomes the same as another. */
#include "host.h"

static APART long first(long n)
{
	return labs(n * 3 - 7) + atol("5");
}

static APART long second(long n)
{
#if V == 1
	return labs(n * 3 - 7) + atol("5");
#else
	return labs(n * 4 - 7) + atol("5");
#endif
}

static APART long third(long n)
{
#if V == 1
	return labs(n * 9 - 1) + atol("5");
#else
	return labs(n * 3 - 7) + atol("5");
#endif
}

static long answer(long n)
{
	return first(n) * 1000000 + second(n) * 1000 + third(n);
}
