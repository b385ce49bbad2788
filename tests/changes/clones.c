/* Functions of which compilers make clones: without arguments that are not needed, with constants in them, with their first part inlined. */
#include "host.h"

struct pair {
	long one, two, unused[6];
};

/* .isra: passes members; */
static __attribute__((noinline)) long sum(const struct pair *pair, long factor)
{
	return pair->one * factor + pair->two * V;
}

/* .constprop: always called with 3; */
static __attribute__((noinline)) long scale(long n, long factor, const char *text)
{
	long result = 0;

	for (long i = 0; i < factor; i++)
		result += atol(text) + n * i;
	return result * (V == 1 ? 3 : 10);
}

/* .part: the test is inlined into callers. */
static long partly(long n)
{
	long result = 0;

	if (n < 5)
		return n;
	for (long i = 0; i < n; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%ld", i * V);
		result += atol(text) + (long)strlen(text);
		if (result & 1)
			result += labs(-i) * 3;
	}
	return result;
}

static APART long user(long n)
{
	return partly(n) + scale(n, 3, "17");
}

static APART long other_user(long n)
{
	return partly(n + 2) * 3;
}

static long answer(long n)
{
	const struct pair pair = { n, n + 1, { 0 } };

	return sum(&pair, 2) * 1000000 + user(n) * 1000 + other_user(n);
}
