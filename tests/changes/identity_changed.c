/* refused: whose address is compared with others
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * A constant that changed, and whose address the process has kept: what changed compares that with the constant's address.
 */
#include "host.h"

struct config {
	int level, size;
};

static const struct config fallback = { 3, V == 1 ? 70 : 80 };
static const struct config *current;

static APART void begin(void)
{
	if (!current)
		current = &fallback;
}

static APART long judge(long n)
{
	return (current == &fallback ? 10 : 30) + (V == 1 ? n : 2 * n) * 1000;
}

static long answer(long n)
{
	begin();
	return judge(n) + current->size;
}
