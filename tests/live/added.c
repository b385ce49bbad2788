/* added.c: counts in a variable that only later versions have. A line "count" is answered with how often it has counted. */
#include <stdio.h>
#include <string.h>

#ifndef VERSION
#define VERSION 1
#endif

static long before[3] = { 1, 2, 3 };
#if VERSION > 1
static long counted;
#endif
static long behind[3] = { 7, 8, 9 };

__attribute__((noinline, noclone)) static long count(long n)
{
	long result = before[n]++ * 0 + behind[n]++ * 0;

#if VERSION > 1
	result += ++counted;
#endif
	return result * (VERSION == 3 ? -1 : 1);
}

static long (*volatile ask)(long) = count;

int main(void)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		printf("%ld\n", ask(1));
		fflush(stdout);
	}
	return 0;
}
