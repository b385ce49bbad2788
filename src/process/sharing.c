#include "process/sharing.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KCMP_VM 1	/* linux/kcmp.h */

pid_t sharing_process(const struct process *process)
{
	DIR *directory = opendir("/proc");
	pid_t living = process_living_task(process), found = 0;
	struct dirent *entry;

	while (directory && living && !found && (entry = readdir(directory))) {
		pid_t other = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;

		/* Threads of one process are listed under its number only. Result 0: the same memory. */
		if (other && other != process->pid && syscall(SYS_kcmp, living, other, KCMP_VM, 0, 0) == 0)
			found = other;
	}
	if (directory)
		closedir(directory);
	return found;
}
