/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a constant table with pointers
 * refused with clang -O2 -fno-pie -no-pie -s: a constant table with pointers
 *
 * Tables that grew, and whose elements begin with texts, or with numbers that could be texts. (One of them is the first of the constants behind
 * the texts.)
 */
#include "host.h"

struct element {
	char name[8];
	int value;
};

static const struct element elements[] = {
	{ "first", 10 }, { "second", 20 }, { "third", 30 },
#if V == 2
	{ "fourth", 40 }, { "fifth", 50 },
#endif
};
static const int numbers[] = {
	65, 66, 67,
#if V == 2
	68, 69,
#endif
};
static const char words[][4] = {
	"one", "two", "six",
#if V == 2
	"ten",
#endif
};

static const struct element others[] = {
	{ "first", 15 }, { "second", 25 },
#if V == 2
	{ "fourth", 45 },
#endif
};

#define COUNT(table) ((long)(sizeof(table) / sizeof(*(table))))

static APART long value(const char *name)
{
	for (long i = 0; i < COUNT(elements); i++)
		if (strcmp(elements[i].name, name) == 0)
			return elements[i].value;
	return 7;
}

static APART long other_value(const char *name)
{
	for (long i = 0; i < COUNT(others); i++)
		if (strcmp(others[i].name, name) == 0)
			return others[i].value;
	return 6;
}

static APART long number(long n)
{
	return n < COUNT(numbers) ? numbers[n] : 7;
}

static APART long word(long n)
{
	return n < COUNT(words) ? words[n][0] : 7;
}

static long answer(long n)
{
	static const char *const names[] = { "first", "third", "fourth", "fifth" };

	return value(names[n & 3]) * 100000000 + other_value(names[n & 3]) * 1000000 + number(n) * 1000 + word(n);
}
