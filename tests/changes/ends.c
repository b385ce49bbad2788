/* Code refers to a text by its end only, and goes back to its start from there, as gcc does it for a std::string. The text changes and keeps its
 * length; of another function's nothing changes. Numbers change, too: of some the end is the start of a text, which does not, of others that of the
 * section. */
#include "host.h"

#define SIZE "57"
#define LONG "a text that is so long that nobody copies it by hand, "
#define KEPT __attribute__((used, visibility("hidden")))

#if V == 1
#define NUMBER "1"
KEPT const char ends_changed[] = LONG "old";
#else
#define NUMBER "2"
KEPT const char ends_changed[] = LONG "new";
#endif
KEPT const char ends_same[] = LONG "too";

/* (Linkers put .rodata1 behind .rodata.) */
#define NUMBERS "\t.balign 8\n\t.fill 12, 4, 0x01020304 * " NUMBER "\n"
__asm__(".pushsection .rodata1, \"a\", @progbits\nends_first:\n\t.asciz \"first\"\n"
	NUMBERS "ends_text:\n\t.asciz \"second\"\n"
	NUMBERS "ends_last:\n\t.popsection");

static APART long sum(const char *from, const char *to)
{
	long result = 0;

	while (from < to)
		result = result * 31 + *from++;
	return result;
}

static APART long of_changed(long n)
{
	const char *from, *to;

	__asm__("lea ends_changed+" SIZE "(%%rip), %0\n\tlea -" SIZE "(%0), %1" : "=&r"(to), "=r"(from));
	return n + sum(from, to);
}

static APART long of_same(long n)
{
	const char *from, *to;

	__asm__("lea ends_same+" SIZE "(%%rip), %0\n\tmov %0, %1\n\tsub $" SIZE ", %1" : "=&r"(to), "=r"(from));
	return n + sum(from, to);
}

static APART long of_text(long n)
{
	const char *from, *to;

	__asm__("lea ends_text(%%rip), %0\n\tlea -48(%0), %1" : "=&r"(to), "=r"(from));
	return n + sum(from, to);
}

static APART long first(long n)
{
	const char *text;

	__asm__("lea ends_first(%%rip), %0" : "=r"(text));
	return n + text[n % 5];
}

static APART long second(long n)
{
	const char *text;

	__asm__("lea ends_text(%%rip), %0" : "=r"(text));
	return n + text[n % 6];
}

static APART long of_last(long n)
{
	const char *from, *to;

	__asm__("lea ends_last(%%rip), %0\n\tlea -48(%0), %1" : "=&r"(to), "=r"(from));
	return n + sum(from, to);
}

static long answer(long n)
{
	return of_changed(n) + of_same(n) + of_text(n) + first(n) + second(n) + of_last(n);
}
