#include "live/pages.h"

#include <fcntl.h>
#include <unistd.h>

#define PAGE 4096u
#define RUN_PAGES (PAGES_RUN_MAX / PAGE)
/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)
#define PAGE_OF_FILE (UINT64_C(1) << 61)	/* or shared */
#define PAGE_EXCLUSIVE (UINT64_C(1) << 56)

void pages_open(const struct process *process, bool own, uint64_t most, struct pages *pages)
{
	*pages = (struct pages){ .map = openat(process->directory, "pagemap", O_RDONLY | O_CLOEXEC), .own = own, .left = most };
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
	return entry & (PAGE_PRESENT | PAGE_SWAPPED) && !(pages->own && entry & PAGE_OF_FILE);
}

static bool visit_run(struct pages *pages, struct range run, bool (*visit)(void *context, struct range run), void *context)
{
	return pages_take(pages, run.end - run.start) && visit(context, run);
}

static bool visit_some(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context)
{
	uint64_t entries[RUN_PAGES];
	size_t count = (range.end - range.start) / PAGE, run = 0;

	if (!read_entries(pages, range.start, count, entries))
		return visit_run(pages, range, visit, context);
	for (size_t i = 0; i < count; i++)
		pages->swapped += !(entries[i] & PAGE_PRESENT) && entries[i] & PAGE_SWAPPED;
	for (size_t i = 0; i <= count; i++) {
		if (i < count && counts(pages, entries[i]))
			continue;
		if (i > run && !visit_run(pages, (struct range){ range.start + run * PAGE, range.start + i * PAGE }, visit, context))
			return false;
		run = i + 1;
	}
	return true;
}

bool pages_each(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context)
{
	if (!pages_take(pages, (range.end - range.start) / PAGE * sizeof(uint64_t)))
		return false;
	for (uint64_t at = range.start; at < range.end; at += PAGES_RUN_MAX) {
		uint64_t end = range.end - at > PAGES_RUN_MAX ? at + PAGES_RUN_MAX : range.end;

		if (!visit_some(pages, (struct range){ at, end }, visit, context))
			return false;
	}
	return true;
}
