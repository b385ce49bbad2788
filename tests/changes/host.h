/* host.h: of each small program here: a number per line on standard input, an answer per line. V is 1 or 2, the build. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noinline, noclone))
#endif

static long answer(long n);

/* main() runs all the time and is never replaced: nothing may be inlined into it. */
static long (*volatile ask)(long) = answer;

int main(void)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		printf("%ld\n", ask(atol(line)));
		fflush(stdout);
	}
	return 0;
}
