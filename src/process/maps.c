#include "process/maps.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define READ_TRIES 10

/* Written out, because the list is read while the process stands still: a process of
 * a thousand threads has two thousand mappings, and sscanf() takes longer for them than the kernel. */
static bool take_number(char **at, unsigned int base, uint64_t *value)
{
	const char *first = *at;

	*value = 0;
	for (;; ++*at) {
		char digit = **at;
		unsigned int number = digit >= '0' && digit <= '9' ? (unsigned int)(digit - '0') :
				      digit >= 'a' && digit <= 'f' ? (unsigned int)(digit - 'a') + 10 : base;

		if (number >= base)
			break;
		if (*value > (UINT64_MAX - number) / base)
			return false;
		*value = *value * base + number;
	}
	return *at != first;
}

static bool take(char **at, char wanted)
{
	return *(*at)++ == wanted;
}

static bool take_letter(char **at, char yes, char no, bool *is)
{
	char letter = *(*at)++;

	*is = letter == yes;
	return letter == yes || letter == no;
}

/*
 * One line: "start-end rwxp offset major:minor inode   name" (proc(5)). Whoever names a file chooses the
 * name, so it is taken as the rest of the line, blanks and all; the kernel escapes line ends in it.
 */
static bool parse_line(char *line, struct mapping *mapping)
{
	uint64_t major, minor;

	/* (The first that is not as it should be, as the end of the line is, ends it: nothing behind is looked at.) */
	if (!take_number(&line, 16, &mapping->range.start) || !take(&line, '-') ||
	    !take_number(&line, 16, &mapping->range.end) || !take(&line, ' ') ||
	    !take_letter(&line, 'r', '-', &mapping->read) || !take_letter(&line, 'w', '-', &mapping->write) ||
	    !take_letter(&line, 'x', '-', &mapping->execute) || !take_letter(&line, 's', 'p', &mapping->shared) ||
	    !take(&line, ' ') || !take_number(&line, 16, &mapping->offset) || !take(&line, ' ') ||
	    !take_number(&line, 16, &major) || !take(&line, ':') || !take_number(&line, 16, &minor) || !take(&line, ' ') ||
	    !take_number(&line, 10, &mapping->inode) || (*line && *line != ' '))
		return false;
	mapping->device = major << 32 | minor;
	mapping->name = line + strspn(line, " ");
	return mapping->range.start < mapping->range.end;
}

bool maps_parse(char *text, struct maps *maps)
{
	uint64_t end = 0;

	maps->text = text;
	while (*text) {
		char *behind = strchrnul(text, '\n');
		bool last = !*behind;
		struct mapping mapping;

		*behind = '\0';
		if (!parse_line(text, &mapping) || mapping.range.start < end)
			return false;
		end = mapping.range.end;
		*array_add(maps) = mapping;
		text = behind + !last;
	}
	return true;
}

/* Owned; NULL or empty when the process is gone. */
static char *read_text(const struct process *process)
{
	char *text = process_file(process, "maps", NULL);
	char name[64];

	if (text && *text)
		return text;
	/* It is empty once the first thread has ended. */
	free(text);
	snprintf(name, sizeof(name), "task/%d/maps", process_living_task(process));
	return process_file(process, name, NULL);
}

enum status maps_read(const struct process *process, struct maps *maps, struct error *error)
{
	/* The kernel looks for the next mapping while the program changes its own: one that two were made into meanwhile begins before the
	 * end of the last one that was listed (Linux 6.18: 5 of 67,000 lists of a program that makes threads all the time). Then it is read anew. */
	for (int tries = 0; tries < READ_TRIES; tries++) {
		char *text = read_text(process);

		*maps = (struct maps){ 0 };
		if (!text || !*text) {
			free(text);
			return fail(error, "process %d (%s) is gone, or its mappings can't be read", process->pid, process->comm);
		}
		if (maps_parse(text, maps))
			return STATUS_OK;
		maps_free(maps);
	}
	return fail(error, "process %d (%s): its list of mappings is not understood", process->pid, process->comm);
}

/* PROCMAP_QUERY, since Linux 6.11: include/uapi/linux/fs.h of there, which the headers of older systems don't have. */
struct procmap_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
#define PROCMAP_QUERY_VMA_READABLE 0x1u
#define PROCMAP_QUERY_VMA_WRITABLE 0x2u
#define PROCMAP_QUERY_VMA_EXECUTABLE 0x4u
#define PROCMAP_QUERY_VMA_SHARED 0x8u
#define PROCMAP_QUERY_COVERING_OR_NEXT_VMA 0x10u
#define PROCMAP_QUERY_FILE_BACKED_VMA 0x20u
#define NEXT_CODE_OF_FILE (PROCMAP_QUERY_COVERING_OR_NEXT_VMA | PROCMAP_QUERY_VMA_EXECUTABLE | PROCMAP_QUERY_FILE_BACKED_VMA)

#define SHORT_NAME 64

struct maps_query {
	int descriptor;		/* of the process's maps; not owned */
	struct mapping found;
	char name[PATH_MAX];
};

static bool ask(const struct maps_query *query, uint64_t address, uint64_t flags, uint32_t room, struct procmap_query *asked)
{
	*asked = (struct procmap_query){
		.size = sizeof(*asked),
		.query_flags = flags,
		.query_addr = address,
		.vma_name_size = room,
		.vma_name_addr = room ? (uint64_t)query->name : 0,
	};
	return ioctl(query->descriptor, PROCMAP_QUERY, asked) == 0;
}

static void note_answer(struct maps_query *query, const struct procmap_query *asked)
{
	if (!asked->vma_name_size)
		query->name[0] = '\0';
	query->found = (struct mapping){
		.range = { asked->vma_start, asked->vma_end },
		.read = asked->vma_flags & PROCMAP_QUERY_VMA_READABLE,
		.write = asked->vma_flags & PROCMAP_QUERY_VMA_WRITABLE,
		.execute = asked->vma_flags & PROCMAP_QUERY_VMA_EXECUTABLE,
		.shared = asked->vma_flags & PROCMAP_QUERY_VMA_SHARED,
		.offset = asked->vma_offset,
		.device = (uint64_t)asked->dev_major << 32 | asked->dev_minor,
		.inode = asked->inode,
		.name = query->name,
	};
}

/* False: errno is ENOENT where nothing is mapped. (The kernel takes as much memory as a name may need, and stacks have short ones.) */
static bool query(struct maps_query *query, uint64_t address)
{
	struct procmap_query asked;

	if (!ask(query, address, 0, SHORT_NAME, &asked) &&
	    (errno != ENAMETOOLONG || !ask(query, address, 0, sizeof(query->name), &asked)))
		return false;
	note_answer(query, &asked);
	return true;
}

enum status maps_look(const struct process *process, struct maps *maps, struct error *error)
{
	static bool answers;	/* the kernel */

	*maps = (struct maps){ .query = memory_resize(NULL, 1, sizeof(*maps->query)) };
	maps->query->descriptor = process->mappings;
	/* Nothing is at address 0, unless the program wants it so. A kernel that can't be asked says so: ENOTTY. */
	answers = answers || query(maps->query, 0) || errno == ENOENT;
	if (answers && maps->query->descriptor >= 0)
		return STATUS_OK;
	maps_free(maps);
	return maps_read(process, maps, error);
}

void maps_free(struct maps *maps)
{
	free(maps->query);
	maps->query = NULL;
	free(maps->text);
	maps->text = NULL;
	array_free(maps);
}

/* Index of the first mapping that ends behind the address. */
static size_t find_index(const struct maps *maps, uint64_t address)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (maps->item[middle].range.end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct mapping *maps_find(const struct maps *maps, uint64_t address)
{
	size_t index;

	if (maps->query)
		return query(maps->query, address) ? &maps->query->found : NULL;
	index = find_index(maps, address);
	return index < maps->count && range_holds(maps->item[index].range, address) ? &maps->item[index] : NULL;
}

const struct mapping *maps_next_code(const struct maps *maps, uint64_t address)
{
	struct procmap_query asked;

	for (; maps->query && ask(maps->query, address, NEXT_CODE_OF_FILE, 0, &asked); address = asked.vma_end) {
		note_answer(maps->query, &asked);
		if (asked.inode)
			return &maps->query->found;
	}
	for (size_t i = find_index(maps, address); i < maps->count; i++)
		if (maps->item[i].execute && maps->item[i].inode)
			return &maps->item[i];
	return NULL;
}

bool mapping_anonymous(const struct mapping *mapping)
{
	return !mapping->inode && !mapping->shared && !*mapping->name;
}

bool mapping_special(const struct mapping *mapping, const char *name)
{
	return !mapping->inode && !strcmp(mapping->name, name);
}

bool mapping_of_device(const struct mapping *mapping)
{
	return mapping->inode && !strncmp(mapping->name, "/dev/", 5);
}
