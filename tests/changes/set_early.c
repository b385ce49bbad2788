/* What is set when a program starts, and can't be written to from then on: the C library's own in a static program, else the dynamic linker's. */
#include "host.h"

extern void *__libc_stack_end;

static APART long digits(long n)
{
	char text[32];

	return snprintf(text, sizeof(text), "%ld", n);
}

static APART long answer_by(long n)
{
	return digits(n) + n * V + (__libc_stack_end != NULL) * 100;
}

static long answer(long n)
{
	return answer_by(n) + digits(n + 5);
}
