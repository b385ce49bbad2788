#include "process/cgroup.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

#define FILE_MAX 65536u		/* bytes of a group's file that are read; memory.stat has some thousand */

/* Names of files and of what is in them: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst. */
static const struct kind {
	struct {
		const char *limit, *usage;
	} limits[2];
	const char *reclaimable, *dirty, *writeback;	/* in memory.stat */
} kinds[] = {
	{ { { "memory.limit_in_bytes", "memory.usage_in_bytes" }, { "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes" } },
	  "total_inactive_file", "total_dirty", "total_writeback" },
	/* Who is above memory.high is made to wait, up to seconds: that would be stent, while threads stand still. */
	{ { { "memory.max", "memory.current" }, { "memory.high", "memory.current" } }, "inactive_file", "file_dirty", "file_writeback" },
};

/* The memory controller is on a hierarchy of its own ("ID:...,memory,...:PATH"), or on the unified one ("0::PATH"). */
static const char *find_group(const char *groups, size_t *length, bool *unified)
{
	const char *found = NULL;

	*unified = true;
	for (const char *line = groups; *line && *unified; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *controllers = line + strcspn(line, ":\n") + 1, *end;

		if (controllers[-1] != ':')
			continue;
		end = controllers + strcspn(controllers, ":\n");
		if (*end != ':')
			continue;
		for (const char *name = controllers; name < end; name += strcspn(name, ",:") + 1)
			if (!strncmp(name, "memory", strlen("memory")) && strchr(",:", name[strlen("memory")]))
				*unified = false;
		if (!*unified || (!strncmp(line, "0::", strlen("0::")) && !found)) {
			found = end + 1;
			*length = strcspn(found, "\n");
		}
	}
	return found;
}

/* The options have this word. */
static bool has_word(const char *options, const char *word)
{
	for (; *options; options += strcspn(options, ","), options += *options == ',')
		if (strcspn(options, ",") == strlen(word) && !strncmp(options, word, strlen(word)))
			return true;
	return false;
}

/*
 * "ID PARENT DEVICE ROOT POINT OPTIONS [OPTIONAL]... - TYPE SOURCE OPTIONS" (proc(5)): a mount that shows the group. False: it is
 * something else. (Names with blanks are escaped there; nobody mounts this at such a place.)
 */
static bool shows_group(char *line, const char *group, struct cgroup_folder *folder)
{
	char *words[6] = { 0 }, *next = line, *behind = strstr(line, " - "), *type, *options;
	size_t length;

	if (!behind)
		return false;
	*behind = '\0';
	for (size_t i = 0; i < 6; i++)
		words[i] = strsep(&next, " ");
	next = behind + strlen(" - ");
	type = strsep(&next, " ");
	strsep(&next, " ");
	options = next;
	if (!words[5] || !options || strcmp(type, folder->unified ? "cgroup2" : "cgroup") != 0 ||
	    (!folder->unified && !has_word(options, "memory")))
		return false;
	length = strcmp(words[3], "/") != 0 ? strlen(words[3]) : 0;
	if (strncmp(group, words[3], length) != 0 || (group[length] && group[length] != '/'))
		return false;
	group += length;
	/* Outside of what this process's namespace shows (cgroup_namespaces(7)). */
	if (!strcmp(group, "/..") || !strncmp(group, "/../", strlen("/../")))
		return false;
	folder->top = strlen(words[4]);
	folder->path = text_format("%s%s", words[4], group);
	return true;
}

void cgroup_find_folder(const char *groups, const char *mounts, struct cgroup_folder *folder)
{
	size_t length = 0;
	const char *found;
	char *group, *lines, *next, *line;

	*folder = (struct cgroup_folder){ 0 };
	found = find_group(groups, &length, &folder->unified);
	if (!found)
		return;
	group = text_format("%.*s", (int)length, found);
	lines = next = text_copy(mounts);
	while (!folder->path && (line = strsep(&next, "\n")))
		shows_group(line, group, folder);
	free(lines);
	free(group);
}

/* False: there is no such file, or it can't be read. */
static bool read_file(const char *folder, const char *name, char text[FILE_MAX])
{
	char *path = text_format("%s/%s", folder, name);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t count = descriptor < 0 ? -1 : read(descriptor, text, FILE_MAX - 1);

	if (descriptor >= 0)
		close(descriptor);
	free(path);
	text[count > 0 ? count : 0] = '\0';
	return count > 0;
}

/* "NAME NUMBER" in a line of its own; 0 when there is none. */
static uint64_t number_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (!strncmp(text, name, length) && text[length] == ' ')
			return strtoull(text + length, NULL, 10);
	return 0;
}

/* What the kernel takes back before it kills: file pages that nobody has used of late, and that need not be written first. */
static uint64_t reclaimable(const char *folder, const struct kind *kind)
{
	char text[FILE_MAX];
	uint64_t all, busy;

	if (!read_file(folder, "memory.stat", text))
		return 0;
	all = number_of(text, kind->reclaimable);
	busy = number_of(text, kind->dirty) + number_of(text, kind->writeback);
	return all > busy ? all - busy : 0;
}

/* Bytes below the limit of a group; UINT64_MAX: it sets none (no such file, or "max"), or what is in use can't be read. */
static uint64_t below_limit(const char *folder, const char *limit_file, const char *usage_file)
{
	char text[FILE_MAX];
	uint64_t limit, usage;

	if (!read_file(folder, limit_file, text) || !isdigit((unsigned char)*text))
		return UINT64_MAX;
	limit = strtoull(text, NULL, 10);
	if (!read_file(folder, usage_file, text))
		return UINT64_MAX;
	usage = strtoull(text, NULL, 10);
	return limit > usage ? limit - usage : 0;
}

static void look_at(const char *folder, const struct kind *kind, struct cgroup_room *room)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < 2; i++) {
		uint64_t below = below_limit(folder, kind->limits[i].limit, kind->limits[i].usage);

		if (below < least)
			least = below;
	}
	if (least < room->bytes)
		least += reclaimable(folder, kind);
	if (least >= room->bytes)
		return;
	room->bytes = least;
	free(room->group);
	room->group = utf8_make_printable(text_copy(folder));
}

void cgroup_folder_room(const struct cgroup_folder *folder, struct cgroup_room *room)
{
	char *path = folder->path ? text_copy(folder->path) : NULL;

	*room = (struct cgroup_room){ .bytes = UINT64_MAX };
	for (size_t length = path ? strlen(path) : 0; path && length >= folder->top; length--) {
		if (path[length] && path[length] != '/')
			continue;
		path[length] = '\0';
		look_at(path, &kinds[folder->unified], room);
		if (!length)
			break;
	}
	free(path);
}

static char *read_mounts(void)
{
	const struct process self = { .directory = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC) };
	char *text = self.directory >= 0 ? process_file(&self, "mountinfo", NULL) : NULL;

	if (self.directory >= 0)
		close(self.directory);
	return text;
}

void cgroup_memory_room(const struct process *process, struct cgroup_room *room)
{
	/* The first thread, once it has ended, is shown in the root group (kernel/cgroup/cgroup.c, proc_cgroup_show()). */
	char *name = text_format("task/%d/cgroup", process_living_task(process)), *groups = process_file(process, name, NULL);
	char *mounts = read_mounts();
	struct cgroup_folder folder;

	cgroup_find_folder(groups ? groups : "", mounts ? mounts : "", &folder);
	cgroup_folder_room(&folder, room);
	free(folder.path);
	free(mounts);
	free(groups);
	free(name);
}
