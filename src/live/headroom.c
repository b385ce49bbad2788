#include "live/headroom.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "process/cgroup.h"

#define PAGE UINT64_C(4096)
#define SPARE (UINT64_C(1) << 20)	/* bytes that are to be left for the program */

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_OF_FILE (UINT64_C(1) << 61)
#define PAGE_EXCLUSIVE (UINT64_C(1) << 56)

/* Addresses of pages that are written to. */
struct pages {
	uint64_t *item;
	size_t count, room;
};

static void add(struct pages *pages, struct range range)
{
	for (uint64_t page = range.start & ~(PAGE - 1); page < range.end; page += PAGE)
		*array_add(pages) = page;
}

static void add_entries(struct pages *pages, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		if (ledger_has_site(ledger, function))
			add(pages, (struct range){ function->site, function->site + function->size });
	}
	for (size_t i = 0; i < ledger->finders.count; i++) {
		const struct ledger_finder *finder = &ledger->finders.item[i];

		add(pages, (struct range){ finder->site, finder->site + finder->size });
		add(pages, finder->code);
	}
}

static int by_address(const void *one, const void *other)
{
	const uint64_t *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

/* A write to the page needs no new one. What can't be told counts as new. */
static bool is_own(int pagemap, uint64_t page)
{
	uint64_t entry = 0;

	return pagemap >= 0 && pread(pagemap, &entry, sizeof(entry), (off_t)(page / PAGE * sizeof(entry))) == sizeof(entry) &&
	       entry & PAGE_PRESENT && entry & PAGE_EXCLUSIVE && !(entry & PAGE_OF_FILE);
}

static uint64_t count_new(const struct process *process, struct pages *pages)
{
	int pagemap = openat(process->directory, "pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t count = 0;

	if (pages->count)
		qsort(pages->item, pages->count, sizeof(*pages->item), by_address);
	for (size_t i = 0; i < pages->count; i++)
		if (!i || pages->item[i] != pages->item[i - 1])
			count += !is_own(pagemap, pages->item[i]);
	if (pagemap >= 0)
		close(pagemap);
	return count;
}

static enum status check(const struct process *process, struct pages *pages, struct error *error)
{
	enum status status = STATUS_OK;
	struct cgroup_room room;
	uint64_t wanted;

	cgroup_memory_room(process, &room);
	wanted = room.bytes == UINT64_MAX ? 0 : count_new(process, pages) * PAGE;
	if (wanted && room.bytes < wanted + SPARE)
		status = refuse(error, "process %d (%s) is near the limit of its memory: %s leaves %lu KiB, stent takes %lu KiB, and %lu KiB more "
				"have to be left for the program", process->pid, process->comm, room.group, room.bytes / 1024, wanted / 1024,
				SPARE / 1024);
	free(room.group);
	array_free(pages);
	return status;
}

enum status headroom_check_install(const struct survey *survey, const struct link *link, struct error *error)
{
	struct pages pages = { 0 };

	for (size_t i = 0; i < link->parts.count; i++)
		add(&pages, link->parts.item[i].range);
	add_entries(&pages, &link->ledger);
	return check(survey->process, &pages, error);
}

enum status headroom_check_transition(const struct survey *survey, const struct ledger *ledger, struct error *error)
{
	const uint64_t words[] = { ledger_address(ledger), ledger->dispatch.selector, ledger->scratch };
	struct pages pages = { 0 };

	add_entries(&pages, ledger);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		add(&pages, (struct range){ words[i], words[i] + 8 });
	/* The table of threads is in the part of the selector. */
	for (size_t i = 0; i < ledger->parts.count; i++)
		if (range_holds(ledger->parts.item[i].range, ledger->dispatch.selector))
			add(&pages, ledger->parts.item[i].range);
	return check(survey->process, &pages, error);
}
