#include "live/site.h"

#include <string.h>

#include "base/bytes.h"

#define ALIGNED(size) (((uint64_t)(size) + LEDGER_CODE_ALIGN - 1) / LEDGER_CODE_ALIGN * LEDGER_CODE_ALIGN)

uint64_t site_switch(const struct ledger *ledger, const struct arch *arch, size_t index)
{
	return ledger->switches + index * ALIGNED(arch->switch_size);
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

/* One function: `index` counts the redirected ones. Returns why it can't be done, or NULL. */
static const char *link_function(struct link *link, const struct patch_function *from, struct ledger_function *function,
				 const struct arch *arch, size_t index, size_t count)
{
	struct ledger *ledger = &link->ledger;
	uint64_t copies = ledger->switches + count * ALIGNED(arch->switch_size);
	uint64_t slot = ledger->slots + index * sizeof(uint64_t);
	struct entry_copy copy;
	const char *why;

	function->stub = ledger->code.start + index * ALIGNED(arch->stub_size);
	function->copy = copies + index * ALIGNED(ARCH_COPY_MAX);
	function->site = from->old_entry + ledger->bias + from->plan.offset;
	function->size = from->plan.jump;
	if ((size_t)from->plan.offset + function->size > sizeof(from->old_bytes))
		return "the jump is too long";
	memcpy(function->original, from->old_bytes + from->plan.offset, function->size);
	if (!arch->write_jump(function->jump, function->size, function->site, function->stub) ||
	    !arch->write_stub(at_address(link, function->stub), function->stub, slot) ||
	    !arch->write_switch(at_address(link, site_switch(ledger, arch, index)), site_switch(ledger, arch, index),
				ledger->selector, (uint32_t)index))
		return "a jump can't reach";
	why = arch->copy_entry(from->old_bytes, &from->plan, from->old_entry + ledger->bias, function->copy, &copy);
	if (why)
		return why;
	if (copy.size > sizeof(copy.code))
		return "its displaced instructions are too long";
	memcpy(at_address(link, function->copy), copy.code, copy.size);
	store64(at_address(link, slot), function->copy);
	store64(at_address(link, ledger->old_table + index * sizeof(uint64_t)), function->copy);
	store64(at_address(link, ledger->new_table + index * sizeof(uint64_t)), function->new_entry);
	return NULL;
}

enum status site_link(struct link *link, const struct survey *survey, const struct patch *patch, const struct arch *arch,
		      struct error *error)
{
	struct ledger *ledger = &link->ledger;
	size_t count = ledger_redirected(ledger), index = 0;
	enum status status = STATUS_OK;

	memset(at_address(link, ledger->code.start), arch->trap, ledger->code.end - ledger->code.start);
	store64(at_address(link, ledger->selector), ledger->old_table);
	for (size_t i = 0; i < ledger->functions.count; i++) {
		struct ledger_function *function = &ledger->functions.item[i];
		const char *why;

		if (!function->redirected)
			continue;
		why = link_function(link, find_redirected(patch, index), function, arch, index, count);
		index++;
		if (why)
			status = refuse(error, "process %d (%s): %s can't be redirected: %s", survey->process->pid,
					survey->process->comm, function->name, why);
	}
	return status;
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

enum status bind_slice(struct link *link, const struct survey *survey, const struct patch *patch, struct error *error)
{
	const struct ledger *ledger = &link->ledger;

	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];
		uint64_t where = binding->where + ledger->slice_bias;
		uint64_t bias = binding->anchor == ANCHOR_SLICE ? ledger->slice_bias : ledger->bias;
		uint64_t value = binding->target + bias + (uint64_t)binding->addend;
		uint8_t *field = at_address(link, where);
		uint8_t *last = at_address(link, where + field_size(binding->type) - 1);
		const char *why;

		if (binding->type == BINDING_PC32)
			value -= where;
		if (!field || last != field + field_size(binding->type) - 1 || where < ledger->new_table)
			why = "lies outside of the slice";
		else
			why = bind_field(field, binding, value);
		if (why)
			return refuse(error, "process %d (%s): patch %s: the reference at %#lx %s", survey->process->pid,
				      survey->process->comm, patch->name, binding->where, why);
	}
	return STATUS_OK;
}
