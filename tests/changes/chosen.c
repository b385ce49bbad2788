/* refused: a constant table with pointers|only a restart can bring this change
 *
 * A table that changed, with a function that is chosen at start-up (IFUNC): the pointer to it is known to the process alone. (In a static program
 * an answer is found on the way to main() only.)
 */
#include "host.h"

static APART long twice(long n)
{
	return 2 * n;
}

static APART long square(long n)
{
	return n * n;
}

static void *choose(void)
{
	return twice;
}

static long chosen(long) __attribute__((ifunc("choose")));
static long (*const steps[])(long) = { square, chosen, V == 1 ? twice : square, square };

static APART long (*step_of(long n))(long)
{
	return steps[n & 3];
}

static long answer(long n)
{
	return step_of(n)(n + 3);
}
