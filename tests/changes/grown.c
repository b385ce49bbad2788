/* refused: layout of \.(bss|data) changed
 * refused with gcc -O2 -g: the variable limits had 32 bytes and has 48
 * refused with clang -O3 -g: the variable limits had 32 bytes and has 48
 * An array grew, and what lies behind it moved. */
#include "host.h"

static long before[3] = { 1, 2, 3 };
static long limits[V > 1 ? 6 : 4] = { 4, 3, 2, 1 };
static long behind[3] = { 7, 8, 9 };

static APART long use(long n)
{
	return before[n % 3]++ + behind[n % 3]++ + limits[n % (sizeof(limits) / sizeof(*limits))]++;
}

static long answer(long n)
{
	return use(n < 0 ? 0 : n);
}
