#include "live/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE 4096u
#define RUN_PAGES (PAGES_RUN_MAX / PAGE)
/* Documentation/admin-guide/mm/pagemap.rst; the guards fs/proc/task_mmu.c (PM_GUARD_REGION, Linux 6.14) */
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)
#define PAGE_OF_FILE (UINT64_C(1) << 61)	/* or shared */
#define PAGE_GUARD (UINT64_C(1) << 58)
#define PAGE_EXCLUSIVE (UINT64_C(1) << 56)

/* PAGEMAP_SCAN(2const), Linux 6.7: newer than the headers that this is built with may be. */
struct scan_request {
	uint64_t size, flags, start, end, walk_end, regions, room, most_pages, inverted, all_of, any_of, told;
};

struct scan_region {
	uint64_t start, end, is;
};

#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, struct scan_request)
#define SCAN_FILE (UINT64_C(1) << 2)
#define SCAN_PRESENT (UINT64_C(1) << 3)
#define SCAN_SWAPPED (UINT64_C(1) << 4)
#define SCAN_ZERO (UINT64_C(1) << 5)	/* the page of zeroes that the kernel lends to who only reads */
#define SCAN_GUARD (UINT64_C(1) << 8)	/* Linux 6.15 */
#define REGIONS 256u			/* told at once */

void pages_open(const struct process *process, bool own, uint64_t most, struct pages *pages)
{
	*pages = (struct pages){
		.map = openat(process->directory, "pagemap", O_RDONLY | O_CLOEXEC),
		.own = own,
		.left = most,
		.scans = true,
		.empty = SCAN_ZERO | SCAN_GUARD,
	};
}

void pages_close(struct pages *pages)
{
	if (pages->map >= 0)
		close(pages->map);
	pages->map = -1;
}

/* What the page table says of `count` pages. False: it can't be read. */
static bool read_entries(const struct pages *pages, uint64_t address, size_t count, uint64_t *entries)
{
	size_t size = count * sizeof(*entries);

	return pages->map >= 0 && pread(pages->map, entries, size, (off_t)(address / PAGE * sizeof(*entries))) == (ssize_t)size;
}

bool pages_writable_in_place(const struct pages *pages, uint64_t page)
{
	uint64_t entry;

	return read_entries(pages, page, 1, &entry) && entry & PAGE_PRESENT && entry & PAGE_EXCLUSIVE && !(entry & PAGE_OF_FILE);
}

bool pages_take(struct pages *pages, uint64_t size)
{
	if (size > pages->left) {
		pages->over = true;
		return false;
	}
	pages->left -= size;
	return true;
}

static bool counts(const struct pages *pages, uint64_t entry)
{
	return entry & (PAGE_PRESENT | PAGE_SWAPPED) && !(entry & PAGE_GUARD) && !(pages->own && entry & PAGE_OF_FILE);
}

static bool visit_run(struct pages *pages, struct range run, bool (*visit)(void *context, struct range run), void *context)
{
	return pages_take(pages, run.end - run.start) && visit(context, run);
}

/* By an entry for each page. At most RUN_PAGES. */
static bool visit_entries(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context)
{
	uint64_t entries[RUN_PAGES];
	size_t count = (range.end - range.start) / PAGE, run = 0;

	if (!read_entries(pages, range.start, count, entries))
		return visit_run(pages, range, visit, context);
	for (size_t i = 0; i < count; i++)
		pages->swapped += !(entries[i] & PAGE_PRESENT) && entries[i] & PAGE_SWAPPED && !(entries[i] & PAGE_GUARD);
	for (size_t i = 0; i <= count; i++) {
		if (i < count && counts(pages, entries[i]))
			continue;
		if (i > run && !visit_run(pages, (struct range){ range.start + run * PAGE, range.start + i * PAGE }, visit, context))
			return false;
		run = i + 1;
	}
	return true;
}

/* What the kernel calls a run: those that follow each other, with what is true of them. Returns how many, from *start on, which it moves; -1: it can't. */
static int scan(const struct pages *pages, uint64_t *start, uint64_t end, struct scan_region *regions)
{
	struct scan_request request = {
		.size = sizeof(request),
		.start = *start,
		.end = end,
		.regions = (uintptr_t)regions,
		.room = REGIONS,
		.inverted = pages->empty | (pages->own ? SCAN_FILE : 0),
		.all_of = pages->empty | (pages->own ? SCAN_FILE : 0),
		.any_of = SCAN_PRESENT | SCAN_SWAPPED,
		.told = SCAN_SWAPPED,
	};
	int count = ioctl(pages->map, PAGEMAP_SCAN_REQUEST, &request);

	if (count >= 0 && (request.walk_end <= *start || request.walk_end > end))
		return -1;
	*start = count < 0 ? *start : request.walk_end;
	return count;
}

/* The same, where the kernel may be older. */
static int scan_as_can(struct pages *pages, uint64_t *start, uint64_t end, struct scan_region *regions)
{
	int count = pages->scans ? scan(pages, start, end, regions) : -1;

	if (count < 0 && pages->scans && errno == EINVAL && pages->empty & SCAN_GUARD) {
		pages->empty &= ~SCAN_GUARD;	/* known since Linux 6.15, and asked for by nobody before 6.13 */
		count = scan(pages, start, end, regions);
	}
	pages->scans = count >= 0;
	return count;
}

/* A run may be of any size. */
static bool visit_region(struct pages *pages, const struct scan_region *region, bool (*visit)(void *context, struct range run), void *context)
{
	if (region->is & SCAN_SWAPPED)
		pages->swapped += (region->end - region->start) / PAGE;
	for (uint64_t at = region->start, end; at < region->end; at = end) {
		end = region->end - at > PAGES_RUN_MAX ? at + PAGES_RUN_MAX : region->end;
		if (!visit_run(pages, (struct range){ at, end }, visit, context))
			return false;
	}
	return true;
}

/* Move *start behind what has been visited: all of the range, or nothing where the kernel can't say it in runs. */
static bool visit_regions(struct pages *pages, uint64_t *start, uint64_t end, bool (*visit)(void *context, struct range run), void *context)
{
	struct scan_region regions[REGIONS];
	int count;

	while (*start < end && (count = scan_as_can(pages, start, end, regions)) >= 0)
		for (int i = 0; i < count; i++)
			if (!visit_region(pages, &regions[i], visit, context))
				return false;
	return true;
}

bool pages_each(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context)
{
	uint64_t at = range.start;

	if (!pages_take(pages, (range.end - range.start) / PAGE * sizeof(uint64_t)) ||
	    !visit_regions(pages, &at, range.end, visit, context))
		return false;
	for (uint64_t end; at < range.end; at = end) {
		end = range.end - at > PAGES_RUN_MAX ? at + PAGES_RUN_MAX : range.end;
		if (!visit_entries(pages, (struct range){ at, end }, visit, context))
			return false;
	}
	return true;
}
