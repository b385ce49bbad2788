#include "process/sharing.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/kernel_file.h"

#define KCMP_VM 1	/* linux/kcmp.h */
#define STAT_MAX 65536	/* bytes of /proc/stat up to what is wanted: some hundred for each processor and interrupt */

/* The last look that found nobody, and what sharing_tasks_made() had been before it. */
static struct {
	pid_t pid;
	uint64_t made;
} alone;

/* The last line that begins so, from the line end before it; or NULL. */
static const char *find_line(const char *text, size_t length, const char *beginning)
{
	const char *at;

	for (; (at = memrchr(text, '\n', length)); length = (size_t)(at - text))
		if (!strncmp(at + 1, beginning, strlen(beginning)))
			return at;
	return NULL;
}

/* "processes" in /proc/stat (fs/proc/stat.c), some lines before its end. */
uint64_t sharing_tasks_made(void)
{
	static const char name[] = "processes ";
	static char text[STAT_MAX];
	static int descriptor = -1;	/* stays open: it is asked again while a process stands still */
	size_t length = 0;
	ssize_t count = 0;
	const char *found;

	if (descriptor < 0)
		descriptor = kernel_file_open("/proc/stat", PROC_SUPER_MAGIC);
	if (descriptor < 0)
		return 0;
	/* (From its beginning it is made anew, and each further read makes all of it once more.) */
	do {
		length += (size_t)count;
		count = pread(descriptor, text + length, sizeof(text) - 1 - length, (off_t)length);
		text[length + (count > 0 ? (size_t)count : 0)] = '\0';
		found = find_line(text, length + (count > 0 ? (size_t)count : 0), name);
	} while (count > 0 && !(found && strchr(found + 1, '\n')));
	return found && strchr(found + 1, '\n') ? strtoull(found + 1 + strlen(name), NULL, 10) : 0;
}

bool sharing_two(pid_t one, pid_t other)
{
	return syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0) == 0;
}

static pid_t look(const struct process *process)
{
	DIR *directory = opendir("/proc");
	pid_t living = process_living_task(process), found = directory && living > 0 ? 0 : -1;
	struct dirent *entry;
	struct task task;

	for (errno = 0; !found && (entry = readdir(directory)); errno = 0) {
		pid_t other = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;

		/* Threads of one process are listed under its number only. */
		if (other && other != process->pid && sharing_two(living, other))
			found = other;
	}
	if (!found && errno)
		found = -1;
	if (directory)
		closedir(directory);
	/* One that has begun to end meanwhile has given up its memory, and was compared as if it had none (do_exit() in kernel/exit.c). */
	return living > 0 && process_task(process, living, &task) && !task_ended(&task) ? found : -1;
}

/*
 * Memory comes to be shared only by the making of a task: what exec() gives is new. So an answer of nobody holds for as long as no
 * task has been made. That is what the kernel's count is asked for here, so that a process need not stand still while all others are
 * looked at. The count goes up in copy_process() (kernel/fork.c) behind the insertion into the lists that /proc shows, all under
 * tasklist_lock, and before the task first runs. Therefore:
 * - who was counted before the look began was there to be found in it, if it did not end before it was over;
 * - who was made since has been counted, unless its maker is at that just now; that maker has the memory itself, and is none of the
 *   threads that are stopped, and so on back to one that was counted: before the look (it was found), or since (the count differs).
 * A number that was given to another process meanwhile was given to a task that is counted.
 */
pid_t sharing_process(const struct process *process)
{
	uint64_t made = sharing_tasks_made();
	pid_t found;

	if (made && alone.made == made && alone.pid == process->pid)
		return 0;
	found = look(process);
	alone.pid = found ? 0 : process->pid;
	alone.made = made;
	return found;
}
