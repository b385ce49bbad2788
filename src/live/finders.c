#include "live/finders.h"

#include <stdlib.h>
#include <string.h>

#include "live/place.h"
#include "live/unwind_index.h"

#define PAGE 4096ul
#define COPY_AT 128	/* in a finder's page: behind the finder, */
#define NEXT_AT 512	/* and the word behind the copy */
_Static_assert(COPY_AT + ARCH_COPY_MAX <= NEXT_AT, "the copy has room");

static void describe(const struct survey_finder *from, uint64_t image, struct ledger_finder *finder)
{
	*finder = (struct ledger_finder){ .image = image, .site = from->entry + from->plan.offset, .size = from->plan.jump };
	finder->span = from->plan.span > from->plan.jump ? from->plan.span : from->plan.jump;
	memcpy(finder->original, from->bytes + from->plan.offset, finder->size);
}

enum status finders_describe(const struct survey *survey, const struct targets *targets, struct ledger *ledger, struct error *error)
{
	const struct process *process = survey->process;
	const char *blind = survey->blind ? survey->blind : survey->finders.count ? NULL : survey->asks;

	if (blind && survey->throws)
		return refuse(error, "process %d (%s): its exceptions are thrown by way of %s, which can't be told of new code", process->pid,
			      process->comm, blind);
	for (size_t i = 0; i < targets->count; i++) {
		struct range tables = targets->item[i].patch->eh_frame;

		for (size_t j = 0; j < survey->finders.count && tables.start < tables.end; j++)
			describe(&survey->finders.item[j], i, array_add(&ledger->finders));
	}
	return STATUS_OK;
}

/* --- places --- */

static uint64_t region_start(const struct ledger *ledger)
{
	return ledger->images.item[0].region.start;
}

/* Where the finder is that the region had when it was used before. */
static bool find_kept(const struct survey *survey, const struct ledger *ledger, struct ledger_finder *finder)
{
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *kept = &survey->ledgers.item[i];

		for (size_t j = 0; j < kept->finders.count && region_start(kept) == region_start(ledger); j++)
			if (kept->finders.item[j].site == finder->site && kept->finders.item[j].image == finder->image) {
				finder->code = kept->finders.item[j].code;
				return true;
			}
	}
	return false;
}

/* What the function is like that the finder stands before. */
static const struct survey_finder *function_of(const struct survey *survey, const struct ledger_finder *finder)
{
	for (size_t i = 0; i < survey->finders.count; i++)
		if (survey->finders.item[i].entry + survey->finders.item[i].plan.offset == finder->site)
			return &survey->finders.item[i];
	return NULL;
}

static enum status choose_place(const struct survey *survey, const struct maps *maps, const struct arch *arch,
				const struct survey_finder *from, struct ledger_finder *finder, struct error *error)
{
	const struct place_request request = {
		.image = from->image, .reach = arch->reach, .limit = 1ul << 47, .lowest = place_lowest(), .size = PAGE,
	};

	if (!place_find(maps, &request, &finder->code.start))
		return refuse(error, "process %d (%s): no free place within reach of the C library at %#lx", survey->process->pid,
			      survey->process->comm, from->image.start);
	finder->code.end = finder->code.start + PAGE;
	return STATUS_OK;
}

/* Program counters of the image's slice: from its first code to its last. */
static struct range slice_code(const struct ledger *ledger, const struct ledger_image *image)
{
	struct range code = { 0 };

	for (size_t i = 0; i < ledger->parts.count; i++) {
		const struct ledger_part *part = &ledger->parts.item[i];

		if (!(part->flags & SEGMENT_EXECUTE) || part->range.start == image->code.start ||
		    !range_holds(image->region, part->range.start))
			continue;
		if (!code.start)
			code.start = part->range.start;
		code.end = part->range.end;
	}
	return code;
}

static enum status write_finder(struct link *link, const struct survey *survey, const struct survey_finder *from,
				struct ledger_finder *finder, const struct arch *arch, struct error *error)
{
	const struct ledger_image *image = &link->ledger.images.item[finder->image];
	const struct finder answers = { slice_code(&link->ledger, image), image->unwind_index.start, finder->code.start + NEXT_AT };
	uint8_t *bytes = memory_zeroed(PAGE, 1);
	struct entry_copy copy;
	const char *why;

	*array_add(&link->pages) = (struct link_part){ finder->code, SEGMENT_READ | SEGMENT_EXECUTE, bytes };
	memset(bytes, arch->trap, NEXT_AT);
	finder->copy = finder->code.start + COPY_AT;
	finder->next = answers.next;
	why = arch->copy_entry(from->bytes, &from->plan, from->entry, finder->copy, &copy);
	if (!why && arch->finder_size > COPY_AT)
		why = "it is too long";
	if (!why && (!arch->write_finder(bytes, finder->code.start, &answers) ||
		     !arch->write_jump(finder->jump, finder->size, finder->site, finder->code.start)))
		why = "a jump can't reach";
	if (why)
		return refuse(error, "process %d (%s): _dl_find_object can't be redirected: %s", survey->process->pid,
			      survey->process->comm, why);
	memcpy(bytes + COPY_AT, copy.code, copy.size);
	store64(bytes + NEXT_AT, finder->copy);
	return STATUS_OK;
}

/* The tables that the finders answer with. */
static enum status write_indices(struct link *link, struct error *error)
{
	const struct ledger *ledger = &link->ledger;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < ledger->images.count && status == STATUS_OK; i++)
		if (ledger->images.item[i].unwind_index.end)
			status = unwind_index_write(link, i, error);
	return status;
}

enum status finders_link(struct link *link, const struct survey *survey, const struct arch *arch, struct error *error)
{
	struct ledger *ledger = &link->ledger;
	struct maps maps = { 0 };
	enum status status = STATUS_OK;

	for (size_t i = 0; i < survey->maps.count; i++)
		*array_add(&maps) = survey->maps.item[i];
	for (size_t i = 0; i < ledger->images.count; i++)
		place_take(&maps, ledger->images.item[i].region);
	for (size_t i = 0; i < ledger->finders.count && status == STATUS_OK; i++) {
		struct ledger_finder *finder = &ledger->finders.item[i];
		const struct survey_finder *from = function_of(survey, finder);

		if (!find_kept(survey, ledger, finder))
			status = choose_place(survey, &maps, arch, from, finder, error);
		if (status == STATUS_OK)
			status = write_finder(link, survey, from, finder, arch, error);
		place_take(&maps, finder->code);
	}
	array_free(&maps);
	return status == STATUS_OK ? write_indices(link, error) : status;
}

/* --- the chain --- */

/* All finders that may stand in one entry. */
struct chain {
	const struct process *process;
	const struct ledger_finder *own;
	ARRAY(const struct ledger_finder *) finders;
};

static void add_to_chain(struct chain *chain, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->finders.count; i++)
		if (ledger->finders.item[i].site == chain->own->site && ledger->finders.item[i].size == chain->own->size)
			*array_add(&chain->finders) = &ledger->finders.item[i];
}

static void find_chain(const struct survey *survey, const struct ledger *ledger, const struct ledger *moving,
		       const struct ledger_finder *own, struct chain *chain)
{
	*chain = (struct chain){ .process = survey->process, .own = own };
	add_to_chain(chain, ledger);	/* one for each of its images, `own` among them */
	if (moving != ledger)
		add_to_chain(chain, moving);
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *other = &survey->ledgers.item[i];

		if (region_start(other) != region_start(ledger) && region_start(other) != region_start(moving))
			add_to_chain(chain, other);
	}
}

static const struct ledger_finder *by_jump(const struct chain *chain, const uint8_t *bytes)
{
	for (size_t i = 0; i < chain->finders.count; i++)
		if (!memcmp(chain->finders.item[i]->jump, bytes, chain->own->size))
			return chain->finders.item[i];
	return NULL;
}

static const struct ledger_finder *by_address(const struct chain *chain, uint64_t address)
{
	for (size_t i = 0; i < chain->finders.count; i++)
		if (chain->finders.item[i]->code.start == address)
			return chain->finders.item[i];
	return NULL;
}

static uint64_t read_next(const struct chain *chain, const struct ledger_finder *finder)
{
	uint64_t next = 0;

	return process_read(chain->process, finder->next, &next, sizeof(next)) ? next : 0;
}

static bool is_in_chain(const struct chain *chain, const uint8_t *entry)
{
	const struct ledger_finder *at = by_jump(chain, entry);

	for (size_t i = 0; i < chain->finders.count && at && at != chain->own; i++)
		at = by_address(chain, read_next(chain, at));
	return at == chain->own;
}

static enum status foreign(const struct chain *chain, struct error *error)
{
	return refuse(error, "process %d (%s): the entry of _dl_find_object, at %#lx, has been changed by somebody else",
		      chain->process->pid, chain->process->comm, chain->own->site);
}

static enum status put_one(const struct chain *chain, bool look_only, struct error *error)
{
	const struct ledger_finder *own = chain->own, *top;
	uint8_t entry[ARCH_ENTRY_MAX];
	enum status status;
	uint64_t next;

	if (!process_read(chain->process, own->site, entry, own->size))
		return foreign(chain, error);
	top = by_jump(chain, entry);
	if (!top && memcmp(entry, own->original, own->size) != 0)
		return foreign(chain, error);
	if (look_only || is_in_chain(chain, entry))
		return STATUS_OK;
	next = top ? top->code.start : own->copy;
	status = process_put(chain->process, own->next, &next, sizeof(next), error);
	return status == STATUS_OK ? process_put(chain->process, own->site, own->jump, own->size, error) : status;
}

static enum status remove_one(const struct chain *chain, struct error *error)
{
	const struct ledger_finder *own = chain->own, *below, *above;
	uint64_t next = read_next(chain, own);
	uint8_t entry[ARCH_ENTRY_MAX];

	if (!process_read(chain->process, own->site, entry, own->size))
		return STATUS_OK;
	if (!memcmp(entry, own->jump, own->size)) {
		below = by_address(chain, next);
		if (!below && next != own->copy)
			return STATUS_OK;
		return process_put(chain->process, own->site, below ? below->jump : own->original, own->size, error);
	}
	/* The last of a chain has its own copy of the displaced instructions; that of the one above does as well. */
	above = by_jump(chain, entry);
	for (size_t i = 0; i < chain->finders.count && above; i++) {
		uint64_t after = read_next(chain, above), word = next == own->copy ? above->copy : next;

		if (after == own->code.start)
			return process_put(chain->process, above->next, &word, sizeof(word), error);
		above = by_address(chain, after);
	}
	return STATUS_OK;
}

static enum status put_all(const struct survey *survey, const struct ledger *ledger, const struct ledger *moving, bool look_only,
			   struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < ledger->finders.count && status == STATUS_OK; i++) {
		struct chain chain;

		find_chain(survey, ledger, moving, &ledger->finders.item[i], &chain);
		status = put_one(&chain, look_only, error);
		array_free(&chain.finders);
	}
	return status;
}

enum status finders_check_sites(const struct survey *survey, const struct ledger *ledger, struct error *error)
{
	return put_all(survey, ledger, ledger, true, error);
}

/* Another one of them, behind it in the list, stands before it. */
static bool is_covered(const struct ledger *ledger, size_t index)
{
	for (size_t i = index + 1; i < ledger->finders.count; i++)
		if (ledger->finders.item[i].site == ledger->finders.item[index].site)
			return true;
	return false;
}

void finders_list_sites(const struct ledger *ledger, bool put, struct process_pieces *pieces)
{
	for (size_t i = 0; i < ledger->finders.count; i++) {
		const struct ledger_finder *finder = &ledger->finders.item[i];

		if (!is_covered(ledger, i))
			*array_add(pieces) = (struct process_bytes){ finder->site, put ? finder->jump : finder->original, finder->size };
	}
}

enum status finders_put(const struct survey *survey, const struct ledger *ledger, const struct ledger *moving, struct error *error)
{
	return put_all(survey, ledger, moving, false, error);
}

enum status finders_remove(const struct survey *survey, const struct ledger *ledger, const struct ledger *moving, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < ledger->finders.count && status == STATUS_OK; i++) {
		struct chain chain;

		find_chain(survey, ledger, moving, &ledger->finders.item[i], &chain);
		status = remove_one(&chain, error);
		array_free(&chain.finders);
	}
	return status;
}

static bool is_own(const struct ledger *ledger, const struct ledger_finder *finder)
{
	return finder >= ledger->finders.item && finder < ledger->finders.item + ledger->finders.count;
}

bool finders_lead_to(const struct survey *survey, const struct ledger *ledger)
{
	bool lead = false;

	for (size_t i = 0; i < ledger->finders.count && !lead; i++) {
		const struct ledger_finder *own = &ledger->finders.item[i];
		uint8_t entry[ARCH_ENTRY_MAX];
		struct chain chain;

		find_chain(survey, ledger, ledger, own, &chain);
		lead = process_read(survey->process, own->site, entry, own->size) && !memcmp(entry, own->jump, own->size);
		for (size_t j = 0; j < chain.finders.count && !lead; j++)
			lead = chain.finders.item[j] != own && !is_own(ledger, chain.finders.item[j]) &&
			       read_next(&chain, chain.finders.item[j]) == own->code.start;
		array_free(&chain.finders);
	}
	return lead;
}
