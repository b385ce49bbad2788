/* refused: the variable .*: (its initial value|a pointer in its initial value) differs
 * A text in a variable that could be a version, and could be anything else: nobody says that it is one. */
#include "host.h"

#if V == 1
#define LEAST "1.0"
#else
#define LEAST "1.2"
#endif

static char least[] = LEAST;

static APART long change(long n)
{
	if (n == 1000)
		least[0] = '0';
	return n * V;
}

static long answer(long n)
{
	return change(n) + (long)strlen(least);
}
