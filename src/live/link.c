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
 * Each further image of a patch has a region of its own, near it:
 *
 *	guard		as above
 *	code		r-x: an entrance for each function, displaced copies
 *	index		r--: the slice's .eh_frame_hdr
 *	slice		as above
 *
 * A direct jump reaches only what is near. So the entry of a function there leads to an entrance, a far jump to the
 * dispatcher, which is in the first region, where all words and tables are that dispatchers ask: one selector, one table of
 * threads, one store for all images.
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

#include "live/contexts.h"
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

static void describe(const struct bundle *bundle, const struct targets *targets, struct ledger *ledger)
{
	const struct patch *first = targets->item[0].patch;

	ledger->state = LEDGER_PREPARED;
	ledger->name = text_copy(first->name);
	ledger->description = text_copy(first->description ? first->description : "");
	ledger->tool = text_copy("stent " STENT_VERSION);
	ledger->digest = bundle_digest(bundle);
	ledger->applied = (uint64_t)time(NULL);	/* until it is applied */
	ledger->machine = first->machine;
	for (size_t i = 0; i < targets->count; i++) {
		const struct patch *patch = targets->item[i].patch;

		*array_add(&ledger->images) = (struct ledger_image){
			.name = text_copy(patch->image),
			.old_version = text_copy(patch->old_version ? patch->old_version : ""),
			.new_version = text_copy(patch->new_version ? patch->new_version : ""),
			.old_id = patch->old_id,
			.new_id = patch->new_id,
			.bias = targets->item[i].image->bias,
		};
	}
}

/* With link-time addresses but for the site's, which move_functions() turns into those of the process, for the patch's own functions. */
static void describe_functions(const struct patch *patch, uint64_t image, struct ledger *ledger)
{
	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *from = &patch->functions.item[i];
		struct ledger_function *to;

		if (from->action != ACTION_REDIRECT && from->action != ACTION_ADD)
			continue;
		to = array_add(&ledger->functions);
		*to = (struct ledger_function){ .name = text_copy(from->name), .image = image, .change = from->change };
		to->redirected = from->action == ACTION_REDIRECT;
		if (to->redirected)
			to->site = from->old_entry + ledger->images.item[image].bias + from->plan.offset;
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
		const struct ledger_image *image = &ledger->images.item[function->image];

		move_ranges(function->old_ranges.item, function->old_ranges.count, image->bias);
		move_ranges(function->new_ranges.item, function->new_ranges.count, image->slice_bias);
		function->new_entry += image->slice_bias;
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
	/* Each table behind its mark. */
	ledger->old_table = at + 3 * CACHE_LINE;
	ledger->new_table = round_up(ledger->old_table + tables + DISPATCH_MARK, CACHE_LINE);
	dispatch->table = round_up(ledger->new_table + tables, CACHE_LINE);
	return dispatch->table + (sizeof(struct dispatch_entry) << dispatch->table_bits);
}

/* The segments of the patch, from `at` on, and with that the end of the region. */
static void lay_out_slice(struct link *link, const struct patch *patch, struct ledger_image *image, uint64_t at)
{
	image->slice_bias = at - patch->segments.item[0].address;
	for (size_t i = 0; i < patch->segments.count; i++) {
		const struct patch_segment *segment = &patch->segments.item[i];

		at = segment->address + image->slice_bias;
		add_part(link, &at, segment->size, segment->flags);
		memcpy(link->parts.item[link->parts.count - 1].bytes, segment->data, segment->size);
	}
	image->region.end = at;
	if (patch->eh_frame.start < patch->eh_frame.end)
		image->eh_frame = (struct range){ patch->eh_frame.start + image->slice_bias, patch->eh_frame.end + image->slice_bias };
}

/* The index of the unwind tables, if anybody is to find them. Returns the end. */
static uint64_t lay_out_index(const struct ledger *ledger, const struct patch *patch, struct ledger_image *image, uint64_t at)
{
	if (!ledger->finders.count || patch->eh_frame.start >= patch->eh_frame.end)
		return at;
	image->unwind_index = (struct range){ at, at + unwind_index_size(patch) };
	return image->unwind_index.end;
}

/* The first region, from where it starts, and copy the slice into its parts. */
static void lay_out_first(struct link *link, const struct patch *patch, const struct arch *arch, uint64_t ledger_size)
{
	struct ledger *ledger = &link->ledger;
	struct ledger_image *image = &ledger->images.item[0];
	uint64_t count = ledger_redirected(ledger), at = image->region.start + PAGE, end;

	add_part(link, &at, ledger_size, SEGMENT_READ);
	ledger->dispatch.lookup = at;
	image->code = (struct range){ at, at + round_up(site_code_size(ledger, arch, 0), PAGE) };
	add_part(link, &at, image->code.end - at, SEGMENT_READ | SEGMENT_EXECUTE);
	end = lay_out_dispatch(ledger, at, count * sizeof(uint64_t));
	end = lay_out_index(ledger, patch, image, end);
	add_part(link, &at, end - at, SEGMENT_READ);
	ledger->scratch = at;
	add_part(link, &at, LEDGER_SCRATCH, SEGMENT_READ | SEGMENT_WRITE);
	lay_out_slice(link, patch, image, at);
}

/* That of a further image. */
static void lay_out_further(struct link *link, const struct patch *patch, const struct arch *arch, size_t index)
{
	struct ledger *ledger = &link->ledger;
	struct ledger_image *image = &ledger->images.item[index];
	uint64_t at = image->region.start + PAGE, end;

	image->code = (struct range){ at, at + round_up(site_code_size(ledger, arch, index), PAGE) };
	add_part(link, &at, image->code.end - at, SEGMENT_READ | SEGMENT_EXECUTE);
	end = lay_out_index(ledger, patch, image, at);
	if (end != at)
		add_part(link, &at, end - at, SEGMENT_READ);
	lay_out_slice(link, patch, image, at);
}

static void lay_out(struct link *link, const struct targets *targets, const struct arch *arch, uint64_t ledger_size)
{
	lay_out_first(link, targets->item[0].patch, arch, ledger_size);
	for (size_t i = 1; i < targets->count; i++)
		lay_out_further(link, targets->item[i].patch, arch, i);
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

/* `maps` has what is taken. */
static enum status choose_base(const struct survey *survey, const struct maps *maps, const struct place_avoid *avoid,
			       const struct target *target, const struct arch *arch, struct range *region, struct error *error)
{
	const struct mapped_image *image = target->image;
	struct place_request request = {
		.image = image->span,
		.reach = arch->reach,
		.limit = needs_low_addresses(target->patch) ? 1ul << 31 : 1ul << 47,
		.lowest = place_lowest(),
		.size = region->end - region->start,
		.avoid = avoid,
	};

	if (image->span.end - image->span.start < arch->reach && place_find(maps, &request, &region->start)) {
		region->end = region->start + request.size;
		return STATUS_OK;
	}
	return refuse(error, "process %d (%s): no free place for %lu KiB within reach of %s at %#lx",
		      survey->process->pid, survey->process->comm, request.size / 1024, image->name, image->span.start);
}

/* What is within reach of the images. */
static void find_avoided(const struct survey *survey, const struct targets *targets, const struct arch *arch, struct place_avoid *avoid)
{
	ARRAY(struct range) windows = { 0 };

	for (size_t i = 0; i < targets->count; i++) {
		struct range span = targets->item[i].image->span;

		*array_add(&windows) = (struct range){ span.end > arch->reach ? span.end - arch->reach : 0, span.start + arch->reach };
	}
	contexts_avoid(survey, &survey->maps, windows.item, windows.count, avoid);
	array_free(&windows);
}

/* Regions whose sizes are known get their places. */
static enum status choose_bases(const struct survey *survey, const struct targets *targets, const struct arch *arch,
				const struct ledger *kept, struct ledger *ledger, struct error *error)
{
	struct place_avoid avoid = { 0 };
	struct maps maps = { 0 };
	enum status status = STATUS_OK;

	for (size_t i = 0; i < survey->maps.count; i++)
		*array_add(&maps) = survey->maps.item[i];
	if (!kept)
		find_avoided(survey, targets, arch, &avoid);
	for (size_t i = 0; i < targets->count && status == STATUS_OK; i++) {
		struct range *region = &ledger->images.item[i].region;

		if (kept)
			*region = kept->images.item[i].region;
		else
			status = choose_base(survey, &maps, &avoid, &targets->item[i], arch, region, error);
		place_take(&maps, *region);
	}
	array_free(&maps);
	array_free(&avoid);
	return status;
}

static enum status check_machines(const struct targets *targets, const struct arch *arch, struct error *error)
{
	if (!arch)
		return refuse(error, "patch %s is for another machine", targets->item[0].patch->name);
	if (targets->count > LEDGER_IMAGES_MAX)
		return refuse(error, "patch %s is for %zu images of one process, which are too many", targets->item[0].patch->name,
			      targets->count);
	for (size_t i = 1; i < targets->count; i++)
		if (targets->item[i].patch->machine != targets->item[0].patch->machine)
			return refuse(error, "patch %s is for several machines", targets->item[0].patch->name);
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

static enum status bind_imported(struct link *link, const struct survey *survey, const struct target *target,
				 const struct ledger_image *image, struct error *error)
{
	uint64_t *imports;
	enum status status = imports_find(survey, target->patch, target->image, &imports, error);

	if (status == STATUS_OK)
		status = bind_slice(link, survey, target->patch, image, imports, error);
	free(imports);
	return status;
}

uint8_t *link_bytes(const struct link *link, uint64_t address)
{
	for (size_t i = 0; i < link->parts.count; i++)
		if (range_holds(link->parts.item[i].range, address))
			return link->parts.item[i].bytes + (address - link->parts.item[i].range.start);
	return NULL;
}

/* What there is to be laid out: functions, those of patches that are taken out, finders. *own: how many functions are the patch's own. */
static enum status describe_all(const struct survey *survey, const struct bundle *bundle, const struct targets *targets, bool replace,
				struct link *link, size_t *own, struct error *error)
{
	struct ledger *ledger = &link->ledger;
	enum status status;

	if (getrandom(&ledger->nonce, sizeof(ledger->nonce), 0) != sizeof(ledger->nonce))
		return fail(error, "the system gives no random number: %s", strerror(errno));
	describe(bundle, targets, ledger);
	for (size_t i = 0; i < targets->count; i++)
		describe_functions(targets->item[i].patch, i, ledger);
	*own = ledger->functions.count;
	status = (replace ? stacking_replace : stacking_check)(survey, ledger, error);
	return status == STATUS_OK ? finders_describe(survey, targets, ledger, error) : status;
}

/* All that stands in the regions but the ledger itself. */
static enum status link_parts(const struct survey *survey, const struct targets *targets, const struct arch *arch, struct link *link,
			      struct error *error)
{
	enum status status = site_link(link, survey, targets, arch, error);

	for (size_t i = 0; i < targets->count && status == STATUS_OK; i++)
		status = bind_imported(link, survey, &targets->item[i], &link->ledger.images.item[i], error);
	return status == STATUS_OK ? finders_link(link, survey, arch, error) : status;
}

enum status link_patch(const struct survey *survey, const struct bundle *bundle, const struct targets *targets, bool replace,
		       const struct ledger *kept, struct link *link, struct error *error)
{
	const struct arch *arch = arch_by_machine(targets->item[0].patch->machine);
	size_t ledger_size, size, own = 0;
	enum status status;
	uint8_t *bytes;

	*link = (struct link){ 0 };
	status = check_machines(targets, arch, error);
	if (status == STATUS_OK)
		status = describe_all(survey, bundle, targets, replace, link, &own, error);
	if (status != STATUS_OK)
		return status;
	link->ledger.dispatch.table_bits = choose_table_bits(survey->process);

	/* Once at address 0, to learn how much room is needed: the size of the ledger does not depend on addresses. */
	lay_out(link, targets, arch, PAGE);
	free(ledger_encode(&link->ledger, &ledger_size));
	ledger_size += stacking_room(survey);
	link->ledger.images.item[0].region.end += ledger_size - PAGE;
	free_parts(link);
	status = choose_bases(survey, targets, arch, kept, &link->ledger, error);
	if (status != STATUS_OK)
		return status;
	lay_out(link, targets, arch, ledger_size);
	move_functions(&link->ledger, own);
	status = link_parts(survey, targets, arch, link, error);
	if (status != STATUS_OK)
		return status;
	bytes = ledger_encode(&link->ledger, &size);
	if (size > ledger_size) {
		free(bytes);
		return refuse(error, "process %d (%s): the ledger of patch %s is too large", survey->process->pid,
			      survey->process->comm, link->ledger.name);
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
