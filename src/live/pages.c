#include "live/pages.h"

#include <fcntl.h>
#include <unistd.h>

#define PAGE 4096u
#define RUN_PAGES (PAGES_RUN_MAX / PAGE)
/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)
#define PAGE_OF_FILE (UINT64_C(1) << 61)	/* or shared */

void pages_open(const struct process *process, bool own, struct pages *pages)
{
	*pages = (struct pages){ .map = openat(process->directory, "pagemap", O_RDONLY | O_CLOEXEC), .own = own };
}

void pages_close(struct pages *pages)
{
	if (pages->map >= 0)
		close(pages->map);
	pages->map = -1;
}

static bool counts(const struct pages *pages, uint64_t entry)
{
	return entry & (PAGE_PRESENT | PAGE_SWAPPED) && !(pages->own && entry & PAGE_OF_FILE);
}

static bool visit_some(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context)
{
	uint64_t entries[RUN_PAGES];
	size_t count = (range.end - range.start) / PAGE, run = 0;
	ssize_t size = (ssize_t)(count * sizeof(*entries));

	if (pages->map < 0 ||
	    pread(pages->map, entries, (size_t)size, (off_t)(range.start / PAGE * sizeof(*entries))) != size)
		return visit(context, range);
	for (size_t i = 0; i < count; i++)
		pages->swapped += !(entries[i] & PAGE_PRESENT) && entries[i] & PAGE_SWAPPED;
	for (size_t i = 0; i <= count; i++) {
		if (i < count && counts(pages, entries[i]))
			continue;
		if (i > run && !visit(context, (struct range){ range.start + run * PAGE, range.start + i * PAGE }))
			return false;
		run = i + 1;
	}
	return true;
}

bool pages_each(struct pages *pages, struct range range, bool (*visit)(void *context, struct range run), void *context)
{
	for (uint64_t at = range.start; at < range.end; at += PAGES_RUN_MAX) {
		uint64_t end = range.end - at > PAGES_RUN_MAX ? at + PAGES_RUN_MAX : range.end;

		if (!visit_some(pages, (struct range){ at, end }, visit, context))
			return false;
	}
	return true;
}
