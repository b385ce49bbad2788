/* refused: the layout of \.(bss|data) changed|initial value|a variable that is new|it runs at start-up
 * refused with gcc -O2 -g: a variable that is new, or whose place
 * refused with clang -O3 -g: a variable that is new, or whose place
 * A variable has another name, and more beside it: what it holds must not be lost. */
#include "host.h"

#if V > 1
#define state progress
static long rounds[2];
#endif
static long before[3] = { 1, 2, 3 };
static long state;
static long behind[3] = { 7, 8, 9 };

static APART long use(long n)
{
	long result = before[n % 3]++ + behind[n % 3]++;

	state = n ? state * 3 + n : 1;
#if V > 1
	rounds[n & 1]++;
#endif
	return result + state * V;
}

static long answer(long n)
{
	return use(n < 0 ? 0 : n);
}
