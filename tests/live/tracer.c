/* tracer.c: trace a process, as a debugger does, until the end of standard input. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>

int main(int argc, char **argv)
{
	if (argc != 2 || ptrace(PTRACE_SEIZE, atoi(argv[1]), NULL, NULL))
		return 1;
	puts("ready");
	fflush(stdout);
	return getchar() != EOF;
}
