/*
 * A constant without pointers whose address the process has kept: what changed compares that with the constant's address, and keeps it
 * for code that does not change to compare.
 */
#include "host.h"

struct config {
	int level, size;
};

static const struct config fallback = { 3, 70 };
static const struct config *current, *last;

static APART void keep(const struct config *config)
{
	last = config;
}

static APART long is_fallback(void)
{
	return last == &fallback;
}

static APART void begin(void)
{
	if (!current)
		current = &fallback;
}

static APART long judge(long n)
{
	long known = current == &fallback ? 1 : 2;

	keep(n & 1 ? &fallback : NULL);
	return known * 10 + is_fallback() * (n & 1 ? 1 : 100) + (V == 1 ? n : 2 * n) * 1000;
}

static long answer(long n)
{
	begin();
	return judge(n);
}
