#include "process/relatives.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GENERATIONS 4096	/* more than a list that changes while it is read can make of a circle */

/* "pid (name) state ppid ...": starttime is the field 22 and startstack 28 (proc(5)); the name may hold anything. */
static bool parse_stat(const char *text, struct relative *relative)
{
	const char *behind = strrchr(text, ')');

	return behind && sscanf(behind, ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64
				" %*u %*d %*u %*u %*u %" SCNu64, &relative->parent, &relative->began, &relative->stack_start) == 3;
}

static bool read_relative(pid_t pid, struct relative *relative)
{
	char path[64], text[1024];
	ssize_t count = -1;
	int descriptor;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor >= 0) {
		count = read(descriptor, text, sizeof(text) - 1);
		close(descriptor);
	}
	text[count < 0 ? 0 : count] = '\0';
	*relative = (struct relative){ .pid = pid };
	return parse_stat(text, relative);
}

bool relatives_has_child(const struct process *process)
{
	struct tids tids = { 0 };
	bool has = (!process_tids(process, &tids) || tids.cut) && process_alive(process);

	for (size_t i = 0; i < tids.count && !has; i++) {
		char path[64], *text;

		/* Each child is listed by the thread that made it (proc(5)). */
		snprintf(path, sizeof(path), "task/%d/children", tids.item[i]);
		text = process_file(process, path, NULL);
		has = text ? *text : errno == ENOENT && process_alive(process);
		free(text);
	}
	array_free(&tids);
	return has;
}

bool relatives_same(pid_t pid, uint64_t began)
{
	struct relative relative;

	return read_relative(pid, &relative) && relative.began == began;
}

static int compare(const void *one, const void *other)
{
	const struct relative *a = one, *b = other;

	return (a->pid > b->pid) - (a->pid < b->pid);
}

void relatives_list(struct relatives *relatives)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	relatives->count = 0;
	while (directory && (entry = readdir(directory))) {
		struct relative relative;

		if (isdigit((unsigned char)entry->d_name[0]) && read_relative((pid_t)strtol(entry->d_name, NULL, 10), &relative))
			*array_add(relatives) = relative;
	}
	if (directory)
		closedir(directory);
	if (relatives->count)
		qsort(relatives->item, relatives->count, sizeof(*relatives->item), compare);
}

const struct relative *relatives_find(const struct relatives *relatives, pid_t pid)
{
	const struct relative wanted = { .pid = pid };

	return relatives->count ? bsearch(&wanted, relatives->item, relatives->count, sizeof(wanted), compare) : NULL;
}

bool relatives_descends(const struct relatives *relatives, const struct relative *relative, pid_t ancestor)
{
	for (unsigned int i = 0; relative && i < GENERATIONS; i++) {
		if (relative->parent == ancestor)
			return true;
		relative = relatives_find(relatives, relative->parent);
	}
	return false;
}
