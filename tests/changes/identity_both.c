/* refused: whose address is compared with others
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * Constants that changed, and whose addresses the process has kept: two comparisons at once, which clang makes of exclusive ors.
 */
#include "host.h"

struct config {
	int level, size;
};

static const struct config fallback = { 3, V == 1 ? 70 : 80 }, other = { 4, V == 1 ? 71 : 81 };
static const struct config *current, *second;

static APART void begin(void)
{
	if (!current) {
		current = &fallback;
		second = &other;
	}
}

static APART long judge(const struct config *one, const struct config *two, long n)
{
	return ((one == &fallback) & (two == &other) ? 10 : 30) + (V == 1 ? n : 2 * n) * 1000;
}

static long answer(long n)
{
	begin();
	return judge(current, second, n) + current->size;
}
