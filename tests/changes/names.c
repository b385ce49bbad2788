/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a constant table with pointers
 * refused with gcc -O2 -static -s: a constant table with pointers
 * refused with clang -O2 -fno-pie -no-pie -s: a constant table with pointers
 *
 * A table of texts that grew, and a table of functions that changed, which code does nothing with but load from. Who calls may compare what was
 * loaded: a function and a text have the address that they had.
 */
#include "host.h"

static const char *const names[] = { "zero", "one", "two", "three",
#if V == 2
	"four", "five",
#endif
};
static const char *seen;

static APART const char *name_of(long n)
{
	return n >= 0 && n < (long)(sizeof(names) / sizeof(*names)) ? names[n] : "none";
}

static APART long twice(long n)
{
	return 2 * n;
}

static APART long square(long n)
{
	return n * n;
}

static APART long negate(long n)
{
	return -n;
}

static long (*const steps[])(long) = { twice, V == 1 ? square : negate, V == 1 ? negate : square, twice };

static APART long (*step_of(long n))(long)
{
	return steps[n & 3];
}

static long answer(long n)
{
	const char *name = name_of(n);
	long same = name == seen;

	seen = name_of(2);	/* by the next question it may be of the other build */
	return (long)strlen(name) * 10000 + same * 1000 + step_of(n)(n) + (step_of(0) == twice) * 100000;
}
