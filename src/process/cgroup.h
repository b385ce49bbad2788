/* cgroup.h: how much memory the groups that a process is in leave to it (cgroups(7)). */
#ifndef STENT_PROCESS_CGROUP_H
#define STENT_PROCESS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "process/process.h"

/*
 * A page that stent makes in a process by writing to it is charged to the process's group, as if the process had touched it. At the group's
 * limit the kernel kills one of the group for it (mm/memcontrol.c, mem_cgroup_oom()); the write does not fail first. So who writes has to ask before.
 */
struct cgroup_room {
	uint64_t bytes;		/* UINT64_MAX: there is no limit, or none that can be seen from here */
	char *group;		/* its folder, printable, or NULL: the one that leaves the least; owned */
};

/* What all groups of the process leave to it at this moment. What can be given back at once (clean file pages that were not used of late) counts as
 * free. Free group. */
void cgroup_memory_room(const struct process *process, struct cgroup_room *room);

/* Parts of the above: where a group's files are. */
struct cgroup_folder {
	char *path;		/* owned; NULL: it is in none that has to do with memory, or no file system shows it */
	size_t top;		/* length of the part of it that is the mount point */
	bool unified;		/* cgroup v2 */
};

/* `groups`: /proc/PID/cgroup. `mounts`: /proc/self/mountinfo. Free path. */
void cgroup_find_folder(const char *groups, const char *mounts, struct cgroup_folder *folder);

/* As cgroup_memory_room(), of the groups from this folder up to the mount point. */
void cgroup_folder_room(const struct cgroup_folder *folder, struct cgroup_room *room);

#endif
