/*
 * refused with gcc -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 * refused with clang -O2 -fno-pie -no-pie -s: a number that may or may not be an address
 *
 * One function gives the start of a table of numbers, and another one its end, where another table starts. Far behind that is one that changed, so
 * that the first table is known to be the same, and the second one isn't. (In assembly, which leaves the order as it is.)
 */
#include "host.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

extern const int table[8] __attribute__((visibility("hidden"))), next[512] __attribute__((visibility("hidden"))),
	far[600] __attribute__((visibility("hidden"))), changed[8] __attribute__((visibility("hidden")));
__asm__(".globl table, next, far, changed; .hidden table, next, far, changed; .section .rodata; .balign 32;"
	"table: .long 2, 7, 1, 8, 2, 8, 1, 8; next: .long 5; .fill 510, 4, 0; .long 6; far: .long 3; .fill 598, 4, 0; .long 9;"
	"changed: .long " TEXT(V) "; .fill 7, 4, 0; .text");
static const int *volatile kept[4];

/* Does not change. */
static APART void keep(void)
{
	kept[0] = table;
	kept[1] = next;
	kept[2] = far;
}

static APART const int *begin(long n)
{
	kept[3] = changed;
	return n == (V == 1 ? 99 : 3) ? far : table;
}

static APART const int *end(long n)
{
	kept[3] = changed;
	return n == (V == 1 ? 99 : 3) ? far : next;
}

static long answer(long n)
{
	const int *from, *to;
	long sum = 0;

	keep();
	from = begin(n);
	to = end(n);
	for (int i = 0; i < 12 && from != to; i++)
		sum = sum * 10 + *from++;
	return sum * 10 + *kept[3];
}
