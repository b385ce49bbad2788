/*
 * Opening a process, and why one can't be opened. Nothing here disturbs it: only files of /proc are read.
 */
#include "process/process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/utf8.h"

#define DESCRIPTORS_LEAST 64u	/* some, and some for each of a few processors */

/* First line of a file; "" when there is none. */
static void read_line(const char *path, char *out, size_t room)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = descriptor < 0 ? -1 : read(descriptor, out, room - 1);

	out[count < 0 ? 0 : count] = '\0';
	out[strcspn(out, "\n")] = '\0';
	if (descriptor >= 0)
		close(descriptor);
}

const char *process_comm_of(pid_t pid, char out[COMM_MAX])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	read_line(path, out, COMM_MAX);
	return *out ? utf8_make_printable(out) : "?";
}

/* By errno. */
static enum status no_process(pid_t pid, struct error *error)
{
	char path[64], status[512] = "";
	int descriptor, reason = errno;
	pid_t group = 0;

	/* /proc/TID exists for every thread, though no listing shows it. */
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor >= 0) {
		ssize_t count = read(descriptor, status, sizeof(status) - 1);
		const char *field = count > 0 ? strstr(status, "\nTgid:") : NULL;

		if (field)
			group = atoi(field + strlen("\nTgid:"));
		close(descriptor);
	}
	if (reason == EMFILE || reason == ENFILE)
		return fail(error, "process %d can't be looked at: %s", pid, strerror(reason));
	if (group && group != pid)
		return fail(error, "%d is a thread of process %d: give the number of the process", pid, group);
	return fail(error, "process %d: there is no such process", pid);
}

static bool signals_reach(int handle)
{
	/* Signal 0 is only a question; a zombie still answers. EPERM is an answer, too. */
	return syscall(SYS_pidfd_send_signal, handle, 0, NULL, 0) == 0 || errno != ESRCH;
}

pid_t process_living_task(const struct process *process)
{
	struct tids tids = { 0 };
	struct task task;
	pid_t found = 0;
	bool gone;

	/* (To list a thousand threads takes long, and this is asked while they stand still.) */
	if (process_task(process, process->pid, &task) && !task_ended(&task))
		return process->pid;
	gone = process_tids(process, &tids) ? !tids.cut : errno == ENOENT || errno == ESRCH;
	for (size_t i = 0; i < tids.count && !found; i++)
		if (process_task(process, tids.item[i], &task) && !task_ended(&task))
			found = tids.item[i];
	array_free(&tids);
	return found || gone ? found : -1;
}

/* The program is a 64-bit one of this machine, as far as its file tells. */
static enum status check_class(const struct process *process, struct error *error)
{
	int descriptor = openat(process->directory, "exe", O_RDONLY | O_CLOEXEC);
	uint8_t header[20];

	if (descriptor < 0)	/* not readable for us: the registers will tell */
		return STATUS_OK;

	ssize_t count = read(descriptor, header, sizeof(header));

	close(descriptor);
	if (count != (ssize_t)sizeof(header) || memcmp(header, ELFMAG, SELFMAG))
		return STATUS_OK;
	if (header[EI_CLASS] != ELFCLASS64)
		return refuse(error, "process %d (%s) runs a 32-bit program: stent patches 64-bit ones only", process->pid,
			      process->comm);
	return STATUS_OK;
}

static enum status check_tasks(struct process *process, struct error *error)
{
	struct tids tids = { 0 };
	enum status status = STATUS_OK;
	char comm[COMM_MAX];
	struct task task;

	if (!process_tids(process, &tids))
		status = fail(error, "process %d (%s): its threads can't be listed: %s", process->pid, process->comm, strerror(errno));
	/* (That one which is missing is traced the kernel says later.) */
	for (size_t i = 0; i < tids.count && status == STATUS_OK; i++) {
		if (!process_task_status(process, tids.item[i], &task))
			continue;
		if (task.shadow_stack)
			process->shadow_stack = tids.item[i];
		if (task.tracer)
			status = refuse(error, "process %d (%s) is traced by %s (pid %d)", process->pid, process->comm,
					process_comm_of(task.tracer, comm), task.tracer);
	}
	array_free(&tids);
	return status;
}

static enum status open_memory(struct process *process, enum process_use use, struct error *error)
{
	char name[64];
	pid_t tid = process_living_task(process);

	if (tid < 0)
		return fail(error, "process %d (%s): its first thread has ended, and which others there are can't be told", process->pid,
			    process->comm);
	if (!tid)
		return fail(error, "process %d (%s) has ended: it is a zombie, or exiting", process->pid, process->comm);

	snprintf(name, sizeof(name), "task/%d/mem", tid);
	process->memory = openat(process->directory, name, (use == PROCESS_CHANGE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (process->memory < 0 && (errno == EACCES || errno == EPERM))
		return fail(error, "process %d (%s): no permission to %s it: %s", process->pid, process->comm,
			    use == PROCESS_CHANGE ? "change" : "read", strerror(errno));
	if (process->memory < 0)
		return fail(error, "process %d (%s): can't open its memory: %s", process->pid, process->comm,
			    strerror(errno));
	/* Of this same memory: it was not replaced (by exec) since it was opened, or has no users any more, and then no mappings. */
	snprintf(name, sizeof(name), "task/%d/maps", tid);
	process->mappings = openat(process->directory, name, O_RDONLY | O_CLOEXEC);
	return STATUS_OK;
}

/*
 * One patcher at a time. What is locked is a file of the process, not of a thread, which might end before the others: it stays the
 * same one as long as somebody has it open, exec() included, and only the process's owner can open it (fs/proc/base.c: "personality",
 * S_IRUSR). The kernel gives the lock back when stent ends, however that happens.
 */
static enum status lock(struct process *process, struct error *error)
{
	process->lock = openat(process->directory, "personality", O_RDONLY | O_CLOEXEC);
	if (process->lock < 0)
		return fail(error, "process %d (%s): can't be locked against other stents: %s", process->pid, process->comm,
			    strerror(errno));
	if (flock(process->lock, LOCK_EX | LOCK_NB) == 0)
		return STATUS_OK;
	if (errno == EWOULDBLOCK)
		return refuse(error, "process %d (%s): another stent is at work on it", process->pid, process->comm);
	return fail(error, "process %d (%s): can't be locked against other stents: %s", process->pid, process->comm,
		    strerror(errno));
}

#define STAT_STACK_START 28	/* field of /proc/PID/stat (proc(5): startstack); the name in brackets is the second */

static uint64_t read_stack_start(const struct process *process)
{
	char *text = process_file(process, "stat", NULL), *at = text ? strrchr(text, ')') : NULL;
	uint64_t start = 0;

	for (int field = 2; at && field < STAT_STACK_START; field++)
		at = strchr(at + 1, ' ');
	if (at)
		start = strtoull(at + 1, NULL, 10);
	free(text);
	return start;
}

static enum status check_process(struct process *process, enum process_use use, struct error *error)
{
	struct task task;
	enum status status;

	if (!process_task(process, process->pid, &task))
		return fail(error, "process %d: there is no such process", process->pid);
	memcpy(process->comm, task.comm, sizeof(process->comm));
	process->stack_start = read_stack_start(process);
	if (task_kernel_thread(&task))
		return refuse(error, "%d (%s) is a kernel thread", process->pid, process->comm);
	status = open_memory(process, use, error);
	if (status == STATUS_OK && use == PROCESS_CHANGE)
		status = lock(process, error);
	if (status == STATUS_OK)
		status = check_class(process, error);
	if (status == STATUS_OK && use == PROCESS_CHANGE)
		status = check_tasks(process, error);
	return status;
}

/* Who has begun to change a process must not find that he can't open a file any more. */
static bool has_descriptors(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_LEAST;
}

enum status process_open(pid_t pid, enum process_use use, struct process *process, struct error *error)
{
	char path[64];

	*process = (struct process){ .pid = pid, .handle = -1, .directory = -1, .memory = -1, .mappings = -1, .lock = -1 };
	process->puts = process_puts_new();
	if (pid <= 0)
		return fail(error, "%d is not the number of a process", pid);
	if (pid == getpid())
		return refuse(error, "process %d is stent itself", pid);
	if (use == PROCESS_CHANGE && !has_descriptors())
		return refuse(error, "process %d: stent may not have %u files open (RLIMIT_NOFILE)", pid, DESCRIPTORS_LEAST);

	process->handle = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process->handle < 0)
		return no_process(pid, error);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	process->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The handle still has its process, so the folder, opened later by the same number, is of the same one. */
	if (process->directory < 0 || !signals_reach(process->handle))
		return no_process(pid, error);
	return check_process(process, use, error);
}

void process_close(struct process *process)
{
	if (process->lock >= 0)
		close(process->lock);
	if (process->mappings >= 0)
		close(process->mappings);
	if (process->memory >= 0)
		close(process->memory);
	if (process->directory >= 0)
		close(process->directory);
	if (process->handle >= 0)
		close(process->handle);
	process_puts_free(process->puts);
	process->puts = NULL;
	process->lock = process->mappings = process->memory = process->directory = process->handle = -1;
}

bool process_alive(const struct process *process)
{
	return process_living_task(process) != 0;
}
