#include "process/sharing.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/births.h"
#include "process/kernel_file.h"
#include "process/threads.h"

#define KCMP_VM 1	/* linux/kcmp.h */
#define PF_EXITING 4	/* include/linux/sched.h; */
#define PF_KTHREAD 0x200000
#define KTHREADD 2
#define RECENT 50000000	/* ns: a look is not made anew. The records of so long are few, and read in a stop */
#define STAT_MAX 65536	/* bytes of /proc/stat up to what is wanted: some hundred for each processor and interrupt */

/* The last look that found nobody, and who has been made since it began: */
static struct {
	pid_t looker, pid;	/* who looked (not one that it was forked from), and at whom */
	struct births births;	/* as the kernel records it; */
	pid_t unrecorded;	/* or in this looker, for whom it does not, only that somebody was: */
	uint64_t made;		/* sharing_tasks_made() before it, or 0 */
	uint64_t begun;		/* clock_now() */
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

/* These two use one memory: 1, not: 0, it can't be told: -1. */
static int compare_two(pid_t one, pid_t other)
{
	long result = syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0);

	if (result >= 0)
		return result == 0;
	return errno == ESRCH ? 0 : -1;
}

/* Of "pid (name) state ..." in its stat (proc(5), include/linux/sched.h); 0: not known. */
static unsigned int flags_of(pid_t pid)
{
	char path[64], text[256];
	const char *behind;
	unsigned int flags;
	ssize_t count;
	int file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	count = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	if (file >= 0)
		close(file);
	text[count < 0 ? 0 : count] = '\0';
	behind = strrchr(text, ')');
	return behind && sscanf(behind, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 ? flags : 0;
}

/*
 * It may have no memory. kthreadd never has any (rest_init() in init/main.c makes it as the second task), so all that have none compare with it as the same;
 * where it can't be seen, each one may be of these.
 */
static bool may_be_memoryless(pid_t pid)
{
	static enum { UNKNOWN, SEEN, UNSEEN } kthreadd;

	if (kthreadd == UNKNOWN)
		kthreadd = flags_of(KTHREADD) & PF_KTHREAD ? SEEN : UNSEEN;
	return kthreadd == UNSEEN || compare_two(KTHREADD, pid);
}

/* The first thread of a process has begun to end, others go on. */
static bool is_headless(pid_t pid)
{
	char path[64];
	struct stat task;

	if (!may_be_memoryless(pid))
		return false;
	/* 2 + the number of threads */
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return !stat(path, &task) && task.st_nlink > 3 && (flags_of(pid) & PF_EXITING);
}

bool sharing_two(pid_t one, pid_t other)
{
	return compare_two(one, other) > 0;
}

/* The same of any thread of a process; -1 with errno EAGAIN. */
static int compare_threads(pid_t living, pid_t pid)
{
	char path[64];
	struct process process = { .pid = pid };
	struct tids tids = { 0 };
	int result = 0;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	process.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process.directory < 0 && errno == ENOENT)
		return 0;
	if (process.directory < 0 || !process_tids(&process, &tids) || tids.cut)
		result = -1;
	for (size_t i = 0; i < tids.count && result <= 0; i++) {
		int one = compare_two(living, tids.item[i]);

		result = one ? one : result;
	}
	if (process.directory >= 0)
		close(process.directory);
	array_free(&tids);
	if (result < 0)
		errno = EAGAIN;
	return result;
}

/* The same of a process. All its threads use one memory, but one that has begun to end has given it up (do_exit() in kernel/exit.c), and compares as if it had none. */
static int compare_process(pid_t living, pid_t pid)
{
	int result = compare_two(living, pid);

	return !result && is_headless(pid) ? compare_threads(living, pid) : result;
}

/* It has not begun to end. */
static bool lives(const struct process *process, pid_t tid)
{
	struct task task;

	return tid > 0 && process_task(process, tid, &task) && !task_ended(&task);
}

/* Threads of a process are listed under its number only. */
static pid_t look(const struct process *process)
{
	DIR *directory = opendir("/proc");
	pid_t living = process_living_task(process), found = directory && living > 0 ? 0 : -1;
	bool known = true;
	struct dirent *entry;

	for (errno = 0; !found && (entry = readdir(directory)); errno = 0) {
		pid_t other = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
		int result = other && other != process->pid ? compare_process(living, other) : 0;

		if (result > 0)
			found = other;
		/* Others' processes can't be asked by one who may not. */
		known &= result >= 0 || errno == EPERM || errno == ENOSYS;
	}
	if (!found && (errno || !known))
		found = -1;
	if (directory)
		closedir(directory);
	return lives(process, living) ? found : -1;
}

static pid_t compare(const struct process *process, const struct family *family)
{
	pid_t living = family->pids.count ? process_living_task(process) : 0;

	for (size_t i = 0; i < family->pids.count; i++) {
		pid_t other = family->pids.item[i];
		int result = compare_process(living, other);

		if (result)
			return result > 0 ? other : -1;
	}
	return !family->pids.count || lives(process, living) ? 0 : -1;
}

/*
 * In a stop. Memory comes to be shared only by the making of a process: what exec() gives is new. So who shares it now and was not found in the look was made
 * since it began, by one who shared it then: by a thread of the process, or by another one for whom the same holds. Of these
 * - the first was made by a thread that is stopped now or has ended, so it is recorded;
 * - one whose maker is at it just now, and not recorded yet, has a maker who lives, and is found himself;
 * - one whose maker ended in the look, or executed another program, before the look came to him, was made in the look; who was made in it is asked in any
 *   case.
 * Whom one of them makes while they are asked, is in the next list. A number that another process has by now is asked once more than need be.
 * (While threads run this is the answer for what those have made that are stopped.) -1: not known.
 */
static pid_t compare_born(const struct process *process)
{
	struct family family = { 0 };
	pid_t found = -1;
	size_t asked;

	do {
		asked = family.pids.count;
		if (!births_list(&alone.births, process->pid, &family)) {
			found = -1;
			break;
		}
		if (family.pids.count != asked || found < 0)
			found = compare(process, &family);
	} while (!found && family.pids.count != asked);
	array_free(&family.pids);
	return found || rings_are_whole(&alone.births.rings) ? found : -1;
}

/*
 * Where that is not recorded, an answer of nobody holds for as long as no task has been made at all. That is what the kernel's count is asked for. It goes up
 * in copy_process() (kernel/fork.c) behind the insertion into the lists that /proc shows, all under tasklist_lock, and before the task first runs. Therefore:
 * - who was counted before the look began was there to be found in it, if it did not end before it was over;
 * - who was made since has been counted, unless its maker is at that just now; that maker has the memory itself, and is none of the
 *   threads that are stopped, and so on back to one that was counted: before the look (it was found), or since (the count differs).
 * A number that was given to another process meanwhile was given to a task that is counted.
 */
static bool is_alone_still(const struct process *process)
{
	if (alone.pid != process->pid || alone.looker != getpid())
		return false;
	return alone.births.spans.count ? !compare_born(process) : alone.made && alone.made == sharing_tasks_made();
}

/* Record what is made, if that is permitted. (A processor may have gone; and who is forked has no records.) */
static void begin_recording(void)
{
	if (alone.looker == getpid() && alone.births.spans.count && rings_check(&alone.births.rings))
		return;
	births_end(&alone.births);
	if (alone.unrecorded == getpid() || births_begin(&alone.births))
		return;
	births_end(&alone.births);
	alone.unrecorded = getpid();
}

static pid_t look_and_record(const struct process *process)
{
	pid_t found;

	begin_recording();
	alone.begun = clock_now();
	births_forget(&alone.births);
	alone.made = alone.births.spans.count ? 0 : sharing_tasks_made();
	found = look(process);
	births_divide(&alone.births);
	alone.pid = found ? 0 : process->pid;
	alone.looker = getpid();
	return found;
}

pid_t sharing_look(const struct process *process)
{
	bool known = alone.begun && clock_now() - alone.begun < RECENT && is_alone_still(process);
	pid_t found = known ? 0 : look_and_record(process);

	if (alone.births.spans.count)
		(void)!rings_check(&alone.births.rings);	/* if they aren't whole, the stop finds that, too */
	return found;
}

pid_t sharing_process(const struct process *process)
{
	return is_alone_still(process) ? 0 : look(process);
}
