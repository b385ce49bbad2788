/*
 * killer.c: preloaded into stent, ends it by SIGKILL before its call number DEADLY of those by which it touches another process; or,
 * with TORN set, in the middle of its write number DEADLY of those of more than one page. (The kernel copies page by page, and looks
 * for a fatal signal in between.)
 */
#include <stdarg.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define PAGE 4096

/* The next call is the deadly one. */
static bool is_deadly(void)
{
	static long operations, deadly;

	if (!deadly)
		deadly = atol(getenv("DEADLY"));
	return ++operations == deadly;
}

long ptrace(int request, ...)
{
	va_list list;
	long a, b, c;

	va_start(list, request);
	a = va_arg(list, long);
	b = va_arg(list, long);
	c = va_arg(list, long);
	va_end(list);
	if (!getenv("TORN") && is_deadly())
		kill(getpid(), SIGKILL);
	return syscall(SYS_ptrace, request, a, b, c);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
	if ((!getenv("TORN") || size > PAGE) && is_deadly()) {
		if (getenv("TORN"))
			syscall(SYS_pwrite64, descriptor, data, PAGE - (size_t)offset % PAGE, offset);
		kill(getpid(), SIGKILL);
	}
	return syscall(SYS_pwrite64, descriptor, data, size, offset);
}
