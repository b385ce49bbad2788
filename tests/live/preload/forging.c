/*
 * forging.c: preloaded into stent, does what a program may do to its ledger whenever its threads are let go: the byte at FORGED_AT in
 * the memory of process FORGED_IN becomes 2 (installing).
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PTRACE_DETACH 17	/* linux/ptrace.h; sys/ptrace.h declares another ptrace() */

static void forge(void)
{
	char path[64];
	int descriptor;

	snprintf(path, sizeof(path), "/proc/%s/mem", getenv("FORGED_IN"));
	descriptor = open(path, O_WRONLY | O_CLOEXEC);
	if (pwrite(descriptor, "\2", 1, atol(getenv("FORGED_AT"))) != 1)
		abort();
	close(descriptor);
}

long ptrace(int request, ...)
{
	va_list list;
	long a, b, c, result;

	va_start(list, request);
	a = va_arg(list, long);
	b = va_arg(list, long);
	c = va_arg(list, long);
	va_end(list);
	result = syscall(SYS_ptrace, request, a, b, c);
	if (request == PTRACE_DETACH)
		forge();
	return result;
}
