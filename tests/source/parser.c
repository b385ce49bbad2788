/*
 * parser.c: a small service in two versions (-DV=1, -DV=2), as a developer has it. It reads lines from stdin, and answers each.
 * Version 1 takes lengths that are not canonical ("007").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long lines;

#if V == 2
__attribute__((noinline)) static int canonical(const char *digits)
{
	return digits[0] != '0' || !digits[1];
}
#endif

__attribute__((noinline)) static long parse_length(const char *digits)
{
	char *end;
	long length = strtol(digits, &end, 10);

#if V == 2
	if (!canonical(digits))
		return -1;
#endif
	return *digits && !*end && length < 4096 ? length : -1;
}

__attribute__((noinline)) static void answer(char *line)
{
	long length;

	line[strcspn(line, "\n")] = '\0';
	length = parse_length(line);
	lines++;
	if (length < 0)
		printf("%lu error\n", lines);
	else
		printf("%lu length %ld\n", lines, length);
	fflush(stdout);
}

int main(void)
{
	char line[128];

	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
