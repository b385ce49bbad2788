/*
 * segments.c: the slice's pages, at the new image's own addresses.
 *
 * A page is in the slice when code or a constant of it is. On code pages every byte that belongs to no included function
 * is a trap, so that a jump astray stops at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "diff/slicing.h"

struct pages {
	uint64_t start;		/* address of page 0 */
	size_t count;
	uint8_t *flags;		/* enum segment_flags per page, 0: not in the slice */
	uint8_t *bytes;
};

static uint8_t *page_bytes(struct pages *pages, uint64_t address)
{
	return pages->bytes + (address - pages->start);
}

static void mark(struct pages *pages, struct range span, uint8_t flags)
{
	for (uint64_t page = (span.start - pages->start) / PATCH_PAGE; page * PATCH_PAGE < span.end - pages->start; page++)
		pages->flags[page] |= flags;
}

static void mark_all(const struct slicing *slicing, struct pages *pages)
{
	const struct program *new = &slicing->comparison->new;

	for (size_t i = 0; i < new->ranges.count; i++)
		if (slicing->included[new->ranges.item[i].function])
			mark(pages, new->ranges.item[i].span, SEGMENT_READ | SEGMENT_EXECUTE);
	for (size_t i = 0; i < slicing->forwarders.count; i++)
		mark(pages, program_range(new, slicing->forwarders.item[i].where)->span, SEGMENT_READ | SEGMENT_EXECUTE);
	for (size_t i = 0; i < slicing->own_stubs.count; i++)
		mark(pages, slicing->own_stubs.item[i], SEGMENT_READ | SEGMENT_EXECUTE);
	for (size_t i = 0; i < new->image->sections.count; i++)
		if (slicing->copied[i])
			mark(pages, new->image->sections.item[i].span, SEGMENT_READ);
	for (size_t i = 0; i < slicing->variables.count; i++)
		mark(pages, slicing->variables.item[i], SEGMENT_READ | SEGMENT_WRITE);
	for (size_t i = 0; i < slicing->words.count; i++)
		mark(pages, (struct range){ slicing->words.item[i], slicing->words.item[i] + 8 }, SEGMENT_READ);
}

/* Traps first, then constants and variables, then code: a page can hold all three where the linker did not part them. */
static void fill(const struct slicing *slicing, struct pages *pages)
{
	const struct program *new = &slicing->comparison->new;

	for (size_t i = 0; i < pages->count; i++)
		if (pages->flags[i] & SEGMENT_EXECUTE)
			memset(pages->bytes + i * PATCH_PAGE, new->image->arch->trap, PATCH_PAGE);
	for (size_t i = 0; i < new->image->sections.count; i++) {
		const struct section *section = &new->image->sections.item[i];

		if (slicing->copied[i])
			memcpy(page_bytes(pages, section->span.start), section->data, section->span.end - section->span.start);
	}
	for (size_t i = 0; i < slicing->variables.count; i++) {
		struct range variable = slicing->variables.item[i];
		const struct section *section = image_section(new->image, variable.start);

		if (section->data)
			memcpy(page_bytes(pages, variable.start), section->data + (variable.start - section->span.start), variable.end - variable.start);
	}
	for (size_t i = 0; i < new->ranges.count; i++) {
		const struct code_range *range = &new->ranges.item[i];

		if (slicing->included[range->function])
			memcpy(page_bytes(pages, range->span.start), program_code(new, range), range->span.end - range->span.start);
	}
	for (size_t i = 0; i < slicing->own_stubs.count; i++) {
		struct range stub = slicing->own_stubs.item[i];

		memcpy(page_bytes(pages, stub.start), image_bytes(new->image, stub.start, stub.end - stub.start), stub.end - stub.start);
	}
}

/* The jump's own address field is bound like any other reference. */
static void write_forwarders(struct slicing *slicing, struct pages *pages)
{
	const struct program *new = &slicing->comparison->new;
	const struct arch *arch = new->image->arch;

	for (size_t i = 0; i < slicing->forwarders.count; i++) {
		const struct forwarder *forwarder = &slicing->forwarders.item[i];
		const struct code_range *range = program_range(new, forwarder->where);
		uint8_t *at = page_bytes(pages, forwarder->where);
		struct insn jump;

		if (range->span.end - forwarder->where < arch->jump_size ||
		    !arch->write_jump(at, arch->jump_size, forwarder->where, forwarder->where) ||
		    !arch->decode(at, arch->jump_size, forwarder->where, &jump)) {
			slicing->status = refuse(slicing->error, "%s: no room for a jump at 0x%lx of the new build", new->image->name,
						 (unsigned long)forwarder->where);
			return;
		}
		*array_add(&slicing->patch->bindings) = (struct patch_binding){
			.where = forwarder->where + jump.ref[0].offset,
			.type = BINDING_PC32,
			.anchor = ANCHOR_OLD,
			.target = forwarder->target,
			.addend = (int64_t)jump.ref[0].offset - jump.length,
		};
	}
}

/* The tables must be in one segment, also where the linker has put them among code. */
static void mark_unwind_tables(const struct slicing *slicing, struct pages *pages)
{
	struct range tables = slicing->patch->eh_frame;
	uint8_t flags = 0;

	for (uint64_t page = (tables.start - pages->start) / PATCH_PAGE; page * PATCH_PAGE < tables.end - pages->start; page++)
		flags |= pages->flags[page];
	mark(pages, tables, flags);
}

static void cut_segments(struct patch *patch, const struct pages *pages)
{
	for (size_t i = 0, next; i < pages->count; i = next) {
		for (next = i + 1; next < pages->count && pages->flags[next] == pages->flags[i]; next++)
			;
		if (pages->flags[i])
			*array_add(&patch->segments) = (struct patch_segment){
				.address = pages->start + i * PATCH_PAGE,
				.size = (next - i) * PATCH_PAGE,
				.flags = pages->flags[i],
				.data = memory_copy(pages->bytes + i * PATCH_PAGE, (next - i) * PATCH_PAGE),
			};
	}
}

static int compare_bindings(const void *one, const void *other)
{
	const struct patch_binding *a = one, *b = other;

	return (a->where > b->where) - (a->where < b->where);
}

/* The same pointer may have been reached twice; two different answers for one field would be a defect. */
static void merge_bindings(struct slicing *slicing)
{
	struct patch *patch = slicing->patch;
	size_t kept = 0;

	if (patch->bindings.count)
		qsort(patch->bindings.item, patch->bindings.count, sizeof(struct patch_binding), compare_bindings);
	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i], *last = kept ? &patch->bindings.item[kept - 1] : NULL;

		if (last && last->where == binding->where) {
			if (last->target != binding->target || last->type != binding->type || last->anchor != binding->anchor)
				slicing->status = refuse(slicing->error, "%s: two answers for what 0x%lx of the new build refers to",
							 patch->image, (unsigned long)binding->where);
			continue;
		}
		patch->bindings.item[kept++] = *binding;
	}
	patch->bindings.count = kept;
}

/* (The end of a section is the start of the next one, and of use to who refers to its inside.) */
static bool holds_copy(const struct slicing *slicing, const struct code_range *range, uint64_t address)
{
	const struct program *new = &slicing->comparison->new;

	for (size_t i = 0; i < new->image->sections.count; i++) {
		struct range span = new->image->sections.item[i].span;

		if (slicing->copied[i] && (range_holds(span, address) || (span.end == address && program_range_refers(new, range, span))))
			return true;
	}
	for (size_t i = 0; i < slicing->variables.count; i++)
		if (address >= slicing->variables.item[i].start && address <= slicing->variables.item[i].end)
			return true;
	for (size_t i = 0; i < slicing->words.count; i++)
		if (slicing->words.item[i] == address)
			return true;
	return false;
}

static bool holds_code(const struct slicing *slicing, uint64_t address)
{
	uint32_t function = program_function(&slicing->comparison->new, address);

	if (function != NO_FUNCTION && slicing->included[function])
		return true;
	for (size_t i = 0; i < slicing->forwarders.count; i++)
		if (slicing->forwarders.item[i].where == address)
			return true;
	for (size_t i = 0; i < slicing->own_stubs.count; i++)
		if (range_holds(slicing->own_stubs.item[i], address))
			return true;
	return false;
}

static bool is_bound(const struct patch *patch, uint64_t where)
{
	size_t index = array_search(&patch->bindings, where, where);

	return index < patch->bindings.count && patch->bindings.item[index].where == where;
}

/* Of a reference that is bound nowhere: is the target in the slice, and, if it begins with a pointer, that bound? */
static bool is_reached(const struct slicing *slicing, const struct code_range *range, uint64_t address)
{
	return holds_code(slicing, address) ||
	       (holds_copy(slicing, range, address) && (!program_data_ref(&slicing->comparison->new, address) || is_bound(slicing->patch, address)));
}

/* What new code refers to is bound, or in the slice. (All that decides about references sees to it; but where one did not, code would run astray.) */
static void check_reach(struct slicing *slicing)
{
	const struct program *new = &slicing->comparison->new;

	for (size_t i = 0; i < new->ranges.count; i++) {
		const struct code_range *range = &new->ranges.item[i];

		for (uint32_t k = 0; slicing->included[range->function] && k < range->ref_count; k++) {
			const struct code_ref *ref = &new->refs.item[range->first_ref + k];
			uint64_t address = ref->target + (uint64_t)ref->offset;

			if (ref->kind != REF_ABSOLUTE && !is_bound(slicing->patch, ref->where) && !is_reached(slicing, range, address))
				bind_fail(slicing, ref->insn, address, "something that the patch does not have (a defect of stent)");
		}
	}
}

static void copy_unwind_tables(struct slicing *slicing)
{
	const struct image *image = slicing->comparison->new.image;

	for (size_t i = 0; i < image->sections.count; i++)
		if (image->sections.item[i].span.start == image->eh_frame.address)
			slicing->copied[i] = true;
	slicing->patch->eh_frame = (struct range){ image->eh_frame.address, image->eh_frame.address + image->eh_frame.size };
}

enum status segments_build(struct slicing *slicing)
{
	const struct image *image = slicing->comparison->new.image;
	struct pages pages = { .start = image->span.start, .count = (image->span.end - image->span.start) / PATCH_PAGE };

	copy_unwind_tables(slicing);
	pages.flags = memory_zeroed(pages.count, 1);
	pages.bytes = memory_zeroed(pages.count, PATCH_PAGE);
	mark_all(slicing, &pages);
	mark_unwind_tables(slicing, &pages);
	fill(slicing, &pages);
	write_forwarders(slicing, &pages);
	merge_bindings(slicing);
	check_reach(slicing);
	cut_segments(slicing->patch, &pages);
	free(pages.flags);
	free(pages.bytes);
	return slicing->status;
}
