/* Functions that are only reached through pointers in data: a table of constants, a variable, an argument of the C library. */
#include "host.h"

static long doubled(long n)
{
	return n * (V == 1 ? 11 : 14);
}

static long halved(long n)
{
	return n / 2 + atol("100") * V;
}

static long negated(long n)
{
	return -n;
}

static long (*const operations[])(long) = { doubled, halved, negated };
static long (*current)(long) = halved;

static int compare(const void *one, const void *other)
{
	int a = *(const int *)one, b = *(const int *)other;

	return V == 1 ? a - b : b - a;
}

static APART long sorted(long n)
{
	int numbers[] = { 5, 3, 9, 1, 7 };

	qsort(numbers, 5, sizeof(int), compare);
	return numbers[n < 0 ? 0 : n % 5];
}

static long answer(long n)
{
	if (n > 100)
		current = operations[n % 3];
	return operations[(unsigned long)n % 3](n) * 1000000 + current(n) * 1000 + sorted(n);
}
