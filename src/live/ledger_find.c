/*
 * Finding ledgers in a process, and checking that what one says is possible before anything is done by it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "live/ledger.h"
#include "patch/patch.h"

static bool inside(struct range outer, uint64_t start, uint64_t size)
{
	return start >= outer.start && size <= outer.end - outer.start && start - outer.start <= outer.end - outer.start - size;
}

static bool range_inside(struct range outer, struct range range)
{
	return inside(outer, range.start, range.end - range.start);
}

/* The part of the region that holds all of the bytes. */
static bool in_part(const struct ledger *ledger, uint64_t start, uint64_t size, uint32_t flags)
{
	for (size_t i = 0; i < ledger->parts.count; i++)
		if (inside(ledger->parts.item[i].range, start, size))
			return ledger->parts.item[i].flags == flags;
	return false;
}

static bool executable(const struct maps *maps, uint64_t start, uint64_t size)
{
	const struct mapping *mapping = maps_find(maps, start);

	return mapping && mapping->execute && !mapping->shared && inside(mapping->range, start, size);
}

static bool check_function(const struct ledger *ledger, const struct ledger_function *function)
{
	if (!function->redirected)
		return true;
	return function->size && function->site <= UINT64_MAX - function->size &&
	       !ledger_image_at(ledger, function->site) && function->span >= function->size;
}

/* What another patch has to do with what stands in an entry of this one. */
enum other {
	OTHER_NONE,
	OTHER_ABOVE,	/* it will put this one's jump back */
	OTHER_INSTEAD,	/* it is there, and knows nothing of this one */
};

static enum other other_patch(const struct ledgers *ledgers, const struct ledger *ledger, const struct ledger_function *function,
			      const uint8_t *bytes)
{
	size_t count;
	const struct ledger_site *there = ledgers_at(ledgers, function->site, &count);
	enum other other = OTHER_NONE;

	for (size_t i = 0; i < count; i++) {
		const struct ledger_function *candidate = there[i].function;

		if (there[i].ledger == ledger || there[i].ledger->state == LEDGER_REVERTED)
			continue;
		if (!memcmp(ledger_below(there[i].ledger, candidate), function->settled, function->size))
			return OTHER_ABOVE;
		if (!memcmp(bytes, candidate->settled, function->size) || !memcmp(bytes, candidate->jump, function->size))
			other = OTHER_INSTEAD;
	}
	return other;
}

/*
 * Every entry leads to the patch, unless the image was mapped anew. Of one that is half done only the selector tells: it is 0 from when
 * all jumps stand until the last thread has arrived (docs/model.md).
 */
static bool should_lead(const struct process *process, const struct ledger *ledger)
{
	uint64_t selector;

	if (ledger->state == LEDGER_ACTIVE)
		return true;
	return ledger_half_done(ledger) && process_read(process, ledger->dispatch.selector, &selector, sizeof(selector)) && !selector;
}

/*
 * True when a patch in force, or half done, has lost its functions in an image: that was unmapped (dlclose), or an untouched copy of it is
 * in its place, patched anew perhaps. One entry that leads to this one, or that holds what nobody knows, is enough to say no.
 */
static bool is_lost(const struct process *process, const struct maps *maps, const struct ledgers *ledgers,
		    const struct ledger *ledger, size_t image)
{
	bool leads = should_lead(process, ledger);

	if (!leads && !ledger_half_done(ledger))
		return false;
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];
		uint8_t bytes[ARCH_ENTRY_MAX];
		enum other other;

		if (!function->redirected || function->image != image || !executable(maps, function->site, function->size) ||
		    !process_read(process, function->site, bytes, function->size))
			continue;
		if (!leads)
			return false;
		other = other_patch(ledgers, ledger, function, bytes);
		if (other == OTHER_ABOVE ||
		    (other == OTHER_NONE && memcmp(bytes, ledger_below(ledger, function), function->size) != 0))
			return false;
	}
	/* (Another stent that ends the transition just now stores the selector before the entries.) */
	return !leads || should_lead(process, ledger);
}

static void note_lost(const struct process *process, const struct maps *maps, const struct ledgers *ledgers, struct ledger *ledger)
{
	ledger->lost = true;
	for (size_t i = 0; i < ledger->images.count; i++) {
		ledger->images.item[i].lost = is_lost(process, maps, ledgers, ledger, i);
		ledger->lost &= ledger->images.item[i].lost;
	}
}

static bool check_finder(const struct ledger *ledger, const struct maps *maps, const struct ledger_finder *finder)
{
	uint64_t size = finder->code.end - finder->code.start;

	return finder->size && finder->span >= finder->size && finder->site <= UINT64_MAX - finder->span &&
	       !ledger_image_at(ledger, finder->site) && (ledger->removing || executable(maps, finder->code.start, size)) &&
	       finder->next % 8 == 0 && inside(finder->code, finder->next, 8) && inside(finder->code, finder->copy, 1);
}

static int compare_sites(const void *one, const void *other)
{
	const struct ledger_site *a = one, *b = other;

	return (a->address > b->address) - (a->address < b->address);
}

static void add_sites(struct ledgers *ledgers, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->functions.count; i++)
		if (ledger->functions.item[i].redirected)
			*array_add(&ledgers->sites) =
				(struct ledger_site){ ledger->functions.item[i].site, ledger, &ledger->functions.item[i] };
}

static void sort_sites(struct ledgers *ledgers)
{
	if (ledgers->sites.count)
		qsort(ledgers->sites.item, ledgers->sites.count, sizeof(struct ledger_site), compare_sites);
}

/* Two entries for one function would lead to two versions. */
static bool has_site_twice(const struct ledger *ledger)
{
	struct ledgers alone = { 0 };
	bool twice = false;

	add_sites(&alone, ledger);
	sort_sites(&alone);
	for (size_t i = 1; i < alone.sites.count && !twice; i++)
		twice = alone.sites.item[i - 1].address == alone.sites.item[i].address;
	array_free(&alone.sites);
	return twice;
}

static bool is_private(const struct maps *maps, struct range range)
{
	for (uint64_t at = range.start; at < range.end;) {
		const struct mapping *mapping = maps_find(maps, at);

		if (!mapping || mapping->shared)
			return false;
		at = mapping->range.end;
	}
	return true;
}

/* Parts are in the regions of the images, in the same order, and sorted in each; and what they lie in is private memory, but for what may
 * have been unmapped already. */
static bool check_parts(const struct ledger *ledger, const struct maps *maps)
{
	size_t image = 0;

	for (size_t i = 0; i < ledger->parts.count; i++) {
		struct range range = ledger->parts.item[i].range;
		uint64_t before = i ? ledger->parts.item[i - 1].range.end : 0;

		while (image < ledger->images.count && !range_inside(ledger->images.item[image].region, range))
			image++, before = 0;
		if (image == ledger->images.count || range.start < before ||
		    (!(ledger->removing && image) && !is_private(maps, range)))
			return false;
	}
	return true;
}

static bool check_image(const struct ledger *ledger, size_t index)
{
	const struct ledger_image *image = &ledger->images.item[index];

	for (size_t i = 0; i < index; i++)
		if (ledger->images.item[i].region.start < image->region.end && image->region.start < ledger->images.item[i].region.end)
			return false;
	return range_inside(image->region, image->code) &&
	       in_part(ledger, image->code.start, image->code.end - image->code.start, SEGMENT_READ | SEGMENT_EXECUTE);
}

static bool check_ledger(const struct ledger *ledger, const struct maps *maps, uint64_t address)
{
	const struct arch *arch = arch_by_machine(ledger->machine);
	const struct dispatch *dispatch = &ledger->dispatch;
	size_t redirected = ledger_redirected(ledger);
	size_t table = redirected * sizeof(uint64_t);

	if (!arch || ledger_address(ledger) != address || !redirected || !check_parts(ledger, maps))
		return false;
	for (size_t i = 0; i < ledger->images.count; i++)
		if (!check_image(ledger, i))
			return false;
	if (!in_part(ledger, dispatch->selector, 8, SEGMENT_READ) || !in_part(ledger, dispatch->fallback, 8, SEGMENT_READ) ||
	    !in_part(ledger, ledger->old_table, table, SEGMENT_READ) || !in_part(ledger, ledger->new_table, table, SEGMENT_READ) ||
	    dispatch->table_bits < DISPATCH_BITS_MIN || dispatch->selector % 8 || dispatch->fallback % 8 || dispatch->table % 8 ||
	    !in_part(ledger, dispatch->table, sizeof(struct dispatch_entry) << dispatch->table_bits, SEGMENT_READ) ||
	    !in_part(ledger, ledger->scratch, LEDGER_SCRATCH, SEGMENT_READ | SEGMENT_WRITE))
		return false;
	for (size_t i = 0; i < ledger->functions.count; i++)
		if (!check_function(ledger, &ledger->functions.item[i]))
			return false;
	for (size_t i = 0; i < ledger->finders.count; i++)
		if (!check_finder(ledger, maps, &ledger->finders.item[i]))
			return false;
	return !has_site_twice(ledger);
}

/* A ledger is the start of a mapping of its own: read-only, private, of no file, right behind an inaccessible one. */
static bool can_be_ledger(const struct maps *maps, size_t index)
{
	const struct mapping *mapping = &maps->item[index];
	const struct mapping *guard = index ? &maps->item[index - 1] : NULL;

	return mapping_anonymous(mapping) && mapping->read && !mapping->write && !mapping->execute && guard &&
	       guard->range.end == mapping->range.start && !guard->read && !guard->write && !guard->execute;
}

static void note_damaged(struct ledgers *ledgers, size_t *damaged, uint64_t at, const char *why)
{
	if ((*damaged)++)
		return;
	ledgers->damaged_at = at;
	ledgers->why = why;
}

/* The one in this mapping, if there is one. *left: bytes that may yet be read. */
static void read_ledger(const struct process *process, const struct maps *maps, size_t index, struct ledgers *ledgers, size_t *damaged,
			uint64_t *left)
{
	struct range range = maps->item[index].range;
	uint64_t size = range.end - range.start > LEDGER_SIZE_MAX ? LEDGER_SIZE_MAX : range.end - range.start;
	struct ledger ledger = { 0 };
	uint8_t *bytes, first[16];
	const char *why = NULL;

	if (!can_be_ledger(maps, index) || !process_read(process, range.start, first, sizeof(first)) ||
	    memcmp(first, LEDGER_MAGIC, sizeof(first)) != 0)
		return;
	if (size > *left || ledgers->count + *damaged >= LEDGERS_MAX) {
		*left = 0;
		note_damaged(ledgers, damaged, range.start, "there are more than any patches need");
		return;
	}
	*left -= size;
	bytes = memory_zeroed(size, 1);
	if (process_read(process, range.start, bytes, size) && ledger_decode(bytes, size, &ledger, &why) &&
	    check_ledger(&ledger, maps, range.start)) {
		*array_add(ledgers) = ledger;
	} else {
		bool harmless = ledger.state == LEDGER_PREPARED;	/* also when the writing was cut short */

		ledger_free(&ledger);
		if (!harmless)
			note_damaged(ledgers, damaged, range.start, why ? why : "what it says can't be true");
	}
	free(bytes);
}

void ledgers_read(const struct process *process, const struct maps *maps, struct ledgers *ledgers, size_t *damaged)
{
	uint64_t left = LEDGERS_SIZE_MAX;

	*ledgers = (struct ledgers){ 0 };
	*damaged = 0;
	for (size_t i = 0; i < maps->count; i++)
		read_ledger(process, maps, i, ledgers, damaged, &left);
	for (size_t i = 0; i < ledgers->count; i++)
		add_sites(ledgers, &ledgers->item[i]);
	sort_sites(ledgers);
	for (size_t i = 0; i < ledgers->count; i++)
		note_lost(process, maps, ledgers, &ledgers->item[i]);
}

const struct ledger_site *ledgers_at(const struct ledgers *ledgers, uint64_t address, size_t *count)
{
	size_t first = array_search(&ledgers->sites, address, address);

	*count = 0;
	while (first + *count < ledgers->sites.count && ledgers->sites.item[first + *count].address == address)
		++*count;
	return *count ? ledgers->sites.item + first : NULL;
}

enum status ledgers_refuse_damaged(const struct process *process, const struct ledgers *ledgers, struct error *error)
{
	return refuse(error, "process %d (%s) holds a ledger, at %#lx, that can't be read: %s", process->pid, process->comm,
		      ledgers->damaged_at, ledgers->why);
}

void ledgers_free(struct ledgers *ledgers)
{
	for (size_t i = 0; i < ledgers->count; i++)
		ledger_free(&ledgers->item[i]);
	array_free(&ledgers->sites);
	array_free(ledgers);
}
