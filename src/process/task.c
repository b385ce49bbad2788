/*
 * What /proc tells about the threads of a process. The names in it are chosen by the program and may hold
 * anything; the kernel escapes line ends in "Name:" of status, and nothing is parsed behind a name in stat
 * without going to its last parenthesis first.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "process/process.h"

/* include/linux/sched.h. The kernel's workers of a process had bit 4 until 6.3, and have bit 14 since. */
#define PF_IO_WORKER 0x10u
#define PF_EXITING 0x4u
#define PF_USER_WORKER 0x4000u
#define PF_KTHREAD 0x200000u

#define LIST_ENTRY 32u		/* bytes */
#define LIST_MORE 4096u		/* for threads that are made meanwhile */
#define LIST_TRIES 10

char *process_file(const struct process *process, const char *name, size_t *size)
{
	int descriptor = openat(process->directory, name, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t length = 0, room = 0;

	if (descriptor < 0)
		return NULL;
	for (;;) {
		if (length + 1 >= room) {
			room = room ? room * 2 : 4096;
			text = memory_resize(text, room, 1);
		}

		ssize_t count = read(descriptor, text + length, room - length - 1);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {	/* ESRCH: gone meanwhile */
			free(text);
			close(descriptor);
			return NULL;
		}
		if (!count)
			break;
		length += (size_t)count;
	}
	close(descriptor);
	text[length] = '\0';
	if (size)
		*size = length;
	return text;
}

static const char *status_field(const char *status, const char *name)
{
	const char *found = strstr(status, name);

	return found ? found + strlen(name) : "";
}

static void parse_status(const char *status, struct task *task)
{
	/* Ignored unless there is a handler (man 7 signal). */
	static const int quiet[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH };
	uint64_t pending, shared, blocked, caught;
	size_t length;

	pending = strtoull(status_field(status, "\nSigPnd:"), NULL, 16);
	shared = strtoull(status_field(status, "\nShdPnd:"), NULL, 16);
	blocked = strtoull(status_field(status, "\nSigBlk:"), NULL, 16);
	task->without_effect = strtoull(status_field(status, "\nSigIgn:"), NULL, 16);
	caught = strtoull(status_field(status, "\nSigCgt:"), NULL, 16);
	for (size_t i = 0; i < sizeof(quiet) / sizeof(*quiet); i++)
		if (!(caught & UINT64_C(1) << (quiet[i] - 1)))
			task->without_effect |= UINT64_C(1) << (quiet[i] - 1);
	/* The kernel drops these at once, but queues them for a thread that is traced: the program would not have noticed. */
	task->deliverable = (pending | shared) & ~blocked & ~task->without_effect;
	task->tracer = (pid_t)strtol(status_field(status, "\nTracerPid:"), NULL, 10);
	task->seccomp = strtol(status_field(status, "\nSeccomp:"), NULL, 10) != 0;
	task->switches = strtoull(status_field(status, "\nvoluntary_ctxt_switches:"), NULL, 10) +
			 strtoull(status_field(status, "\nnonvoluntary_ctxt_switches:"), NULL, 10);

	/* "x86_Thread_features:	shstk wrss" (arch/x86/kernel/cpu/proc.c) */
	const char *features = status_field(status, "\nx86_Thread_features:");

	task->shadow_stack = memmem(features, strcspn(features, "\n"), "shstk", strlen("shstk"));

	const char *name = status_field(status, "Name:");

	name += strspn(name, "\t ");
	length = strcspn(name, "\n");
	if (length >= sizeof(task->comm))
		length = sizeof(task->comm) - 1;
	memcpy(task->comm, name, length);
	task->comm[length] = '\0';
	utf8_make_printable(task->comm);

	/* "State:	S (sleeping)" */
	name = status_field(status, "\nState:");
	task->state = name[strspn(name, "\t ")];
}

bool process_task_status(const struct process *process, pid_t tid, struct task *task)
{
	char path[64], *status;
	bool known;

	*task = (struct task){ 0 };
	snprintf(path, sizeof(path), "task/%d/status", tid);
	status = process_file(process, path, NULL);
	known = status;
	if (known)
		parse_status(status, task);
	free(status);
	return known;
}

bool process_task(const struct process *process, pid_t tid, struct task *task)
{
	char path[64], *stat, *behind;
	bool known = process_task_status(process, tid, task);

	snprintf(path, sizeof(path), "task/%d/stat", tid);
	stat = known ? process_file(process, path, NULL) : NULL;
	/* "pid (name) state ppid pgrp session tty tpgid flags ..." */
	behind = stat ? strrchr(stat, ')') : NULL;
	known = behind && sscanf(behind, ") %c %*d %*d %*d %*d %*d %" SCNu32, &task->state, &task->flags) == 2;
	free(stat);
	return known;
}

bool task_ended(const struct task *task)
{
	return task->state == 'Z' || task->state == 'X' || task->state == 'x' || (task->flags & PF_EXITING);
}

bool task_kernel_thread(const struct task *task)
{
	return task->flags & PF_KTHREAD;
}

bool task_kernel_worker(const struct task *task)
{
	/* The bits meant other things in older kernels, the name alone can be forged: both are asked for, and
	 * a program that forges both hides its thread from nobody but itself. */
	return (task->flags & (PF_IO_WORKER | PF_USER_WORKER)) && !strncmp(task->comm, "iou-", 4);
}

bool process_task_call(const struct process *process, pid_t tid, struct task_call *call)
{
	char path[64];
	char *text;
	bool known = true;
	uint64_t *a = call->arguments;

	*call = (struct task_call){ .number = -1 };
	snprintf(path, sizeof(path), "task/%d/syscall", tid);
	text = process_file(process, path, NULL);
	if (!text)
		return false;
	/* "running", or "NUMBER six arguments SP PC", or "-1 SP PC" (Documentation/filesystems/proc.rst) */
	if (!strncmp(text, "running", strlen("running")))
		call->blocked = false;
	else if (sscanf(text, "%" SCNd64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
			" %" SCNx64 " %" SCNx64, &call->number, a, a + 1, a + 2, a + 3, a + 4, a + 5, &call->stack,
			&call->pc) == 9)
		call->blocked = true;
	else if (sscanf(text, "-1 %" SCNx64 " %" SCNx64, &call->stack, &call->pc) == 2)
		call->blocked = true;
	else
		known = false;
	free(text);
	return known;
}

/*
 * One look at the list, in one call: where the kernel goes on in a second one, by position, it leaves out as many as have ended in between.
 * The entries' names are numbers of at most seven digits (PID_MAX_LIMIT), so each takes 32 bytes (getdents64(2)).
 */
static bool list_once(int directory, struct tids *tids)
{
	struct stat stat;
	char last[16];
	uint8_t *bytes;
	ssize_t count;
	size_t size;

	if (fstat(directory, &stat) < 0 || lseek(directory, 0, SEEK_SET) < 0)
		return false;
	size = LIST_MORE + 2 * LIST_ENTRY * (size_t)stat.st_nlink;
	bytes = memory_resize(NULL, size, 1);
	count = getdents64(directory, bytes, size);
	tids->count = 0;
	for (ssize_t at = 0; at < count; at += ((struct dirent64 *)(bytes + at))->d_reclen) {
		const struct dirent64 *entry = (struct dirent64 *)(bytes + at);

		if (isdigit((unsigned char)entry->d_name[0]))
			*array_add(tids) = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	free(bytes);
	if (count < 0)
		return false;
	snprintf(last, sizeof(last), "%d", tids->count ? tids->item[tids->count - 1] : 0);
	tids->cut = (size_t)count > size - LIST_ENTRY || faccessat(directory, last, F_OK, 0) < 0;
	return true;
}

bool process_tids(const struct process *process, struct tids *tids)
{
	int directory = openat(process->directory, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool listed = directory >= 0;
	int failed;

	tids->count = 0;
	tids->cut = true;
	for (int tries = 0; listed && tids->cut && tries < LIST_TRIES; tries++)
		listed = list_once(directory, tids);
	failed = errno;
	if (directory >= 0)
		close(directory);
	errno = failed;
	return listed;
}
