#include "live/machine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int compare_pids(const void *one, const void *other)
{
	const pid_t *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

enum status machine_list(struct tids *pids, struct error *error)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	*pids = (struct tids){ 0 };
	if (!directory)
		return fail(error, "/proc: %s", strerror(errno));
	while ((entry = readdir(directory)))
		if (isdigit((unsigned char)entry->d_name[0]))
			*array_add(pids) = (pid_t)strtol(entry->d_name, NULL, 10);
	closedir(directory);
	if (!pids->count)
		return fail(error, "/proc lists no process: is it mounted?");
	qsort(pids->item, pids->count, sizeof(*pids->item), compare_pids);
	return STATUS_OK;
}

/* It runs the very file that this program runs: another stent, the parent of this one or a child of that. */
static bool is_stent(const struct process *process)
{
	struct stat own, other;

	return stat("/proc/self/exe", &own) == 0 && fstatat(process->directory, "exe", &other, 0) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

/* Of a process that could not be opened, or whose mappings could not be read. */
static bool is_nothing(const struct process *process)
{
	struct task task;

	return process->directory < 0 || !process_task(process, process->pid, &task) || task_kernel_thread(&task) ||
	       !process_living_task(process);
}

enum machine_sight machine_look(pid_t pid, struct process *process, struct survey *survey, struct error *error)
{
	struct error why = { 0 };
	enum status status;

	*survey = (struct survey){ 0 };
	*process = (struct process){ .pid = pid, .handle = -1, .directory = -1, .memory = -1, .mappings = -1 };
	if (pid == getpid())
		return MACHINE_NONE;
	status = process_open(pid, PROCESS_LOOK, process, &why);
	if (status == STATUS_OK && is_stent(process))
		return MACHINE_NONE;
	if (status == STATUS_OK)
		status = survey_read(process, survey, &why);
	if (status == STATUS_OK)
		return MACHINE_SEEN;
	if (!is_nothing(process))
		error_add(error, status, "%s", why.text);
	else
		status = STATUS_OK;
	error_clear(&why);
	return status == STATUS_OK ? MACHINE_NONE : MACHINE_UNSEEN;
}

const char *machine_spared(pid_t pid)
{
	return pid == 1 ? "process 1 is left alone unless it is named by its number: the machine ends with it" : NULL;
}
