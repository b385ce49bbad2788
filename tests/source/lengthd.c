/*
 * lengthd.c: a small service as a developer has it: it reads lines, and answers each with the length that it says. It takes lengths
 * that are not canonical ("007"), which fix.diff corrects.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long lines;

__attribute__((noinline)) static long parse_length(const char *digits)
{
	char *end;
	long length = strtol(digits, &end, 10);

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
