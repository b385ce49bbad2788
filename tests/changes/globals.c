/* refused without symbols: layout of \.(bss|data) changed
 * Variables are new: before, between and behind others, with and without a first value, with pointers in them, a scalar whose address is taken next to
 * another one, a static one of a function that has a namesake in another function. They begin anew with a line with 0. */
#include "host.h"

struct pair {
	long one;
	const char *text;
	long (*call)(long);
};

static APART long twice(long n)
{
	return 2 * n;
}

static long before[3] = { 1, 2, 3 };
static long counted, total;
#if V > 1
static long limits[4] = { 4, 3, 2, 1 };
static struct pair pairs[3] = { { 1, "one", twice }, { 22, "twenty-two", twice }, { 3, "three", labs } };
static long sum, peak;
static char seen[100];
#endif
static long behind[3] = { 7, 8, 9 };
static long last;

static APART void raise_to(long *to, long n)
{
	if (n > *to)
		*to = n;
}

static APART long own(long n)
{
	static long count;

	count = n ? count + 1 : 0;
	return count;
}

static APART long use(long n)
{
	long result;

	if (!n) {
		memset(behind, 0, sizeof(behind));
		counted = total = last = 0;
	}
	result = before[n % 3] + behind[n % 3];
	behind[n % 3] += n;
	counted++;
	raise_to(&total, n);
	last = n;
#if V > 1
	static long count;

	if (!n)
		sum = peak = count = 0;
	count += 3;
	seen[n]++;
	sum += limits[n & 3] + count;
	if (sum > peak)
		peak = sum;
	if (n == 200)
		pairs[n % 3].one++;
	result += sum * 1000 + peak + pairs[n % 3].call(pairs[n % 3].one) + (long)strlen(pairs[n % 3].text) + !!seen[n];
#endif
	return result + counted * 10 + total + last;
}

static long answer(long n)
{
	return use(n < 0 ? 0 : n) * 10 + own(n);
}
