/*
 * hiding.c: preloaded into stent, hides from it which processes share memory, but while it has asked a thread to stop: as if each
 * such process had been made just then. One is made then, because the kernel counts what it makes.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* linux/ptrace.h; sys/ptrace.h declares another ptrace() */
#define PTRACE_DETACH 17
#define PTRACE_INTERRUPT 0x4207

static bool stopping;

static long (*next(void))(long, ...)
{
	static long (*found)(long, ...);

	if (!found)
		found = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return found;
}

long syscall(long number, ...)
{
	va_list list;
	long arguments[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_kcmp && !stopping)
		return 1;	/* another memory */
	return next()(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
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
	if (request == PTRACE_INTERRUPT && !stopping) {
		pid_t made = fork();

		if (!made)
			_exit(0);
		waitpid(made, NULL, 0);
	}
	if (request == PTRACE_INTERRUPT || request == PTRACE_DETACH)
		stopping = request == PTRACE_INTERRUPT;
	return next()(SYS_ptrace, request, a, b, c);
}
