/*
 * The region, from its start:
 *
 *	guard		one inaccessible page, so that the ledger begins a mapping of its own
 *	ledger		r--
 *	code		r-x: the lookup, dispatchers, displaced copies
 *	data		r--: selector, fallback, the two version tables, the table of threads, the slice's .eh_frame_hdr
 *	scratch		rw-: for system calls that threads of the process make for stent
 *	slice		the segments of the patch, at their distances from each other
 *
 * While threads move from one version to the other, a call of a redirected function takes: entry -> dispatcher -> version. Before
 * and behind that the entry itself is the version, or jumps there.
 */
#include "live/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "live/finders.h"
#include "live/imports.h"
#include "live/place.h"
#include "live/site.h"
#include "live/stacking.h"
#include "live/unwind_index.h"

#define PAGE 4096ul
#define CACHE_LINE 64

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

#define copy_ranges(from, to)                                                                           \
	do {                                                                                            \
		for (size_t range_index = 0; range_index < (from)->count; range_index++)                \
			*array_add(to) = (from)->item[range_index];                                     \
	} while (0)

static void move_ranges(struct range *ranges, size_t count, uint64_t bias)
{
	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct range){ ranges[i].start + bias, ranges[i].end + bias };
}

static void describe(const struct patch *patch, struct ledger *ledger)
{
	ledger->state = LEDGER_PREPARED;
	ledger->name = text_copy(patch->name);
	ledger->description = text_copy(patch->description ? patch->description : "");
	ledger->tool = text_copy("stent " STENT_VERSION);
	ledger->image = text_copy(patch->image);
	ledger->old_version = text_copy(patch->old_version ? patch->old_version : "");
	ledger->new_version = text_copy(patch->new_version ? patch->new_version : "");
	ledger->digest = patch_digest(patch);
	ledger->applied = (uint64_t)time(NULL);	/* until it is applied */
	ledger->old_id = patch->old_id;
	ledger->new_id = patch->new_id;
	ledger->machine = patch->machine;
}

/* With link-time addresses but for the site's, which move_functions() turns into those of the process, for the patch's own functions. */
static void describe_functions(const struct patch *patch, struct ledger *ledger)
{
	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *from = &patch->functions.item[i];
		struct ledger_function *to;

		if (from->action != ACTION_REDIRECT && from->action != ACTION_ADD)
			continue;
		to = array_add(&ledger->functions);
		*to = (struct ledger_function){ .name = text_copy(from->name), .change = from->change };
		to->redirected = from->action == ACTION_REDIRECT;
		if (to->redirected)
			to->site = from->old_entry + ledger->bias + from->plan.offset;
		if (to->redirected)
			copy_ranges(&from->old_ranges, &to->old_ranges);
		copy_ranges(&from->new_ranges, &to->new_ranges);
		to->new_entry = from->new_entry;
	}
}

static void move_functions(struct ledger *ledger, size_t own)
{
	for (size_t i = 0; i < own; i++) {
		struct ledger_function *function = &ledger->functions.item[i];

		move_ranges(function->old_ranges.item, function->old_ranges.count, ledger->bias);
		move_ranges(function->new_ranges.item, function->new_ranges.count, ledger->slice_bias);
		function->new_entry += ledger->slice_bias;
	}
}

static void add_part(struct link *link, uint64_t *at, uint64_t size, uint32_t flags)
{
	struct range range = { *at, *at + round_up(size, PAGE) };

	*array_add(&link->ledger.parts) = (struct ledger_part){ range, flags };
	*array_add(&link->parts) = (struct link_part){ range, flags, memory_zeroed(range.end - range.start, 1) };
	*at = range.end;
}

/* Where the dispatchers ask, each word that is stored on its own in a cache line of its own. Returns the end. */
static uint64_t lay_out_dispatch(struct ledger *ledger, uint64_t at, uint64_t tables)
{
	struct dispatch *dispatch = &ledger->dispatch;

	dispatch->selector = at;
	dispatch->fallback = at + CACHE_LINE;
	ledger->old_table = at + 2 * CACHE_LINE;
	ledger->new_table = round_up(ledger->old_table + tables, CACHE_LINE);
	dispatch->table = round_up(ledger->new_table + tables, CACHE_LINE);
	return dispatch->table + (sizeof(struct dispatch_entry) << dispatch->table_bits);
}

/* Lay out from `base`, and copy the slice into its parts. */
static void lay_out(struct link *link, const struct patch *patch, const struct arch *arch, uint64_t base,
		    uint64_t ledger_size)
{
	struct ledger *ledger = &link->ledger;
	uint64_t count = ledger_redirected(ledger), at = base + PAGE, end;

	add_part(link, &at, ledger_size, SEGMENT_READ);
	ledger->dispatch.lookup = at;
	ledger->code = (struct range){ at, at + round_up(site_code_size(arch, count), PAGE) };
	add_part(link, &at, ledger->code.end - at, SEGMENT_READ | SEGMENT_EXECUTE);
	end = lay_out_dispatch(ledger, at, count * sizeof(uint64_t));
	if (ledger->finders.count)
		ledger->unwind_index = (struct range){ end, end + unwind_index_size(patch) };
	end += ledger->unwind_index.end - ledger->unwind_index.start;
	add_part(link, &at, end - at, SEGMENT_READ);
	ledger->scratch = at;
	add_part(link, &at, LEDGER_SCRATCH, SEGMENT_READ | SEGMENT_WRITE);

	ledger->slice_bias = at - patch->segments.item[0].address;
	for (size_t i = 0; i < patch->segments.count; i++) {
		const struct patch_segment *segment = &patch->segments.item[i];

		at = segment->address + ledger->slice_bias;
		add_part(link, &at, segment->size, segment->flags);
		memcpy(link->parts.item[link->parts.count - 1].bytes, segment->data, segment->size);
	}
	ledger->region = (struct range){ base, at };
	if (patch->eh_frame.start < patch->eh_frame.end)
		ledger->eh_frame = (struct range){ patch->eh_frame.start + ledger->slice_bias,
						   patch->eh_frame.end + ledger->slice_bias };
}

/* Room for four times the threads that there are: a quarter full, a look-up takes hardly more than one step. */
static uint8_t choose_table_bits(const struct process *process)
{
	struct tids tids = { 0 };
	uint8_t bits = DISPATCH_BITS_MIN;

	(void)!process_tids(process, &tids);
	while (bits < DISPATCH_BITS_MAX && ((size_t)1 << bits) < 4 * tids.count)
		bits++;
	array_free(&tids);
	return bits;
}

/* Fields of 4 bytes that hold addresses are only good for the lowest 2 GiB. */
static bool needs_low_addresses(const struct patch *patch)
{
	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];

		if (binding->anchor == ANCHOR_SLICE &&
		    (binding->type == BINDING_ABSOLUTE32 || binding->type == BINDING_ABSOLUTE32S))
			return true;
	}
	return false;
}

static enum status choose_base(const struct survey *survey, const struct patch *patch, const struct mapped_image *image,
			       const struct arch *arch, uint64_t size, uint64_t *base, struct error *error)
{
	struct place_request request = {
		.image = image->span,
		.reach = arch->reach,
		.limit = needs_low_addresses(patch) ? 1ul << 31 : 1ul << 47,
		.lowest = place_lowest(),
		.size = size,
	};

	if (image->span.end - image->span.start < arch->reach && place_find(&survey->maps, &request, base))
		return STATUS_OK;
	return refuse(error, "process %d (%s): no free place for %lu KiB within reach of %s at %#lx",
		      survey->process->pid, survey->process->comm, size / 1024, image->name, image->span.start);
}

static enum status check_patch(const struct survey *survey, const struct patch *patch, const struct arch *arch,
			       struct error *error)
{
	size_t redirected = 0;

	for (size_t i = 0; i < patch->functions.count; i++)
		redirected += patch->functions.item[i].action == ACTION_REDIRECT;
	if (!arch)
		return refuse(error, "patch %s is for another machine", patch->name);
	if (!redirected || !patch->segments.count)
		return error_add(error, STATUS_NOTHING, "patch %s changes nothing in process %d (%s): no function is to be "
				 "redirected", patch->name, survey->process->pid, survey->process->comm);
	return STATUS_OK;
}

static void free_parts(struct link *link)
{
	for (size_t i = 0; i < link->parts.count; i++)
		free(link->parts.item[i].bytes);
	array_free(&link->parts);
	for (size_t i = 0; i < link->pages.count; i++)
		free(link->pages.item[i].bytes);
	array_free(&link->pages);
	array_free(&link->ledger.parts);
}

/* Bytes that what is known of other patches in force may add to the ledger while it is linked: no more than they take themselves. */
static size_t stacking_room(const struct survey *survey)
{
	size_t room = 0, size;

	for (size_t i = 0; i < survey->ledgers.count; i++) {
		if (survey->ledgers.item[i].state != LEDGER_ACTIVE && !survey->ledgers.item[i].forced)
			continue;
		free(ledger_encode(&survey->ledgers.item[i], &size));
		room += size;
	}
	return room;
}

static enum status bind_imported(struct link *link, const struct survey *survey, const struct patch *patch, const struct mapped_image *image,
				 struct error *error)
{
	uint64_t *imports;
	enum status status = imports_find(survey, patch, image, &imports, error);

	if (status == STATUS_OK)
		status = bind_slice(link, survey, patch, imports, error);
	free(imports);
	return status;
}

enum status link_patch(const struct survey *survey, const struct patch *patch, const struct mapped_image *image, bool replace,
		       uint64_t base, struct link *link, struct error *error)
{
	const struct arch *arch = arch_by_machine(patch->machine);
	size_t ledger_size, size, own;
	enum status status;
	uint8_t *bytes;

	*link = (struct link){ 0 };
	status = check_patch(survey, patch, arch, error);
	if (status != STATUS_OK)
		return status;
	link->ledger.bias = image->bias;
	if (getrandom(&link->ledger.nonce, sizeof(link->ledger.nonce), 0) != sizeof(link->ledger.nonce))
		return fail(error, "the system gives no random number: %s", strerror(errno));
	describe(patch, &link->ledger);
	describe_functions(patch, &link->ledger);
	own = link->ledger.functions.count;
	if (replace)
		stacking_replace(survey, &link->ledger);
	else
		status = stacking_check(survey, &link->ledger, error);
	if (status != STATUS_OK)
		return status;
	status = finders_describe(survey, patch, &link->ledger, error);
	if (status != STATUS_OK)
		return status;
	link->ledger.dispatch.table_bits = choose_table_bits(survey->process);

	/* Once at address 0, to learn how much room is needed: the size of the ledger does not depend on addresses. */
	lay_out(link, patch, arch, 0, PAGE);
	free(ledger_encode(&link->ledger, &ledger_size));
	ledger_size += stacking_room(survey);
	size = link->ledger.region.end - PAGE + ledger_size;
	free_parts(link);
	if (!base)
		status = choose_base(survey, patch, image, arch, size, &base, error);
	if (status != STATUS_OK)
		return status;
	lay_out(link, patch, arch, base, ledger_size);
	move_functions(&link->ledger, own);
	status = site_link(link, survey, patch, arch, error);
	if (status == STATUS_OK)
		status = bind_imported(link, survey, patch, image, error);
	if (status == STATUS_OK)
		status = finders_link(link, survey, arch, error);
	if (status != STATUS_OK)
		return status;
	bytes = ledger_encode(&link->ledger, &size);
	if (size > ledger_size) {
		free(bytes);
		return refuse(error, "process %d (%s): the ledger of patch %s is too large", survey->process->pid,
			      survey->process->comm, patch->name);
	}
	memcpy(link->parts.item[0].bytes, bytes, size);
	free(bytes);
	return STATUS_OK;
}

void link_free(struct link *link)
{
	free_parts(link);
	ledger_free(&link->ledger);
}
