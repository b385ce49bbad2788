#include "process/maps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One line: "start-end rwxp offset major:minor inode   name" (proc(5)). Whoever names a file chooses the
 * name, so it is taken as the rest of the line, blanks and all; the kernel escapes line ends in it.
 */
static bool parse_line(const char *line, struct mapping *mapping)
{
	char mode[5];
	int name = 0;

	*mapping = (struct mapping){ 0 };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %" SCNu64 " %n", &mapping->range.start,
		   &mapping->range.end, mode, &mapping->offset, &mapping->inode, &name) != 5 || !name)
		return false;
	if (mapping->range.start >= mapping->range.end || strlen(mode) != 4)
		return false;
	mapping->read = mode[0] == 'r';
	mapping->write = mode[1] == 'w';
	mapping->execute = mode[2] == 'x';
	mapping->shared = mode[3] == 's';
	mapping->name = text_copy(line + name);
	return true;
}

bool maps_parse(char *text, struct maps *maps)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		bool last = !text[length];
		struct mapping mapping;

		text[length] = '\0';
		if (!parse_line(text, &mapping))
			return false;
		if (maps->count && maps->item[maps->count - 1].range.end > mapping.range.start) {
			free(mapping.name);
			return false;
		}
		*array_add(maps) = mapping;
		text += length + !last;
	}
	return true;
}

enum status maps_read(const struct process *process, struct maps *maps, struct error *error)
{
	char name[64];
	char *text = NULL;
	bool valid;
	pid_t tid;

	*maps = (struct maps){ 0 };
	/* The first thread's own file is empty once that thread has ended. */
	tid = process_living_task(process);
	snprintf(name, sizeof(name), "task/%d/maps", tid);
	if (tid)
		text = process_file(process, name, NULL);
	if (!text || !*text) {
		free(text);
		return fail(error, "process %d (%s) is gone, or its mappings can't be read", process->pid,
			    process->comm);
	}
	valid = maps_parse(text, maps);
	free(text);
	if (!valid)
		return fail(error, "process %d (%s): its list of mappings is not understood", process->pid,
			    process->comm);
	return STATUS_OK;
}

void maps_free(struct maps *maps)
{
	for (size_t i = 0; i < maps->count; i++)
		free(maps->item[i].name);
	array_free(maps);
}

const struct mapping *maps_find(const struct maps *maps, uint64_t address)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (maps->item[middle].range.end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < maps->count && range_holds(maps->item[low].range, address) ? &maps->item[low] : NULL;
}

bool mapping_anonymous(const struct mapping *mapping)
{
	return !mapping->inode && !mapping->shared && !*mapping->name;
}

bool mapping_special(const struct mapping *mapping, const char *name)
{
	return !mapping->inode && !strcmp(mapping->name, name);
}
