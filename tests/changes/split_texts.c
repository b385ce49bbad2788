/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * Tables of which other code takes an address in the middle, where a text seems to stand, or a number looks like one, with a change behind that. Some of
 * them begin so, too.
 */
#include "host.h"

#if V == 1
#define CHANGED "third"
#else
#define CHANGED "THIRD"
#endif

struct number {
	int key, value;
};

struct named {
	int id;
	char name[16];
};

struct name {
	char name[8];
	int value;
};

static const struct number numbers[] = { { 1, 10 }, { 66, 20 }, { 3, V == 1 ? 30 : 35 }, { 4, 40 } };
static const struct number letters[] = { { 'a', 10 }, { 'b', 20 }, { 'c', V == 1 ? 30 : 35 }, { 'd', 40 } };
static const struct named named[] = { { 1, "first" }, { 2, "second" }, { 3, CHANGED }, { 4, "fourth" } };
static const char words[][12] = { "one", "two", CHANGED, "ten" };
static const struct name names[] = { { "first", 10 }, { "second", 20 }, { "third", V == 1 ? 30 : 35 }, { "fourth", 40 } };

static APART long number(long n)
{
	return numbers[n & 3].value;
}

static APART const struct number *a_number(void)
{
	return &numbers[1];
}

static APART long letter(long n)
{
	return letters[n & 3].value;
}

static APART const struct number *a_letter(void)
{
	return &letters[1];
}

static APART long named_letter(long n)
{
	return named[n & 3].name[0];
}

static APART const char *a_named(void)
{
	return named[2].name;
}

static APART const struct named *another_named(void)
{
	return &named[3];
}

static APART long word(long n)
{
	return words[n & 3][0];
}

static APART const char *a_word(void)
{
	return words[1];
}

static APART long value(const struct name *from, long n)
{
	return from[n & 3].value;
}

/* Changes, and lets the table out. */
static APART long name(long n)
{
	return value(names, n) + (V == 1 ? 100 : 200);
}

static APART const struct name *a_name(void)
{
	return &names[1];
}

static long answer(long n)
{
	long middles = a_number()->key + a_letter()->key + a_named()[1] + another_named()->id + a_word()[0] + a_name()->value;

	return ((((number(n) * 100 + letter(n)) * 1000 + named_letter(n)) * 1000 + word(n)) * 1000 + name(n)) * 1000 + middles;
}
