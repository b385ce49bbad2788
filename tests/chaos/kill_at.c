/*
 * kill_at.c: run a program and kill it at one point of its system calls.
 *
 *	kill_at POINT PROGRAM ARGUMENT...
 *
 * Points are counted from 1 over the system calls of the program and of whatever it starts: the exit of its exec, then for each call one
 * just before it, where it is not made any more, and one just behind it. The kernel skips the call of a task that has a fatal signal
 * when it leaves the stop at a call's entry (kernel/entry/common.c, syscall_trace_enter() and ptrace_report_syscall_entry()).
 * The task that makes the call is what is killed.
 *
 * Exit status: that of the program (137 if it was killed). On stderr "points N": N is all that there were, and none was POINT.
 */
#include <errno.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)

/* linux/ptrace.h has what is new, sys/ptrace.h the function; both can't be included. */
static long trace(long request, pid_t pid, unsigned long address, void *data)
{
	return syscall(SYS_ptrace, request, pid, address, data);
}

static void die(const char *what)
{
	perror(what);
	exit(125);
}

static pid_t start(char **arguments)
{
	int gate[2];
	char byte;
	pid_t pid;

	if (pipe(gate) || (pid = fork()) < 0)
		die("kill_at");
	if (!pid) {
		close(gate[1]);
		if (read(gate[0], &byte, 1) == 1) {
			close(gate[0]);
			execvp(arguments[0], arguments);
		}
		_exit(127);
	}
	if (trace(PTRACE_SEIZE, pid, 0, (void *)OPTIONS))
		die("kill_at: PTRACE_SEIZE");
	if (write(gate[1], "", 1) != 1)
		die("kill_at");
	close(gate[0]);
	close(gate[1]);
	return pid;
}

/* Let a task that has stopped go on. True: it had stopped at a call's entry or exit. */
static bool handle_stop(pid_t pid, int status)
{
	const int signal = WSTOPSIG(status), event = status >> 16;

	if (signal == (SIGTRAP | 0x80))
		return true;
	if (event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU))
		trace(PTRACE_LISTEN, pid, 0, NULL);
	else
		trace(PTRACE_SYSCALL, pid, 0, (void *)(event ? 0l : (long)signal));
	return false;
}

int main(int count, char **arguments)
{
	const long deadly = count > 2 ? atol(arguments[1]) : 0;
	bool begun = false;	/* the program's exec is done */
	long points = 0;
	int status, result = 125;
	pid_t first, pid;

	if (deadly < 1) {
		fprintf(stderr, "usage: kill_at POINT PROGRAM ARGUMENT...\n");
		return 125;
	}
	first = start(arguments + 2);
	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (pid < 0)
			continue;
		if (!WIFSTOPPED(status)) {
			if (pid == first)
				result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			continue;
		}
		begun |= status >> 16 == PTRACE_EVENT_EXEC;
		if (!handle_stop(pid, status))
			continue;
		if (begun && ++points == deadly)
			kill(pid, SIGKILL);
		trace(PTRACE_SYSCALL, pid, 0, NULL);
	}
	if (points < deadly)
		fprintf(stderr, "points %ld\n", points);
	return result;
}
