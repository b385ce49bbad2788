/* Code refers to a text by its end only, and goes back to its start from there, as gcc does it for a std::string. The text changes and keeps its
 * length; of another function's nothing changes. */
#include "host.h"

#define SIZE "57"
#define LONG "a text that is so long that nobody copies it by hand, "
#define KEPT __attribute__((used, visibility("hidden")))

#if V == 1
KEPT const char ends_changed[] = LONG "old";
#else
KEPT const char ends_changed[] = LONG "new";
#endif
KEPT const char ends_same[] = LONG "too";

static APART long sum(const char *from, const char *to)
{
	long result = 0;

	while (from < to)
		result = result * 31 + *from++;
	return result;
}

static APART long of_changed(long n)
{
	const char *from, *to;

	__asm__("lea ends_changed+" SIZE "(%%rip), %0\n\tlea -" SIZE "(%0), %1" : "=&r"(to), "=r"(from));
	return n + sum(from, to);
}

static APART long of_same(long n)
{
	const char *from, *to;

	__asm__("lea ends_same+" SIZE "(%%rip), %0\n\tmov %0, %1\n\tsub $" SIZE ", %1" : "=&r"(to), "=r"(from));
	return n + sum(from, to);
}

static long answer(long n)
{
	return of_changed(n) + of_same(n);
}
