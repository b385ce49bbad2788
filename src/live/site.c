#include "live/site.h"

#include <stdlib.h>
#include <string.h>

#include "arch/dispatch.h"
#include "base/bytes.h"
#include "live/stacking.h"
#include "unwind/alternatives.h"

#define ALIGNED(size) (((uint64_t)(size) + LEDGER_CODE_ALIGN - 1) / LEDGER_CODE_ALIGN * LEDGER_CODE_ALIGN)

static size_t redirected_in(const struct ledger *ledger, size_t image)
{
	size_t count = 0;

	for (size_t i = 0; i < ledger->functions.count; i++)
		count += ledger->functions.item[i].redirected && ledger->functions.item[i].image == image;
	return count;
}

/* In the first region: the lookup, the dispatchers of all functions, the displaced copies. */
static uint64_t dispatcher_at(const struct ledger *ledger, const struct arch *arch, size_t index)
{
	return ledger->images.item[0].code.start + ALIGNED(arch->lookup_size) + index * ALIGNED(arch->dispatcher_size);
}

/* In a further one: the entrances, then the displaced copies. `index` counts the image's redirected functions. */
static uint64_t entrance_at(const struct ledger *ledger, const struct arch *arch, size_t image, size_t index)
{
	return ledger->images.item[image].code.start + index * ALIGNED(arch->far_jump_size);
}

static uint64_t copies_at(const struct ledger *ledger, const struct arch *arch, size_t image)
{
	return image ? entrance_at(ledger, arch, image, redirected_in(ledger, image)) :
		       dispatcher_at(ledger, arch, ledger_redirected(ledger));
}

uint64_t site_code_size(const struct ledger *ledger, const struct arch *arch, size_t image)
{
	return copies_at(ledger, arch, image) - ledger->images.item[image].code.start +
	       redirected_in(ledger, image) * ALIGNED(ARCH_COPY_MAX);
}

/* A redirected function, as it is linked. */
struct linking {
	struct link *link;
	const struct survey *survey;
	const struct arch *arch;
	const struct patch_function *from;	/* NULL: a function of a patch that is replaced, which is complete */
	struct ledger_function *function;
	size_t index;		/* of all redirected ones, */
	size_t inside;		/* and of those of its image */
};

static const struct patch_function *find_redirected(const struct patch *patch, size_t index)
{
	for (size_t i = 0; i < patch->functions.count; i++)
		if (patch->functions.item[i].action == ACTION_REDIRECT && index-- == 0)
			return &patch->functions.item[i];
	return NULL;
}

/*
 * From here on there are two alternatives at the entry, which must have one frame: rows that hold for the image's own code are asked
 * about threads that come back from the copy, too. Where there are no exact rows nothing is proven of either.
 */
static const char *check_alternatives(const struct survey *survey, struct alternatives *alternatives)
{
	const struct unwind_module *module = unwind_module_find(survey->modules.item, survey->modules.count, alternatives->entry);
	const char *why;

	if (module) {
		alternatives->rows = module->rows;
		alternatives->rows_bias = module->bias;
	}
	return alternatives_compare(alternatives, &why) == ALTERNATIVES_CONFLICT ? why : NULL;
}

/* The old code, as long as the entry is redirected: its displaced instructions, and a jump to those behind them. */
static const char *link_copy(const struct linking *linking, uint64_t at)
{
	const struct patch_function *from = linking->from;
	uint64_t entry = from->old_entry + linking->link->ledger.images.item[linking->function->image].bias;
	struct alternatives alternatives = { .arch = linking->arch, .entry = entry, .code = from->old_bytes, .plan = &from->plan, .at = at };
	struct entry_copy copy;
	const char *why;

	alternatives.copy = &copy;
	why = linking->arch->copy_entry(from->old_bytes, &from->plan, entry, at, &copy);
	if (why)
		return why;
	if (copy.size > sizeof(copy.code))
		return "its displaced instructions are too long";
	why = check_alternatives(linking->survey, &alternatives);
	if (why)
		return why;
	memcpy(link_bytes(linking->link, at), copy.code, copy.size);
	return NULL;
}

/* What the entry leads to now: another patch, which then is the old version, or the image's own code. */
static const char *link_old(const struct linking *linking, uint64_t copy)
{
	const struct patch_function *from = linking->from;
	struct ledger_function *function = linking->function;
	const struct ledger_function *below;
	struct stacked stacked;
	const char *why;

	if (!process_read(linking->survey->process, function->site, function->original, function->size))
		return "its entry can't be read";
	memcpy(function->base, from->old_bytes + from->plan.offset, function->size);
	function->base_entry = function->old_entry = copy;
	why = link_copy(linking, copy);
	if (why || !stacking_find(linking->survey, function->site, function->original, &stacked))
		return why;
	below = stacked.function;
	if (below->size != function->size)
		return "the jump of another patch has another size";
	function->old_entry = below->new_entry;
	/* The image's own ranges stay: a patch that replaces others goes back there. */
	for (size_t i = 0; i < below->new_ranges.count; i++)
		*array_add(&function->old_ranges) = below->new_ranges.item[i];
	return NULL;
}

/* Where a patch was forced in or out, threads may still be in the version that it took the place of. */
static void add_forced(const struct survey *survey, struct ledger_function *function)
{
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];

		for (size_t j = 0; j < ledger->functions.count && ledger->forced; j++) {
			const struct ledger_function *other = &ledger->functions.item[j];
			bool out = ledger->state == LEDGER_REVERTED;
			const struct range *ranges = out ? other->new_ranges.item : other->old_ranges.item;
			size_t count = out ? other->new_ranges.count : other->old_ranges.count;

			for (size_t k = 0; k < count && other->redirected && other->site == function->site; k++)
				*array_add(&function->old_ranges) = ranges[k];
		}
	}
}

/* Both versions are known: whatever leads to them. */
static const char *link_versions(const struct linking *linking)
{
	struct link *link = linking->link;
	const struct ledger *ledger = &link->ledger;
	const struct ledger_function *function = linking->function;
	uint64_t dispatcher = dispatcher_at(ledger, linking->arch, linking->index);
	uint64_t old = ledger->old_table + linking->index * sizeof(uint64_t), new = ledger->new_table + linking->index * sizeof(uint64_t);

	if (!linking->arch->write_dispatcher(link_bytes(link, dispatcher), dispatcher, &ledger->dispatch, old, new))
		return "a jump can't reach";
	store64(link_bytes(link, old), function->old_entry);
	store64(link_bytes(link, new), function->new_entry);
	return NULL;
}

/* The jump to the dispatcher, by way of an entrance where the dispatcher is far away. */
static const char *link_jump(const struct linking *linking)
{
	struct link *link = linking->link;
	const struct arch *arch = linking->arch;
	struct ledger_function *function = linking->function;
	uint64_t dispatcher = dispatcher_at(&link->ledger, arch, linking->index), to = dispatcher;

	if (function->image) {
		to = entrance_at(&link->ledger, arch, function->image, linking->inside);
		arch->write_far_jump(link_bytes(link, to), dispatcher);
	}
	return arch->write_jump(function->jump, function->size, function->site, to) ? NULL : "a jump can't reach";
}

/* A function of the patch. Returns why it can't be done, or NULL. */
static const char *link_function(const struct linking *linking)
{
	const struct patch_function *from = linking->from;
	struct ledger_function *function = linking->function;
	const struct ledger *ledger = &linking->link->ledger;
	uint64_t copy = copies_at(ledger, linking->arch, function->image) + linking->inside * ALIGNED(ARCH_COPY_MAX);
	const char *why;

	function->size = from->plan.jump;
	function->span = from->plan.span > from->plan.jump ? from->plan.span : from->plan.jump;
	if ((size_t)from->plan.offset + function->size > sizeof(from->old_bytes))
		return "the jump is too long";
	if (!linking->arch->write_jump(function->settled, function->size, function->site, function->new_entry))
		return "a jump can't reach";
	why = link_old(linking, copy);
	add_forced(linking->survey, function);
	return why;
}

static enum status link_functions(struct link *link, const struct survey *survey, const struct targets *targets,
				  const struct arch *arch, struct error *error)
{
	struct ledger *ledger = &link->ledger;
	struct linking linking = { .link = link, .survey = survey, .arch = arch };
	size_t *counts = memory_zeroed(targets->count, sizeof(*counts));
	enum status status = STATUS_OK;

	for (size_t i = 0; i < ledger->functions.count; i++) {
		struct ledger_function *function = &ledger->functions.item[i];
		const char *why;

		if (!function->redirected)
			continue;
		linking.function = function;
		linking.inside = counts[function->image]++;
		linking.from = find_redirected(targets->item[function->image].patch, linking.inside);
		why = linking.from ? link_function(&linking) : NULL;
		if (!why)
			why = link_versions(&linking);
		if (!why)
			why = link_jump(&linking);
		linking.index++;
		if (why)
			status = refuse(error, "process %d (%s): %s can't be redirected: %s", survey->process->pid,
					survey->process->comm, function->name, why);
	}
	free(counts);
	return status;
}

enum status site_link(struct link *link, const struct survey *survey, const struct targets *targets, const struct arch *arch,
		      struct error *error)
{
	struct ledger *ledger = &link->ledger;

	for (size_t i = 0; i < ledger->images.count; i++) {
		struct range code = ledger->images.item[i].code;

		memset(link_bytes(link, code.start), arch->trap, code.end - code.start);
	}
	if (!arch->write_lookup(link_bytes(link, ledger->dispatch.lookup), &ledger->dispatch))
		return refuse(error, "process %d (%s): the table of threads is out of reach", survey->process->pid,
			      survey->process->comm);
	store64(link_bytes(link, ledger->dispatch.selector), ledger->old_table);
	store64(link_bytes(link, ledger->dispatch.fallback), ledger->old_table);
	store64(link_bytes(link, ledger->old_table - DISPATCH_MARK), 0);
	store64(link_bytes(link, ledger->new_table - DISPATCH_MARK), 1);
	return link_functions(link, survey, targets, arch, error);
}

static size_t field_size(uint32_t type)
{
	return type == BINDING_ABSOLUTE64 ? 8 : 4;
}

/* The value, checked against what the field can hold. */
static const char *bind_field(uint8_t *field, const struct patch_binding *binding, uint64_t value)
{
	switch (binding->type) {
	case BINDING_ABSOLUTE64:
		store64(field, value);
		return NULL;
	case BINDING_PC32:
	case BINDING_ABSOLUTE32S:
		if ((int64_t)value != (int32_t)value)
			break;
		store32(field, (uint32_t)value);
		return NULL;
	case BINDING_ABSOLUTE32:
		if (value > UINT32_MAX)
			break;
		store32(field, (uint32_t)value);
		return NULL;
	default:
		return "is of an unknown type";
	}
	return "does not reach its target";
}

/* Run-time address of what the binding refers to. */
static uint64_t binding_target(const struct ledger_image *image, const struct patch_binding *binding, const uint64_t *imports)
{
	switch (binding->anchor) {
	case ANCHOR_IMPORT:
		return imports[binding->target];
	case ANCHOR_SLICE:
		return binding->target + image->slice_bias;
	default:
		return binding->target + image->bias;
	}
}

enum status bind_slice(struct link *link, const struct survey *survey, const struct patch *patch, const struct ledger_image *image,
		       const uint64_t *imports, struct error *error)
{
	uint64_t slice = patch->segments.item[0].address + image->slice_bias;

	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];
		uint64_t where = binding->where + image->slice_bias;
		uint64_t value = binding_target(image, binding, imports) + (uint64_t)binding->addend;
		uint8_t *field = link_bytes(link, where);
		uint8_t *last = link_bytes(link, where + field_size(binding->type) - 1);
		const char *why;

		if (binding->type == BINDING_PC32)
			value -= where;
		if (!field || last != field + field_size(binding->type) - 1 || where < slice || where >= image->region.end)
			why = "lies outside of the slice";
		else
			why = bind_field(field, binding, value);
		if (why)
			return refuse(error, "process %d (%s): patch %s: the reference at %#lx of %s %s", survey->process->pid,
				      survey->process->comm, patch->name, binding->where, patch->image, why);
	}
	return STATUS_OK;
}
