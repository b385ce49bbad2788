#include "live/probes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/utf8.h"

/* Documentation/trace/uprobetracer.rst; the second where only debugfs is mounted. */
static const char *const lists[] = { "/sys/kernel/tracing/uprobe_events", "/sys/kernel/debug/tracing/uprobe_events" };

struct probe {
	char *name;		/* GROUP/EVENT, in the line */
	char *path;
	uint64_t offset;	/* in the file */
};

/* "p:GROUP/EVENT PATH:0xOFFSET[(COUNTER)][%return] ARGUMENT..." (trace_uprobe_show() in kernel/trace/trace_uprobe.c); r: where it returns. */
static bool parse(char *line, struct probe *probe)
{
	char *space = strchr(line, ' '), *offset = space ? strstr(space, ":0x") : NULL, *end;

	if (!offset || (line[0] != 'p' && line[0] != 'r') || line[1] != ':')
		return false;
	*space = *offset = '\0';
	*probe = (struct probe){ .name = line + 2, .path = space + 1 };
	probe->offset = strtoull(offset + 1, &end, 16);
	return end != offset + 3;
}

/* The file may have another name now, or another one may have its name: each of the two is reason enough. */
static bool is_of(const struct mapping *mapping, const char *path)
{
	struct stat stat_of;

	if (!mapping->inode)
		return false;
	return !strcmp(mapping->name, path) ||
	       (stat(path, &stat_of) == 0 && stat_of.st_ino == mapping->inode &&
		((uint64_t)major(stat_of.st_dev) << 32 | minor(stat_of.st_dev)) == mapping->device);
}

static enum status check_probe(const struct survey *survey, const struct patch *patch, const struct mapped_image *image,
			       const struct probe *probe, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];
		uint64_t site = function->old_entry + image->bias + function->plan.offset;
		uint64_t size = function->plan.span > function->plan.jump ? function->plan.span : function->plan.jump;
		const struct mapping *mapping = function->action == ACTION_REDIRECT ? maps_find(&survey->maps, site) : NULL;

		if (mapping && is_of(mapping, probe->path) && probe->offset - (site - mapping->range.start + mapping->offset) < size)
			status = refuse(error, "process %d (%s): a uprobe, %s, is defined at the entry of %s: the process would not survive that "
					"it is switched on", survey->process->pid, survey->process->comm, utf8_make_printable(probe->name),
					function->name);
	}
	return status;
}

enum status probes_check(const struct survey *survey, const struct patch *patch, const struct mapped_image *image, struct error *error)
{
	enum status status = STATUS_OK;
	struct probe probe;
	char *line = NULL;
	size_t room = 0;
	FILE *list = fopen(lists[0], "re");

	if (!list)
		list = fopen(lists[1], "re");
	while (list && getline(&line, &room, list) > 0)
		if (parse(line, &probe) && check_probe(survey, patch, image, &probe, error) != STATUS_OK)
			status = STATUS_REFUSED;
	free(line);
	if (list)
		fclose(list);
	return status;
}
