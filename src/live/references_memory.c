/* Which memory of a process is searched: all that it can have written to, and that holds something. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "live/referring.h"

#define PAGE 4096u
#define BLANK_MAX (1ul << 20)	/* of code, that is read to see that it is empty */

static const char *name_of(const struct mapping *mapping)
{
	return *mapping->name ? mapping->name : "anonymous memory";
}

/* More than may be read would have been. */
static void note_over(struct reference_search *search)
{
	if (search->pages.over && !search->done)
		reference_give_up(search, text_format("pointers into it could be in more than the %" PRIu64 " MiB that are searched (--reclaim)",
						      search->references->limit >> 20));
}

/* What is at run.start stands behind the carry. */
static void search_run(struct reference_search *search, struct range run)
{
	uint8_t *bytes = search->bytes + REFERENCE_CARRY;
	size_t size = run.end - run.start, before = search->end == run.start ? REFERENCE_CARRY : 0;
	struct reference_place place = { name_of(search->mapping), run.start, 0 };

	reference_search_words(search, &place, (const uint64_t *)(const void *)bytes, size / sizeof(uint64_t));
	place.start -= before;
	reference_search_bytes(search, &place, bytes - before, size + before);
	memcpy(search->bytes, bytes + size - REFERENCE_CARRY, REFERENCE_CARRY);
	search->end = run.end;
}

static bool is_device(const struct mapping *mapping)
{
	return mapping->inode && !strncmp(mapping->name, "/dev/", 5);
}

static bool visit_run(void *context, struct range run)
{
	struct reference_search *search = context;
	uint8_t *to = search->bytes + REFERENCE_CARRY;

	run.start = run.start < search->part.start ? search->part.start : run.start;
	run.end = run.end > search->part.end ? search->part.end : run.end;
	if (search->measuring)
		return true;
	/* (The second way reads what the program itself may not, and costs more.) */
	if (process_read_stopped(search->tid, run.start, to, run.end - run.start) ||
	    process_read(search->process, run.start, to, run.end - run.start))
		search_run(search, run);
	else if (!is_device(search->mapping))
		reference_give_up(search, text_format("what is at 0x%" PRIx64 " in %s can't be read", run.start, name_of(search->mapping)));
	return !search->done;
}

static struct range whole_pages(struct range range)
{
	return (struct range){ range.start & ~(uint64_t)(PAGE - 1), (range.end + PAGE - 1) & ~(uint64_t)(PAGE - 1) };
}

/* The parts of a mapping that are not passed by, as the page table has them. passed_by is sorted. */
static void search_pages(struct reference_search *search, const struct mapping *mapping)
{
	const struct references *references = search->references;
	uint64_t at = mapping->range.start;

	search->pages.own = !mapping->shared;
	for (size_t i = 0; i <= references->passed_by.count && at < mapping->range.end && !search->done; i++) {
		struct range passed = { mapping->range.end, mapping->range.end };

		if (i < references->passed_by.count)
			passed = references->passed_by.item[i];
		if (passed.end <= at)
			continue;
		search->part = (struct range){ at, passed.start < mapping->range.end ? passed.start : mapping->range.end };
		if (search->part.start < search->part.end)
			(void)!pages_each(&search->pages, whole_pages(search->part), visit_run, search);
		note_over(search);
		at = passed.end;
	}
}

/* --- shared memory --- */

/* Bytes of a file that are mapped. False: they can't be read. */
static bool visit_file(struct reference_search *search, int file, off_t at, size_t size)
{
	struct range run = { search->mapping->range.start + (uint64_t)at - search->mapping->offset, 0 };
	ssize_t got;

	if (!pages_take(&search->pages, size) || search->measuring) {
		note_over(search);
		return true;
	}
	got = pread(file, search->bytes + REFERENCE_CARRY, size, at);
	run.end = run.start + ((uint64_t)got & ~7ul);
	if (got < (ssize_t)REFERENCE_CARRY)
		return false;
	search_run(search, run);
	return true;
}

static bool visit_data(struct reference_search *search, int file, off_t at, off_t end)
{
	while (at < end && !search->done) {
		off_t data = lseek(file, at, SEEK_DATA), hole = data < 0 ? data : lseek(file, data, SEEK_HOLE);
		off_t most;

		if (data >= end || (data < 0 && errno == ENXIO))
			break;
		if (data < 0 || hole <= data)
			return false;
		most = hole < end ? hole : end;
		at = most - data > (off_t)PAGES_RUN_MAX ? data + (off_t)PAGES_RUN_MAX : most;
		if (!visit_file(search, file, data, (size_t)(at - data)))
			return false;
	}
	return true;
}

/*
 * Of a file that is in memory only the page table does not tell what there is: a page stays with the file when the process has dropped it.
 * It is read where the file has something, and not by way of the process, in which nothing changes.
 */
static void search_memory_file(struct reference_search *search, const struct mapping *mapping)
{
	char *path = text_format("/proc/%d/map_files/%" PRIx64 "-%" PRIx64, process_living_task(search->process), mapping->range.start,
				 mapping->range.end);
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	off_t at = (off_t)mapping->offset;

	free(path);
	if (file < 0 || !visit_data(search, file, at, at + (off_t)(mapping->range.end - mapping->range.start)))
		reference_give_up(search, text_format("what is at 0x%" PRIx64 " in %s can't be read", mapping->range.start, name_of(mapping)));
	if (file >= 0)
		close(file);
}

/* No other is opened: a program may serve it, and stand still. */
static bool is_memory_file(const struct reference_search *search, const struct mapping *mapping)
{
	for (size_t i = 0; i < search->devices.count && mapping->shared; i++)
		if (search->devices.item[i] == mapping->device)
			return true;
	return false;
}

static void add_device(struct reference_search *search, uint64_t major, uint64_t minor)
{
	*array_add(&search->devices) = major << 32 | minor;	/* as struct mapping has it */
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" (proc(5)). */
static void add_mounted(struct reference_search *search)
{
	char *text = process_file(search->process, "mountinfo", NULL);

	for (char *line = text, *next; line && *line; line = next) {
		unsigned int major, minor;
		const char *kind;

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		kind = strstr(line, " - ");
		if (kind && (!strncmp(kind, " - tmpfs ", 9) || !strncmp(kind, " - hugetlbfs ", 13)) &&
		    sscanf(line, "%*u %*u %u:%u ", &major, &minor) == 2)
			add_device(search, major, minor);
	}
	free(text);
}

/* The kernel's own, for what has no name, and all that are mounted. */
static void find_devices(struct reference_search *search)
{
	int own = memfd_create("stent", MFD_CLOEXEC);
	struct stat about;

	if (own >= 0 && fstat(own, &about) == 0)
		add_device(search, major(about.st_dev), minor(about.st_dev));
	if (own >= 0)
		close(own);
	add_mounted(search);
}

/* --- all --- */

/* What can hold nothing that the program wrote. (A shared mapping of a file holds what the file does.) */
static bool is_read_only(const struct reference_search *search, const struct mapping *mapping)
{
	return mapping_special(mapping, "[vdso]") || mapping_special(mapping, "[vvar]") || mapping_special(mapping, "[vvar_vclock]") ||
	       mapping_special(mapping, "[vsyscall]") ||
	       (mapping->shared && !mapping->write && !is_memory_file(search, mapping));
}

static bool is_passed_by(const struct references *references, struct range range)
{
	for (size_t i = 0; i < references->passed_by.count; i++)
		if (references->passed_by.item[i].start <= range.start && references->passed_by.item[i].end >= range.end)
			return true;
	return false;
}

/*
 * Nothing was ever written there, and by nobody else as long as the threads stand still. Code that will be is made from addresses that would have been found.
 * A stent that is killed may leave such memory (install.c), and what is left of patches must not be kept for ever because of that.
 */
static bool is_blank(const struct reference_search *search, const struct mapping *mapping)
{
	size_t size = mapping->range.end - mapping->range.start;
	bool blank = mapping_anonymous(mapping) && !mapping->shared && size <= BLANK_MAX;
	uint8_t *bytes = blank ? memory_zeroed(size, 1) : NULL;

	blank = blank && process_read(search->process, mapping->range.start, bytes, size);
	for (size_t i = 0; i < size && blank; i++)
		blank = !bytes[i];
	free(bytes);
	return blank;
}

static bool is_in_reach(const struct references *references, const struct reference_target *target, const struct mapping *mapping)
{
	const uint64_t reach = references->arch->reach;

	return target->range.start < mapping->range.end + reach && mapping->range.start < target->range.end + reach;
}

/* Code that the program itself has made (a JIT compiler) can refer to what is near without holding an address: nothing is known of that. */
static void look_at_code(struct reference_search *search, const struct mapping *mapping)
{
	struct references *references = search->references;
	bool asked = false;

	if (!mapping->execute || (mapping->inode && !mapping->shared) || is_passed_by(references, mapping->range))
		return;
	for (size_t i = 0; i < references->targets.count; i++) {
		const struct reference_target *target = &references->targets.item[i];

		if (!is_in_reach(references, target, mapping))
			continue;
		if (!asked && is_blank(search, mapping))
			return;
		asked = true;
		references_note(references, target->owner, text_format("the code at 0x%" PRIx64 ", which is of no image, may refer to it",
								       mapping->range.start));
	}
	search->done = !references_open(references);
}

void reference_search_memory(struct reference_search *search)
{
	const struct maps *maps = search->references->maps;

	pages_open(search->process, true, search->references->limit, &search->pages);
	find_devices(search);
	if (!search->measuring)
		search->bytes = memory_resize(NULL, REFERENCE_CARRY + PAGES_RUN_MAX, 1);
	for (size_t i = 0; i < maps->count && !search->done; i++) {
		const struct mapping *mapping = &maps->item[i];

		search->mapping = mapping;
		if (is_read_only(search, mapping))
			continue;
		if (!search->measuring)
			look_at_code(search, mapping);
		if (!search->done && is_memory_file(search, mapping))
			search_memory_file(search, mapping);
		else if (!search->done)
			search_pages(search, mapping);
	}
	free(search->bytes);
	array_free(&search->devices);
	pages_close(&search->pages);
}
