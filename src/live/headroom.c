#include "live/headroom.h"

#include <stdlib.h>

#include "live/pages.h"
#include "process/cgroup.h"

#define PAGE UINT64_C(4096)
#define SPARE (UINT64_C(1) << 20)	/* bytes that are to be left for the program */

/* Addresses of pages that are written to. */
struct written {
	uint64_t *item;
	size_t count, room;
};

static void add(struct written *written, struct range range)
{
	for (uint64_t page = range.start & ~(PAGE - 1); page < range.end; page += PAGE)
		*array_add(written) = page;
}

static void add_entries(struct written *written, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		if (ledger_has_site(ledger, function))
			add(written, (struct range){ function->site, function->site + function->size });
	}
	for (size_t i = 0; i < ledger->finders.count; i++) {
		const struct ledger_finder *finder = &ledger->finders.item[i];

		add(written, (struct range){ finder->site, finder->site + finder->size });
		add(written, finder->code);
	}
}

static int by_address(const void *one, const void *other)
{
	const uint64_t *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

static uint64_t count_new(const struct process *process, struct written *written)
{
	struct pages pages;
	uint64_t count = 0;

	pages_open(process, true, 0, &pages);
	if (written->count)
		qsort(written->item, written->count, sizeof(*written->item), by_address);
	for (size_t i = 0; i < written->count; i++)
		if (!i || written->item[i] != written->item[i - 1])
			count += !pages_writable_in_place(&pages, written->item[i]);
	pages_close(&pages);
	return count;
}

static enum status check(const struct process *process, struct written *written, struct error *error)
{
	enum status status = STATUS_OK;
	struct cgroup_room room;
	uint64_t wanted;

	cgroup_memory_room(process, &room);
	wanted = room.bytes == UINT64_MAX ? 0 : count_new(process, written) * PAGE;
	if (wanted && room.bytes < wanted + SPARE)
		status = refuse(error, "process %d (%s) is near the limit of its memory: %s leaves %lu KiB, stent takes %lu KiB, and %lu KiB more "
				"have to be left for the program", process->pid, process->comm, room.group, room.bytes / 1024, wanted / 1024,
				SPARE / 1024);
	free(room.group);
	array_free(written);
	return status;
}

enum status headroom_check_install(const struct survey *survey, const struct link *link, struct error *error)
{
	struct written written = { 0 };

	for (size_t i = 0; i < link->parts.count; i++)
		add(&written, link->parts.item[i].range);
	add_entries(&written, &link->ledger);
	return check(survey->process, &written, error);
}

enum status headroom_check_transition(const struct survey *survey, const struct ledger *ledger, struct error *error)
{
	const uint64_t words[] = { ledger_address(ledger), ledger->dispatch.selector, ledger->scratch };
	struct written written = { 0 };

	add_entries(&written, ledger);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		add(&written, (struct range){ words[i], words[i] + 8 });
	/* The table of threads is in the part of the selector. */
	for (size_t i = 0; i < ledger->parts.count; i++)
		if (range_holds(ledger->parts.item[i].range, ledger->dispatch.selector))
			add(&written, ledger->parts.item[i].range);
	return check(survey->process, &written, error);
}
