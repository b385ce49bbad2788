#include "live/stacking.h"

#include <stdlib.h>
#include <string.h>

#include "live/finders.h"
#include "live/versions.h"

static bool in_force(const struct ledger *ledger)
{
	return ledger->state == LEDGER_ACTIVE && !ledger->lost;
}

/* Entries may lead to it: in force, or half done. */
static bool may_lead(const struct ledger *ledger)
{
	return !ledger->lost && (ledger->state == LEDGER_ACTIVE || ledger_half_done(ledger));
}

bool stacking_find(const struct survey *survey, uint64_t site, const uint8_t *bytes, struct stacked *found)
{
	size_t count;
	const struct ledger_site *there = ledgers_at(&survey->ledgers, site, &count);

	for (size_t i = 0; i < count; i++) {
		if (!in_force(there[i].ledger) || memcmp(bytes, there[i].function->settled, there[i].function->size) != 0)
			continue;
		*found = (struct stacked){ there[i].ledger, there[i].function };
		return true;
	}
	return false;
}

void stacking_undo(const struct survey *survey, uint64_t address, uint8_t *bytes, size_t size)
{
	struct stacked found;

	for (size_t at = 0; at < size; at++)
		/* As many jumps may lie on each other as there are patches. */
		for (size_t round = 0; round < survey->ledgers.count; round++) {
			uint8_t here[ARCH_ENTRY_MAX] = { 0 };

			memcpy(here, bytes + at, size - at < sizeof(here) ? size - at : sizeof(here));
			if (!stacking_find(survey, address + at, here, &found) || found.function->size > size - at)
				break;
			memcpy(bytes + at, ledger_below(found.ledger, found.function), found.function->size);
		}
}

static void add_ranges(const struct range *from, size_t count, struct ledger_function *to, bool old)
{
	for (size_t i = 0; i < count; i++) {
		if (old)
			*array_add(&to->old_ranges) = from[i];
		else
			*array_add(&to->new_ranges) = from[i];
	}
}

static bool has_site(const struct ledger *ledger, uint64_t site)
{
	for (size_t i = 0; i < ledger->functions.count; i++)
		if (ledger->functions.item[i].redirected && ledger->functions.item[i].site == site)
			return true;
	return false;
}

/* New code has variables of its own, which begin anew: what those of a patch in force hold by now would be lost. */
static enum status check_variables(const struct survey *survey, const struct ledger *below, const struct ledger *ledger, struct error *error)
{
	for (size_t i = 0; i < below->parts.count; i++)
		if (below->parts.item[i].flags & SEGMENT_WRITE && below->parts.item[i].range.start != below->scratch)
			return refuse(error, "process %d (%s): patch %s, which is in force, has variables of its own, and what they hold would be lost with "
				      "%s: revert it first, if that is right", survey->process->pid, survey->process->comm, below->name, ledger->name);
	return STATUS_OK;
}

enum status stacking_check(const struct survey *survey, struct ledger *ledger, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < survey->ledgers.count && status == STATUS_OK; i++) {
		const struct ledger *below = &survey->ledgers.item[i];
		const char *shared = NULL, *missing = NULL;

		for (size_t j = 0; j < below->functions.count && in_force(below); j++) {
			const struct ledger_function *function = &below->functions.item[j];

			if (function->redirected && has_site(ledger, function->site))
				shared = function->name;
			else if (function->redirected)
				missing = function->name;
		}
		if (shared && missing)
			return refuse(error, "process %d (%s): patch %s, which is in force, changes %s, too, and %s, which %s does not: "
				      "revert it first, or apply --replace", survey->process->pid, survey->process->comm,
				      below->name, shared, missing, ledger->name);
		if (shared)
			status = check_variables(survey, below, ledger, error);
	}
	return status;
}

/* The image's own ranges of a function: those that the lowest patch leaves. */
static const struct ledger_function *find_lowest(const struct survey *survey, struct stacked top)
{
	for (size_t round = 0; round < survey->ledgers.count; round++)
		if (!stacking_find(survey, top.function->site, ledger_below(top.ledger, top.function), &top))
			break;
	return top.function;
}

/* Back to the image: its displaced instructions are in the region of the patch that redirected it, which stays. */
static void add_return(const struct survey *survey, struct ledger *ledger, uint64_t image, const struct stacked top)
{
	const struct ledger_function *lowest = find_lowest(survey, top);
	struct ledger_function *function = array_add(&ledger->functions);

	*function = (struct ledger_function){
		.name = text_copy(top.function->name),
		.image = image,
		.redirected = true,
		.site = top.function->site,
		.size = top.function->size,
		.span = top.function->span,
		.old_entry = top.function->new_entry,
		.new_entry = top.function->base_entry,
		.base_entry = top.function->base_entry,
		.change = top.function->change,
	};
	memcpy(function->original, top.function->settled, sizeof(function->original));
	memcpy(function->settled, top.function->base, sizeof(function->settled));
	memcpy(function->base, top.function->base, sizeof(function->base));
	add_ranges(top.function->new_ranges.item, top.function->new_ranges.count, function, true);
	add_ranges(lowest->old_ranges.item, lowest->old_ranges.count, function, false);
}

static bool holds_stubs(const struct ledger *ledger, struct range range)
{
	const struct ledger_image *image = ledger_image_at(ledger, range.start);

	return image && image->code.start == range.start;
}

/* All code of the patch that is taken out, also what only its own functions call. */
static void add_code(struct ledger *ledger, const struct ledger *replaced)
{
	struct ledger_function *code = array_add(&ledger->functions);

	*code = (struct ledger_function){ .name = text_format("code of patch %s", replaced->name) };
	for (size_t i = 0; i < replaced->parts.count; i++)
		if (replaced->parts.item[i].flags & SEGMENT_EXECUTE && !holds_stubs(replaced, replaced->parts.item[i].range))
			add_ranges(&replaced->parts.item[i].range, 1, code, true);
}

/* The image of the ledger that is this one. */
static const struct ledger_image *same_image(const struct ledger *ledger, const struct ledger_image *image)
{
	return ledger_find_image(ledger, &image->old_id, image->bias);
}

static bool shares_image(const struct ledger *one, const struct ledger *other)
{
	for (size_t i = 0; i < one->images.count; i++)
		if (!one->images.item[i].lost && same_image(other, &one->images.item[i]))
			return true;
	return false;
}

static enum status replace_one(const struct survey *survey, const struct ledger *replaced, struct ledger *ledger, struct error *error)
{
	enum status status = check_variables(survey, replaced, ledger, error);

	if (status)
		return status;
	*array_add(&ledger->replaced) = replaced->nonce;
	add_code(ledger, replaced);
	for (size_t i = 0; i < replaced->functions.count; i++) {
		const struct ledger_function *function = &replaced->functions.item[i];
		const struct ledger_image *image = &replaced->images.item[function->image], *same = same_image(ledger, image);
		struct stacked top = { replaced, function };
		uint8_t bytes[ARCH_ENTRY_MAX];

		if (!function->redirected || has_site(ledger, function->site) ||
		    !process_read(survey->process, function->site, bytes, function->size) ||
		    !stacking_find(survey, function->site, bytes, &top))
			continue;
		if (!same)
			return refuse(error, "process %d (%s): patch %s, which is to be replaced, also changes %s, and %s is not for that: "
				      "revert it first", survey->process->pid, survey->process->comm, replaced->name, image->name,
				      ledger->name);
		add_return(survey, ledger, (uint64_t)(same - ledger->images.item), top);
	}
	return STATUS_OK;
}

enum status stacking_replace(const struct survey *survey, struct ledger *ledger, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < survey->ledgers.count && status == STATUS_OK; i++)
		if (in_force(&survey->ledgers.item[i]) && shares_image(&survey->ledgers.item[i], ledger))
			status = replace_one(survey, &survey->ledgers.item[i], ledger, error);
	return status;
}

/* It lies below: its place is taken, or about to be. (Once that is done it may come again, on top.) */
static bool replaces(const struct ledger *ledger, const struct ledger *other)
{
	for (size_t i = 0; i < ledger->replaced.count && !ledger->detached; i++)
		if (ledger->replaced.item[i] == other->nonce)
			return true;
	return false;
}

enum status stacking_check_above(const struct survey *survey, const struct ledger *ledger, struct error *error)
{
	const struct process *process = survey->process;

	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *below = &ledger->functions.item[i];
		const struct ledger_site *there;
		size_t count;

		if (!below->redirected)
			continue;
		there = ledgers_at(&survey->ledgers, below->site, &count);
		for (size_t j = 0; j < count; j++) {
			if (there[j].ledger == ledger || !may_lead(there[j].ledger) || replaces(ledger, there[j].ledger) ||
			    memcmp(ledger_below(there[j].ledger, there[j].function), below->settled, below->size) != 0)
				continue;
			return refuse(error, "process %d (%s): patch %s lies on top of %s, in %s: revert that first", process->pid,
				      process->comm, there[j].ledger->name, ledger->name, below->name);
		}
	}
	return STATUS_OK;
}

/* Its memory is used again when it is applied again: it must say what a reverted one says. */
static enum status mark_replaced(const struct survey *survey, const struct ledger *moving, struct ledger *replaced, bool gone,
				 struct error *error)
{
	const struct process *process = survey->process;
	enum status status = versions_put_selector(process, replaced, gone ? VERSION_OLD : VERSION_NEW, error);

	if (status == STATUS_OK)
		status = gone ? finders_remove(survey, replaced, moving, error) : finders_put(survey, replaced, moving, error);
	return status == STATUS_OK ? ledger_store_state(process, replaced, gone ? LEDGER_REVERTED : LEDGER_ACTIVE, error) : status;
}

enum status stacking_put_base(const struct process *process, const struct ledger *ledger, struct error *error)
{
	size_t count = ledger_redirected(ledger), index = 0;
	uint64_t *table = memory_zeroed(count, sizeof(*table));
	enum status status;

	for (size_t i = 0; i < ledger->functions.count; i++)
		if (ledger->functions.item[i].redirected)
			table[index++] = ledger->functions.item[i].base_entry;
	status = process_put(process, ledger->old_table, table, count * sizeof(*table), error);
	free(table);
	return status;
}

enum status stacking_finish(struct survey *survey, struct ledger *ledger, bool new, struct error *error)
{
	enum status status = STATUS_OK;

	if (!ledger->replaced.count || (!new && ledger->detached))
		return STATUS_OK;
	for (size_t i = 0; i < survey->ledgers.count && status == STATUS_OK; i++)
		for (size_t j = 0; j < ledger->replaced.count && status == STATUS_OK; j++)
			if (survey->ledgers.item[i].nonce == ledger->replaced.item[j])
				status = mark_replaced(survey, ledger, &survey->ledgers.item[i], new, error);
	if (status != STATUS_OK || !new)
		return status;
	ledger->detached = true;
	status = ledger_store_flags(survey->process, ledger, error);
	return status == STATUS_OK ? stacking_put_base(survey->process, ledger, error) : status;
}

static bool in_regions(const struct ledger *ledger, uint64_t address)
{
	return ledger_image_at(ledger, address) != NULL;
}

/* Will the other one go back to code of this one, or does it while threads move? */
static bool goes_back_to(const struct ledger *ledger, const struct ledger *other, const struct ledger_function *function)
{
	return function->redirected && (in_regions(ledger, function->base_entry) ||
					(!other->detached && in_regions(ledger, function->old_entry)));
}

const char *stacking_lead_to(const struct survey *survey, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];
		uint8_t bytes[ARCH_ENTRY_MAX];

		if (function->redirected && process_read(survey->process, function->site, bytes, function->size) &&
		    (!memcmp(bytes, function->jump, function->size) ||
		     (memcmp(function->settled, function->base, function->size) != 0 && !memcmp(bytes, function->settled, function->size))))
			return function->name;
	}
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *other = &survey->ledgers.item[i];

		if (other == ledger || other->state == LEDGER_REVERTED || other->state == LEDGER_PREPARED)
			continue;
		for (size_t j = 0; j < other->functions.count; j++)
			if (goes_back_to(ledger, other, &other->functions.item[j]))
				return other->functions.item[j].name;
	}
	return NULL;
}
