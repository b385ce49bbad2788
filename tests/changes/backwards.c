/* Code refers to constants by their end only, and goes back from there in ways that no number in it tells: in a loop, by a number that it is given, or
 * by what is left behind one of two branches. Something in their middle changes. */
#include "host.h"

#if V == 1
#define CHANGED 'x'
#else
#define CHANGED 'y'
#endif

/* What lies behind each stays as it is. */
struct letters {
	char letter[5], behind[59];
};

#define LETTERS { { 'b', 'c', CHANGED, 'd', 'e' }, "and what is behind them" }
static const struct letters by_loop = LETTERS, by_ones = LETTERS, by_number = LETTERS, by_branch = LETTERS, by_join = LETTERS;

/* The address behind the letters; of what, the compiler does not know. */
#define END_OF(letters) ({ const char *end_ = (letters).behind; __asm__("" : "+r"(end_)); end_; })

static APART long in_loop(long n)
{
	const char *at = END_OF(by_loop);

	do {
		at -= 1;
		n = n * 31 + *at;
	} while (*at != 'b');
	return n;
}

static APART long in_ones(long n)
{
	const char *at = END_OF(by_ones);
	char is;

	__asm__("1:\n\tdec %0\n\tmov (%0), %1\n\tcmp $'d', %1\n\tjae 1b" : "+r"(at), "=q"(is));
	return n + is;
}

static APART long of_number(long n)
{
	const char *at = END_OF(by_number);
	long back = n % 5 + 1;

	__asm__("sub %1, %0" : "+r"(at) : "r"(back));
	return n + *at;
}

/* The first visit of what follows has nothing in the register. */
static APART long of_branch(long n)
{
	const char *at = END_OF(by_branch), *copy;

	__asm__("xor %k0, %k0\n\ttest $1, %b2\n\tjne 1f\n\tmov %1, %0\n1:\n\ttest %0, %0\n\tje 2f\n\tlea -3(%0), %1\n2:"
		: "=&r"(copy), "+r"(at) : "q"(n));
	return n + (copy ? *at : at[-1]);
}

/* And here it has a higher address. */
static APART long of_join(long n)
{
	const char *at = END_OF(by_join);

	__asm__("test $1, %b1\n\tjne 1f\n\tsub $2, %0\n1:\n\tsub $1, %0" : "+r"(at) : "q"(n));
	return n + *at;
}

static long answer(long n)
{
	return in_loop(n) + 3 * in_ones(n) + 5 * of_number(n) + 7 * of_branch(n) + 11 * of_join(n);
}
