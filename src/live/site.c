#include "live/site.h"

#include <string.h>

#include "base/bytes.h"
#include "live/stacking.h"
#include "unwind/alternatives.h"

#define ALIGNED(size) (((uint64_t)(size) + LEDGER_CODE_ALIGN - 1) / LEDGER_CODE_ALIGN * LEDGER_CODE_ALIGN)

/* The lookup; then the dispatchers; then the displaced copies. */
static uint64_t dispatcher_at(const struct ledger *ledger, const struct arch *arch, size_t index)
{
	return ledger->code.start + ALIGNED(arch->lookup_size) + index * ALIGNED(arch->dispatcher_size);
}

uint64_t site_code_size(const struct arch *arch, size_t count)
{
	return ALIGNED(arch->lookup_size) + count * (ALIGNED(arch->dispatcher_size) + ALIGNED(ARCH_COPY_MAX));
}

/* Local bytes for an address in the region. */
static uint8_t *at_address(struct link *link, uint64_t address)
{
	for (size_t i = 0; i < link->parts.count; i++)
		if (range_holds(link->parts.item[i].range, address))
			return link->parts.item[i].bytes + (address - link->parts.item[i].range.start);
	return NULL;
}

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
static const char *link_copy(struct link *link, const struct survey *survey, const struct patch_function *from, uint64_t at,
			     const struct arch *arch)
{
	uint64_t entry = from->old_entry + link->ledger.bias;
	struct alternatives alternatives = { .arch = arch, .entry = entry, .code = from->old_bytes, .plan = &from->plan, .at = at };
	struct entry_copy copy;
	const char *why;

	alternatives.copy = &copy;
	why = arch->copy_entry(from->old_bytes, &from->plan, entry, at, &copy);
	if (why)
		return why;
	if (copy.size > sizeof(copy.code))
		return "its displaced instructions are too long";
	why = check_alternatives(survey, &alternatives);
	if (why)
		return why;
	memcpy(at_address(link, at), copy.code, copy.size);
	return NULL;
}

/* What the entry leads to now: another patch, which then is the old version, or the image's own code. */
static const char *link_old(struct link *link, const struct survey *survey, const struct patch_function *from,
			    struct ledger_function *function, const struct arch *arch, uint64_t copy)
{
	const struct ledger_function *below;
	struct stacked stacked;
	const char *why;

	if (!process_read(survey->process, function->site, function->original, function->size))
		return "its entry can't be read";
	memcpy(function->base, from->old_bytes + from->plan.offset, function->size);
	function->base_entry = function->old_entry = copy;
	why = link_copy(link, survey, from, copy, arch);
	if (why || !stacking_find(survey, function->site, function->original, &stacked))
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

/* Both versions are known: whatever leads to them. `index` counts the redirected functions. */
static const char *link_versions(struct link *link, const struct ledger_function *function, const struct arch *arch, size_t index)
{
	struct ledger *ledger = &link->ledger;
	uint64_t dispatcher = dispatcher_at(ledger, arch, index);

	if (!arch->write_dispatcher(at_address(link, dispatcher), dispatcher, &ledger->dispatch, (uint32_t)index))
		return "a jump can't reach";
	store64(at_address(link, ledger->old_table + index * sizeof(uint64_t)), function->old_entry);
	store64(at_address(link, ledger->new_table + index * sizeof(uint64_t)), function->new_entry);
	return NULL;
}

/* A function of the patch. Returns why it can't be done, or NULL. */
static const char *link_function(struct link *link, const struct survey *survey, const struct patch_function *from,
				 struct ledger_function *function, const struct arch *arch, size_t index, size_t count)
{
	struct ledger *ledger = &link->ledger;
	uint64_t copy = dispatcher_at(ledger, arch, count) + index * ALIGNED(ARCH_COPY_MAX);
	const char *why;

	function->size = from->plan.jump;
	function->span = from->plan.span > from->plan.jump ? from->plan.span : from->plan.jump;
	if ((size_t)from->plan.offset + function->size > sizeof(from->old_bytes))
		return "the jump is too long";
	if (!arch->write_jump(function->settled, function->size, function->site, function->new_entry))
		return "a jump can't reach";
	why = link_old(link, survey, from, function, arch, copy);
	add_forced(survey, function);
	return why ? why : link_versions(link, function, arch, index);
}

static enum status link_functions(struct link *link, const struct survey *survey, const struct patch *patch,
				  const struct arch *arch, struct error *error)
{
	struct ledger *ledger = &link->ledger;
	size_t count = ledger_redirected(ledger), index = 0;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < ledger->functions.count; i++) {
		struct ledger_function *function = &ledger->functions.item[i];
		const struct patch_function *from;
		const char *why;

		if (!function->redirected)
			continue;
		from = find_redirected(patch, index);	/* NULL: a function of a patch that is replaced, which is complete */
		why = from ? link_function(link, survey, from, function, arch, index, count) :
			     link_versions(link, function, arch, index);
		if (!why && !arch->write_jump(function->jump, function->size, function->site, dispatcher_at(ledger, arch, index)))
			why = "a jump can't reach";
		index++;
		if (why)
			status = refuse(error, "process %d (%s): %s can't be redirected: %s", survey->process->pid,
					survey->process->comm, function->name, why);
	}
	return status;
}

enum status site_link(struct link *link, const struct survey *survey, const struct patch *patch, const struct arch *arch,
		      struct error *error)
{
	struct ledger *ledger = &link->ledger;

	memset(at_address(link, ledger->code.start), arch->trap, ledger->code.end - ledger->code.start);
	if (!arch->write_lookup(at_address(link, ledger->dispatch.lookup), &ledger->dispatch))
		return refuse(error, "process %d (%s): the table of threads is out of reach", survey->process->pid,
			      survey->process->comm);
	store64(at_address(link, ledger->dispatch.selector), ledger->old_table);
	store64(at_address(link, ledger->dispatch.fallback), ledger->old_table);
	return link_functions(link, survey, patch, arch, error);
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
static uint64_t binding_target(const struct ledger *ledger, const struct patch_binding *binding, const uint64_t *imports)
{
	switch (binding->anchor) {
	case ANCHOR_IMPORT:
		return imports[binding->target];
	case ANCHOR_SLICE:
		return binding->target + ledger->slice_bias;
	default:
		return binding->target + ledger->bias;
	}
}

enum status bind_slice(struct link *link, const struct survey *survey, const struct patch *patch, const uint64_t *imports,
		       struct error *error)
{
	const struct ledger *ledger = &link->ledger;

	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];
		uint64_t where = binding->where + ledger->slice_bias;
		uint64_t value = binding_target(ledger, binding, imports) + (uint64_t)binding->addend;
		uint8_t *field = at_address(link, where);
		uint8_t *last = at_address(link, where + field_size(binding->type) - 1);
		const char *why;

		if (binding->type == BINDING_PC32)
			value -= where;
		if (!field || last != field + field_size(binding->type) - 1 || where < ledger->scratch)
			why = "lies outside of the slice";
		else
			why = bind_field(field, binding, value);
		if (why)
			return refuse(error, "process %d (%s): patch %s: the reference at %#lx %s", survey->process->pid,
				      survey->process->comm, patch->name, binding->where, why);
	}
	return STATUS_OK;
}
