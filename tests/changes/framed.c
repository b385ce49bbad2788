/* refused: an object on the stack has another size: in 1 function nothing but the frame's size and places in it differ
 * An object that a function has on its stack, and of which it gives the address to others, has become smaller: what
 * a library that stays as it is writes there, as large as it knows it, would go over its end. */
#include "host.h"

#if V > 1
#define SIZE 64
#else
#define SIZE 96
#endif

struct record {
	char text[SIZE];
	long number;
};

static APART long measure(long n)
{
	struct record record;

	record.number = 7;
	sprintf(record.text, "%ld", n * record.number);
	return (long)strlen(record.text) + atol(record.text);
}

static long answer(long n)
{
	return measure(n) + 1;
}
