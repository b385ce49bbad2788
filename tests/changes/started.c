/* refused without symbols: layout of \.(bss|data) changed
 * refused with gcc -O2 -g: the new variable scale, to which .* refers as well, that runs at start-up only
 * refused with clang -O3 -g: the new variable scale, to which .* refers as well, that runs at start-up only
 * A new variable gets its value when the program starts, which this one has done. */
#include "host.h"

static long before[3] = { 1, 2, 3 };
#if V > 1
static long scale, offset;
#endif
static long behind[3] = { 7, 8, 9 };

static __attribute__((constructor)) void begin(void)
{
#if V > 1
	scale = before[1] + getenv("HOME") ? 10 : 11;
#endif
	before[0]++;
}

static APART long use(long n)
{
	long result = before[n % 3]++ + behind[n % 3]++;

#if V > 1
	result = result / scale + offset++;
#endif
	return result;
}

static long answer(long n)
{
	return use(n < 0 ? 0 : n);
}
