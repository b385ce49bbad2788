/* refused: layout of \.(bss|data) changed
 * A variable in the middle of others is new. */
#include "host.h"

static long before[3] = { 1, 2, 3 };
#if V > 1
static long limits[4] = { 4, 3, 2, 1 };
#endif
static long behind[3] = { 7, 8, 9 };

static APART long use(long n)
{
	long result = before[n % 3]++ + behind[n % 3];

#if V > 1
	result += limits[n & 3]++;
#endif
	return result;
}

static long answer(long n)
{
	return use(n < 0 ? 0 : n);
}
