/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a constant table with pointers
 * refused with gcc -O2 -static -s: a constant table with pointers
 * refused with clang -O2 -s: a constant table with pointers
 * refused with clang -O3 -g: a constant table with pointers
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * A table of commands that changed and grew, through which a function goes by a pointer, up to the table's end, calling others on the way. Nobody else sees
 * where it is. What lies at its end is another table, which did not change, and whose address is kept and compared. (clang leaves the table's address in rax when it
 * calls by way of it: a callee might read that.)
 */
#include "host.h"

struct command {
	const char *name;
	long (*run)(long);
};

#define COMMAND(name, value)            \
	static APART long name(long n) \
	{                               \
		return value;           \
	}

COMMAND(twice, 2 * n)
COMMAND(square, n * n)
COMMAND(negate, -n)

static const struct command before[] = { { "b", twice }, { "bb", square } };
static const struct command commands[] = {
	{ "one", twice }, { "two", V == 1 ? square : negate },
#if V == 2
	{ "three", square }, { "four", twice },
#endif
};
static const struct command behind[] = { { "e", negate }, { "ee", square } };
static const struct command *first, *last;
static const char *const asked[] = { "one", "two", "three", "four" };

static APART long run(const char *name, long n)
{
	const struct command *end = commands + sizeof(commands) / sizeof(*commands);

	for (const struct command *command = commands; command != end; command++)
		if (strcmp(command->name, name) == 0)
			return command->run(n);
	return 7;
}

/* True in whatever build. */
static APART long same_neighbours(void)
{
	long same = !first || (first == before && last == behind);

	first = before;
	last = behind;
	return same;
}

static long answer(long n)
{
	return run(asked[n & 3], n) * 100 + same_neighbours() * 10 + last[n & 1].run(1) + first[n & 1].run(1);
}
