/*
 * Memory that several processes share, read where the kernel keeps it: as a file in its memory (tmpfs, which mmap(2) and memfd_create(2) take it from, and
 * hugetlbfs), that /proc/PID/map_files leads to. So it is found whoever has it in his page table, or nobody, or where it has been swapped out.
 *
 * What may interrupt it: who shares it writes to it, makes it longer, and cuts it off. See sweep.c. What is cut off and comes again is empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "live/sweep.h"

#define PAGE 4096u
#define PIECE (1u << 20)	/* bytes, */
#define TAIL (sizeof(uint64_t) - 1)	/* and those of a word that begins with the last of them */
#define RESIDENT_AT_ONCE (1ul << 28)	/* bytes that the kernel is asked about */
#define SWEPT_MAX 1000u			/* objects; each mapping of each process is compared with all of them */

/* Of a mapping. */
static struct swept_object object_of(const struct mapping *mapping)
{
	return (struct swept_object){
		.device = mapping->device,
		.inode = mapping->inode,
		.range = { mapping->offset, mapping->offset + (mapping->range.end - mapping->range.start) },
	};
}

/*
 * (Two System V segments may have one number: it is their identifier, of which each IPC namespace has its own, on the device of all other shared
 * memory; ipc/shm.c calls them so.)
 */
bool swept_may_hold(const struct mapping *mapping)
{
	bool own;

	return mapping->shared && mapping->inode && sweep_counts(mapping, &own) && strncmp(mapping->name, "/SYSV", 5) != 0;
}

bool swept_holds(const struct swept *swept, const struct mapping *mapping)
{
	struct swept_object wanted = object_of(mapping);

	if (!swept_may_hold(mapping))
		return false;
	for (size_t i = 0; i < swept->count; i++) {
		const struct swept_object *object = &swept->item[i];

		if (object->device == wanted.device && object->inode == wanted.inode && object->range.start <= wanted.range.start &&
		    wanted.range.end <= object->range.end)
			return true;
	}
	return false;
}

/* The number that /proc/PID/maps has for a device, as struct mapping has it. */
static uint64_t device_of(const struct stat *status)
{
	return (uint64_t)major(status->st_dev) << 32 | minor(status->st_dev);
}

static bool in_memory(int path, bool *huge)
{
	struct statfs system;

	if (fstatfs(path, &system) < 0)
		return false;
	*huge = system.f_type == HUGETLBFS_MAGIC;
	return *huge || system.f_type == TMPFS_MAGIC;
}

/* -1: it is in no file system that has all in memory, or can't be told. (Looked at before it is opened: what a device does then nobody knows.) */
static int open_file(const struct process *process, const struct mapping *mapping, bool *huge)
{
	char name[80];
	struct stat status;
	int path, file = -1;

	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, mapping->range.start, mapping->range.end);
	path = openat(process->directory, name, O_PATH | O_CLOEXEC);
	if (path < 0)
		return -1;
	if (in_memory(path, huge) && fstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == mapping->inode &&
	    device_of(&status) == mapping->device) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", path);
		file = open(name, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	}
	close(path);
	return file;
}

struct shared_file {
	int file;
	struct range range;	/* of the file */
	bool huge;		/* its pages are never swapped out */
	const struct scan_set *words;
	const struct patience *patience;
	uint64_t most;		/* bytes that may be read from where they were swapped out to */
	uint8_t *bytes;		/* PIECE + TAIL */
};

/* Bytes of the file that are in memory; all of it, for who may not ask (mincore(2)). */
static uint64_t count_resident(const struct shared_file *shared, uint64_t size)
{
	unsigned char *resident = memory_resize(NULL, RESIDENT_AT_ONCE / PAGE, 1);
	uint64_t count = 0;

	for (uint64_t at = 0; at < size; at += RESIDENT_AT_ONCE) {
		size_t some = size - at < RESIDENT_AT_ONCE ? size - at : RESIDENT_AT_ONCE;
		void *memory = mmap(NULL, some, PROT_READ, MAP_SHARED, shared->file, (off_t)at);

		if (memory == MAP_FAILED)
			break;
		if (mincore(memory, some, resident) == 0)
			for (size_t i = 0; i < (some + PAGE - 1) / PAGE; i++)
				count += resident[i] & 1;
		munmap(memory, some);
	}
	free(resident);
	return count * PAGE;
}

/*
 * Not where most of it has never been written to, which reads as zeroes, as slowly as all else. (A file's holes could be asked for, but Linux before 6.4 has
 * some where pages are just being made into huge ones.) Not what ends behind the file's end: a mapping has the rest of the last page, which may be a huge
 * one, and a read has not. And not where more would be read from a disk than may be.
 */
static bool is_worth_it(struct shared_file *shared)
{
	uint64_t size, written, resident;
	struct stat status;

	if (fstat(shared->file, &status) < 0)
		return false;
	size = (uint64_t)status.st_size;
	written = (uint64_t)status.st_blocks * 512;	/* also where it is swapped out */
	if (written < size / 2 || shared->range.end > size)
		return false;
	resident = shared->huge ? written : count_resident(shared, size);
	if (written > resident && written - resident > shared->most)
		return false;
	shared->most -= written > resident ? written - resident : 0;
	return true;
}

static ssize_t read_at(const struct shared_file *shared, size_t size, uint64_t at)
{
	ssize_t count;

	do
		count = pread(shared->file, shared->bytes, size, (off_t)at);
	while (count < 0 && errno == EINTR);
	return count;
}

/* A word may begin in one piece and end in the next. A page that can't be read ends a read before it, as the end of the file does. */
static bool is_clean(const struct shared_file *shared)
{
	for (uint64_t at = shared->range.start; at < shared->range.end; at += PIECE) {
		size_t size = (shared->range.end - at < PIECE ? shared->range.end - at : PIECE) + TAIL;
		ssize_t count = read_at(shared, size, at);

		if (count < 0 || scan_bytes(shared->words, shared->bytes, (size_t)count) != (size_t)count || patience_over(shared->patience))
			return false;
		if ((size_t)count < size)
			return read_at(shared, 1, at + (uint64_t)count) == 0;
	}
	return true;
}

void sweep_shared(const struct survey *survey, const struct patience *patience, struct swept *swept)
{
	struct shared_file shared = { .patience = patience, .most = survey->search, .bytes = memory_resize(NULL, PIECE + TAIL, 1) };
	struct scan_set words;

	sweep_words(survey, &words);
	shared.words = &words;
	for (size_t i = 0; i < survey->maps.count && swept->count < SWEPT_MAX && !patience_over(patience); i++) {
		const struct mapping *mapping = &survey->maps.item[i];

		if (!swept_may_hold(mapping) || swept_holds(swept, mapping))
			continue;
		shared.file = open_file(survey->process, mapping, &shared.huge);
		if (shared.file < 0)
			continue;
		shared.range = object_of(mapping).range;
		if (is_worth_it(&shared) && is_clean(&shared))
			*array_add(swept) = object_of(mapping);
		close(shared.file);
	}
	scan_set_free(&words);
	free(shared.bytes);
}
