/*
 * Memory that several processes share, read where the kernel keeps it: as a file in its memory (tmpfs, which mmap(2) and shmat(2) take it from, and
 * hugetlbfs), that /proc/PID/map_files leads to. So it is found whoever has it in his page table, or nobody, or where it has been swapped out.
 *
 * What may interrupt it: who shares it writes to it, and cuts it off. See sweep.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "live/sweep.h"

#define PAGE 4096u
#define PIECE (1u << 20)	/* bytes, */
#define TAIL (sizeof(uint64_t) - 1)	/* and those of a word that begins with the last of them */
#define RESIDENT_AT_ONCE (1ul << 28)	/* bytes that the kernel is asked about */

/* Of a mapping. */
static struct swept_object object_of(const struct mapping *mapping)
{
	return (struct swept_object){
		.device = mapping->device,
		.inode = mapping->inode,
		.range = { mapping->offset, mapping->offset + (mapping->range.end - mapping->range.start) },
	};
}

bool swept_holds(const struct swept *swept, const struct mapping *mapping)
{
	struct swept_object wanted = object_of(mapping);

	for (size_t i = 0; i < swept->count && mapping->shared; i++) {
		const struct swept_object *object = &swept->item[i];

		if (object->device == wanted.device && object->inode == wanted.inode && object->range.start <= wanted.range.start &&
		    wanted.range.end <= object->range.end)
			return true;
	}
	return false;
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

/* In a file system that has all in memory? -1: it isn't, or can't be told. (Looked at before it is opened: what a device does then nobody knows.) */
static int open_file(const struct process *process, const struct mapping *mapping, bool *huge)
{
	char name[80];
	struct statfs system;
	struct stat status;
	int path, file = -1;

	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, mapping->range.start, mapping->range.end);
	path = openat(process->directory, name, O_PATH | O_CLOEXEC);
	if (path < 0)
		return -1;
	if (fstatfs(path, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == HUGETLBFS_MAGIC) && fstat(path, &status) == 0 &&
	    S_ISREG(status.st_mode) && status.st_ino == mapping->inode) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", path);
		file = open(name, O_RDONLY | O_CLOEXEC);
		*huge = system.f_type == HUGETLBFS_MAGIC;
	}
	close(path);
	return file;
}

/* How much of the extent is not in memory. What can't be told is not. */
static uint64_t swapped_out(const struct shared_file *object, struct range extent)
{
	uint64_t start = extent.start & ~(uint64_t)(PAGE - 1), pages = (extent.end - start + PAGE - 1) / PAGE, missing = pages;
	unsigned char *resident = memory_resize(NULL, pages, 1);
	void *memory = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, object->file, (off_t)start);

	if (memory != MAP_FAILED) {
		if (mincore(memory, pages * PAGE, resident) == 0)
			for (uint64_t i = 0; i < pages; i++)
				missing -= resident[i] & 1;
		munmap(memory, pages * PAGE);
	}
	free(resident);
	return missing * PAGE;
}

/* A word may begin in one piece and end in the next, or where nothing is: its last bytes are zero. */
static bool is_clean(struct shared_file *object, struct range extent)
{
	for (uint64_t at = extent.start, size; at < extent.end; at += size) {
		ssize_t count;

		size = extent.end - at < PIECE ? extent.end - at : PIECE;
		do
			count = pread(object->file, object->bytes, size + TAIL, (off_t)at);
		while (count < 0 && errno == EINTR);
		if (count < 0 || scan_bytes(object->words, object->bytes, (size_t)count) != (size_t)count || patience_over(object->patience))
			return false;
	}
	return true;
}

/* The next part that has been written to, as much as is looked at together. False: there is none. *error: or it can't be told. */
static bool next_extent(const struct shared_file *object, uint64_t at, struct range *extent, bool *error)
{
	off_t data = lseek(object->file, (off_t)at, SEEK_DATA), hole;

	*error = data < 0 && errno != ENXIO;	/* cut off there, or empty from there on */
	if (data < 0 || (uint64_t)data >= object->range.end)
		return false;
	hole = lseek(object->file, data, SEEK_HOLE);
	*error = hole <= data;
	*extent = (struct range){ (uint64_t)data, (uint64_t)hole < object->range.end ? (uint64_t)hole : object->range.end };
	if (extent->end - extent->start > RESIDENT_AT_ONCE)
		extent->end = extent->start + RESIDENT_AT_ONCE;
	return !*error;
}

static bool sweep_object(struct shared_file *object)
{
	struct range extent;
	bool error;

	for (uint64_t at = object->range.start; next_extent(object, at, &extent, &error); at = extent.end) {
		uint64_t swapped = object->huge ? 0 : swapped_out(object, extent);

		if (swapped > object->most || !is_clean(object, extent))
			return false;
		object->most -= swapped;
	}
	return !error;
}

void sweep_shared(const struct survey *survey, const struct patience *patience, struct swept *swept)
{
	struct shared_file object = { .patience = patience, .most = survey->search, .bytes = memory_resize(NULL, PIECE + TAIL, 1) };
	struct scan_set words;
	bool own;

	sweep_words(survey, &words);
	object.words = &words;
	for (size_t i = 0; i < survey->maps.count; i++) {
		const struct mapping *mapping = &survey->maps.item[i];

		if (!mapping->shared || !mapping->inode || !sweep_counts(mapping, &own) || swept_holds(swept, mapping))
			continue;
		object.file = open_file(survey->process, mapping, &object.huge);
		if (object.file < 0)
			continue;
		object.range = object_of(mapping).range;
		if (sweep_object(&object))
			*array_add(swept) = object_of(mapping);
		close(object.file);
	}
	scan_set_free(&words);
	free(object.bytes);
}
