/*
 * plain.c: constants without pointers, which are numbers, structures of them, and texts.
 *
 * The slice can have its own: their content is all that most code wants of them. But where a function lets the address out, the process may keep it, and
 * code may compare it with the address of what it takes for the same constant (`current == &fallback`). So the running image's is used where
 * that is known to be the same. Where it is not, and code is seen to compare addresses, no answer is right.
 */
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "diff/escape.h"
#include "diff/slicing.h"

#define SAME_FOR 4096u	/* bytes behind a constant */
#define SPANS_MAX 64	/* of one function: for each its code is followed anew */

/* What may be one table with the address, and what the function does with that. (A large function refers to thousands of them by turns.) */
static const struct plain_span *span_around(struct slicing *slicing, uint32_t function, const struct section *section, uint64_t address)
{
	struct plain_span *span;

	for (size_t i = slicing->last_plain.spans.count; i-- > 0;)
		if (range_holds(slicing->last_plain.spans.item[i].span, address))
			return &slicing->last_plain.spans.item[i];
	span = array_add(&slicing->last_plain.spans);
	*span = (struct plain_span){ bind_table_around(slicing, function, section, address), slicing->last_plain.of_section };
	if (slicing->last_plain.spans.count <= SPANS_MAX)
		span->fate = escape_of(&slicing->comparison->new, function, span->span);
	return span;
}

/* NULL: the function keeps all addresses of the section's constants to itself. (That is asked for first: mostly it is so.) */
static const struct plain_span *let_out(struct slicing *slicing, uint32_t function, const struct section *section, uint64_t address)
{
	const struct plain_span *span;

	if (slicing->last_plain.function != function || slicing->last_plain.section != section) {
		slicing->last_plain.function = function;
		slicing->last_plain.section = section;
		slicing->last_plain.of_section = escape_of(&slicing->comparison->new, function, section->span);
		slicing->last_plain.spans.count = 0;
	}
	if (slicing->last_plain.of_section == FATE_KEPT)
		return NULL;
	span = span_around(slicing, function, section, address);
	return span->fate == FATE_KEPT ? NULL : span;
}

static bool is_same(struct comparison *comparison, uint64_t old_address, uint64_t address)
{
	const struct section *a = image_section(comparison->old.image, old_address), *b = image_section(comparison->new.image, address);

	return a && b && section_is_constant(a) && section_is_constant(b) && constants_compare(comparison, old_address, address) == SAME;
}

/* Where unchanged code, or lined-up code of changed functions, says that it is; or that what lies before and behind it is. 0: nothing says so. */
static uint64_t counterpart(const struct comparison *comparison, uint64_t address)
{
	const struct vote *vote = votes_reverse(&comparison->data, address);
	uint64_t old_address;

	if (!vote)
		vote = votes_reverse(&comparison->aligned, address);
	if (vote)
		return vote->to;
	return variable_in_old(comparison, address, &old_address) ? old_address : 0;
}

/* Where the next item begins in either build. */
static uint64_t next_in_either(const struct comparison *comparison, uint64_t address, uint64_t shift)
{
	uint64_t old = program_item_end(&comparison->old, address + shift) - shift, new = program_item_end(&comparison->new, address);

	return old > address && old < new ? old : new;
}

/*
 * Nothing that may be a part of the same table changed or moved: neither what else the function takes of it, nor what lies behind it, of which other code takes
 * addresses. (A text that stands alone is no part of a table.) Nor between it and what lies before it, whose end its address could be.
 */
static bool is_unchanged(struct comparison *comparison, const struct section *section, struct range span, uint64_t shift)
{
	const struct program *new = &comparison->new;
	uint64_t end = span.end < section->span.end - SAME_FOR ? span.end + SAME_FOR : section->span.end;

	for (uint64_t at = span.start; at < end; at = next_in_either(comparison, at, shift)) {
		if (at >= span.end && is_lone_text(new, at))
			break;
		if (!is_same(comparison, at + shift, at))
			return false;
	}
	return bind_follows_alike(comparison, span.start, span.start + shift);
}

/* Does the old function compare an address of the section's constants with anything? (Mostly not, and that is all that has to be known.) */
static bool compares_any(struct slicing *slicing, uint32_t function, const struct section *section)
{
	if (slicing->asked_of != section)
		memset(slicing->asked, 0, slicing->comparison->old.functions.count * sizeof(bool));
	slicing->asked_of = section;
	if (!slicing->asked[function])
		slicing->compares[function] = escape_of(&slicing->comparison->old, function, section->span) == FATE_COMPARED;
	slicing->asked[function] = true;
	return slicing->compares[function];
}

/* Does code of the old build, which may stay, compare the address with others? */
static bool compared_in_old(struct slicing *slicing, uint64_t old_address)
{
	const struct program *old = &slicing->comparison->old;
	const struct section *section = image_section(old->image, old_address);
	struct range item = { old_address, program_item_end(old, old_address) };

	for (size_t i = 0; i < old->refs.count; i++) {
		const struct code_ref *ref = &old->refs.item[i];
		uint32_t function = ref->target == old_address && ref->kind != REF_LOAD ? program_function(old, ref->insn) : NO_FUNCTION;

		if (function != NO_FUNCTION && compares_any(slicing, function, section) && escape_of(old, function, item) == FATE_COMPARED)
			return true;
	}
	return false;
}

static void note(struct slicing *slicing, struct plain_ref constant, struct range span, uint64_t back)
{
	struct comparison *comparison = slicing->comparison;
	const struct section *section = image_section(comparison->new.image, constant.address);

	constant.old_address = counterpart(comparison, constant.address);
	constant.live = constant.old_address && is_unchanged(comparison, section, span, constant.old_address - constant.address) &&
			constants_compare_before(comparison, constant.old_address, constant.address, back) == SAME;
	*array_add(&slicing->plain) = constant;
}

void plain_note(struct slicing *slicing, const struct code_ref *ref, uint64_t address, uint64_t back)
{
	const struct program *new = &slicing->comparison->new;
	const struct section *section = image_section(new->image, address);
	uint32_t function = program_function(new, ref->insn);
	const struct plain_span *span;

	if ((ref->kind != REF_ADDRESS && ref->kind != REF_ABSOLUTE) || function == NO_FUNCTION || jump_table_at(new, address))
		return;
	span = let_out(slicing, function, section, address);
	if (span)
		note(slicing, (struct plain_ref){ .ref = ref, .where = ref->where, .address = address, .compared = span->fate == FATE_COMPARED },
		     span->span, back);
}

void plain_note_pointer(struct slicing *slicing, const struct data_ref *pointer)
{
	const struct program *new = &slicing->comparison->new;
	const struct section *section = image_section(new->image, pointer->target);

	if (section && section_is_constant(section) && !section->relro)
		note(slicing, (struct plain_ref){ .where = pointer->where, .address = pointer->target, .offset = pointer->offset },
		     (struct range){ pointer->target, program_item_end(new, pointer->target) }, 0);
}

static int compare_refs(const void *one, const void *other)
{
	const struct plain_ref *a = one, *b = other;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return (a->where > b->where) - (a->where < b->where);
}

/*
 * One function may take the start of a table, and another one its end (begin() and end() of C++), which is where something else starts. So those of two
 * items next to each other go the same way: if one of them is the slice's own, so is the other. True: one was made so.
 */
static bool settle_one(struct slicing *slicing, struct plain_ref *constant)
{
	const struct program *new = &slicing->comparison->new;
	uint64_t before = program_item_start(new, constant->address - 1);
	struct plain_ref *other = constant;
	bool alone = is_lone_text(new, before), changed = false;

	while (other > slicing->plain.item && other[-1].address >= before)
		other--;
	for (; other < slicing->plain.item + slicing->plain.count && other->address <= constant->address; other++) {
		if (other->live == constant->live || (alone && other->address < constant->address))
			continue;
		other->live = constant->live = false;
		changed = true;
	}
	return changed;
}

static void settle(struct slicing *slicing)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < slicing->plain.count; i++)
			changed |= settle_one(slicing, &slicing->plain.item[i]);
	}
}

/* Pointers, and absolute addresses in code, have been bound to the slice's own: no more. */
static void unbind(struct slicing *slicing)
{
	struct patch *patch = slicing->patch;
	ARRAY(uint64_t) places = { 0 };
	size_t kept = 0;

	for (size_t i = 0; i < slicing->plain.count; i++)
		if (slicing->plain.item[i].live)
			*array_add(&places) = slicing->plain.item[i].where;
	if (places.count)
		qsort(places.item, places.count, sizeof(uint64_t), compare_addresses);
	for (size_t i = 0; i < patch->bindings.count && places.count; i++)
		if (!bsearch(&patch->bindings.item[i].where, places.item, places.count, sizeof(uint64_t), compare_addresses))
			patch->bindings.item[kept++] = patch->bindings.item[i];
	patch->bindings.count = places.count ? kept : patch->bindings.count;
	array_free(&places);
}

static void bind(struct slicing *slicing, const struct plain_ref *constant)
{
	if (constant->ref)
		bind_field(slicing, constant->ref, ANCHOR_OLD, constant->old_address);
	else
		bind_add(slicing, constant->where, BINDING_ABSOLUTE64, ANCHOR_OLD, constant->old_address, constant->offset);
}

void plain_bind(struct slicing *slicing)
{
	uint64_t last = 0;	/* address of the old build that was asked for last */
	bool compared = false;

	if (slicing->plain.count)
		qsort(slicing->plain.item, slicing->plain.count, sizeof(*slicing->plain.item), compare_refs);
	settle(slicing);
	unbind(slicing);
	for (size_t i = 0; i < slicing->plain.count; i++) {
		const struct plain_ref *constant = &slicing->plain.item[i];

		if (constant->live) {
			bind(slicing, constant);
			continue;
		}
		if (constant->old_address != last)
			compared = constant->old_address && compared_in_old(slicing, constant->old_address);
		last = constant->old_address;
		if (compared || constant->compared)
			bind_fail(slicing, constant->ref ? constant->ref->insn : constant->where, constant->address,
				  "a constant that is not known to be the same in the running image, and whose address is compared with others");
	}
}
