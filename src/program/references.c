/* references.c: decode every range once; collect its references, and hash the rest: what does not depend on layout. */
#include <elf.h>
#include <stdlib.h>

#include "base/search.h"
#include "program/analysis.h"

#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_FACTOR UINT64_C(0x9e3779b97f4a7c15)

/* What has the same hash is compared byte for byte, where that matters (diff/match.c). */
static uint64_t hash_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * HASH_FACTOR;
	return hash ^ hash >> 32;
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = hash_word(hash, bytes[i]);
	return hash;
}

/* A number into the middle of another piece of code is none: nobody takes such an address. The end of a section is one: start-up code asks
 * for it. */
static bool may_be_address(const struct program *program, const struct code_range *range, uint64_t target)
{
	const struct code_range *other = program_range(program, target);

	return (image_section(program->image, target) || image_section_ends(program->image, target)) && (!other || other == range || !other->covered || other->span.start == target);
}

/*
 * Is the number in the field an address? Where the linker has kept its relocations they know, unless it has changed the code since then; else
 * it may be one if it could be. *exact: it is known.
 */
static bool is_address(const struct program *program, const struct code_range *range, uint64_t where, const struct insn_ref *ref, bool *exact)
{
	const struct image *image = program->image;
	const struct link_relocation *relocation;
	enum link_kind kind;

	*exact = false;
	if (!image->fixed_address)
		return false;
	relocation = image_link_relocation(image, where);
	kind = relocation ? image->arch->link_relocation(relocation->type) : LINK_NUMBER;
	if (kind == LINK_NUMBER && image_section(image, where)->relocated)
		return false;
	*exact = kind == LINK_ABSOLUTE && relocation->defined && relocation->value == ref->target && image_section(image, ref->target);
	return *exact || may_be_address(program, range, ref->target);
}

/* Does the field's value depend on where the linker put things? Only such a reference is kept. */
static bool depends_on_layout(const struct program *program, const struct code_range *range, uint64_t where, const struct insn_ref *ref,
			      bool *exact)
{
	*exact = false;
	switch (ref->kind) {
	case REF_BRANCH:
		return !range_holds(range->span, ref->target);
	case REF_LOAD:
	case REF_ADDRESS:
		return true;
	case REF_ABSOLUTE:
		return is_address(program, range, where, ref, exact);
	default:
		return false;
	}
}

/* See link_relocation_find_item(). */
static void find_item(const struct image *image, struct code_ref *ref)
{
	const struct link_relocation *relocation = ref->kind != REF_BRANCH ? image_link_relocation(image, ref->where) : NULL;
	enum link_kind kind = relocation ? image->arch->link_relocation(relocation->type) : LINK_OTHER;

	if ((kind == LINK_RELATIVE && relocation->value + ref->tail == ref->target) ||
	    (kind == LINK_ABSOLUTE && relocation->value == ref->target))
		if (link_relocation_find_item(relocation, &ref->target, &ref->offset))
			ref->access = 0;	/* it is not the item's first bytes that are read */
}

#define INSN_BYTES 16	/* no fewer than any instruction has */

static uint64_t hash_insn(uint64_t hash, const uint8_t bytes[INSN_BYTES], size_t length)
{
	if (length < 8)
		return hash_word(hash, load64(bytes) << (64 - 8 * length));
	hash = hash_word(hash, load64(bytes));
	return length > 8 ? hash_word(hash, load64(bytes + 8) << (128 - 8 * length)) : hash;
}

static void keep_ref(struct program *program, uint64_t address, const struct insn *insn, const struct insn_ref *ref, bool exact)
{
	struct code_ref *kept = array_add(&program->refs);

	*kept = (struct code_ref){
		.where = address + ref->offset,
		.target = ref->target,
		.insn = address,
		.size = ref->size,
		.tail = (uint8_t)(insn->length - ref->offset),
		.kind = ref->kind,
		.access = ref->access,
		.insn_kind = insn->kind,
		.exact = exact,
		.stores = ref->stores,
	};
	if (program->image->link_relocations.count)
		find_item(program->image, kept);
}

static void note_jump(struct code_range *range, const struct insn *insn)
{
	uint64_t place = insn->ref[0].target - range->span.start;

	if (insn->ref[0].kind == REF_BRANCH && insn->kind != INSN_CALL && place < range->lowest_jump && range_holds(range->span, insn->ref[0].target))
		range->lowest_jump = place;
}

/* Keep those of its references that depend on layout, and take their fields out of its bytes. */
static void visit_refs(struct program *program, const struct code_range *range, uint64_t address, const struct insn *insn, uint8_t bytes[INSN_BYTES])
{
	bool exact;

	for (int i = 0; i < 2; i++) {
		const struct insn_ref *ref = &insn->ref[i];

		if (!depends_on_layout(program, range, address + ref->offset, ref, &exact))
			continue;
		keep_ref(program, address, insn, ref, exact);
		memset(bytes + ref->offset, 0, ref->size);
	}
}

/* Does it refer to something outside of the image? No code does that (but to the null of a weak symbol): where text without unwind data seems to, it is
 * a constant that stands there. */
static bool leads_out(const struct image *image, const struct insn *insn)
{
	for (int i = 0; i < 2; i++) {
		const struct insn_ref *ref = &insn->ref[i];

		if ((ref->kind == REF_BRANCH || ref->kind == REF_LOAD || ref->kind == REF_ADDRESS) && ref->target &&
		    (ref->target < image->span.start || ref->target > image->span.end))
			return true;
	}
	return false;
}

static void decode_range(struct program *program, struct code_range *range)
{
	const struct arch *arch = program->image->arch;
	const uint8_t *code = program_code(program, range);
	uint64_t size = range->span.end - range->span.start, offset = 0;
	size_t first = program->refs.count;
	uint64_t hash = HASH_START;

	range->lowest_jump = UINT64_MAX;
	while (offset < size) {
		struct insn insn;
		uint64_t address = range->span.start + offset;
		uint8_t bytes[INSN_BYTES] = { 0 };
		size_t length = arch->plain(code + offset, size - offset);

		memcpy(bytes, code + offset, size - offset < sizeof(bytes) ? size - offset : sizeof(bytes));
		if (!length) {
			if (!arch->decode(code + offset, size - offset, address, &insn) || (!range->covered && leads_out(program->image, &insn)))
				break;
			visit_refs(program, range, address, &insn, bytes);
			range->indirect_jump = range->indirect_jump || insn.kind == INSN_JUMP_INDIRECT;
			note_jump(range, &insn);
			length = insn.length;
		}
		hash = hash_insn(hash, bytes, length);
		offset += length;
	}
	range->decoded = offset == size;
	if (!range->decoded) {
		/* Data among the instructions: compare it byte for byte, follow nothing. */
		program->refs.count = first;
		hash = hash_bytes(HASH_START, code, size);
	}
	range->hash = hash ^ size;
}

struct addresses {
	uint64_t *item;
	size_t count, room;
};

static void add_cut(const struct program *program, struct addresses *cuts, uint64_t address)
{
	const struct code_range *range = program_range(program, address);

	if (range && !range->covered)
		*array_add(cuts) = address;
}

/* Where something points into text without FDEs: there one of its functions begins. */
static void find_cuts(const struct program *program, struct addresses *cuts)
{
	const struct image *image = program->image;

	for (size_t i = 0; i < program->refs.count; i++)
		add_cut(program, cuts, program->refs.item[i].target);
	for (size_t i = 0; i < program->data_refs.count; i++)
		add_cut(program, cuts, program->data_refs.item[i].target);
	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].defined && image->symbols.item[i].type != STT_TLS)
			add_cut(program, cuts, image->symbols.item[i].value);
	add_cut(program, cuts, image->entry);
	if (cuts->count)
		qsort(cuts->item, cuts->count, sizeof(*cuts->item), compare_addresses);
}

/* Cut the ranges without FDE, in one pass over both sorted lists. */
static void cut_uncovered(struct program *program)
{
	struct addresses cuts = { 0 };
	ARRAY(struct code_range) pieces = { 0 };
	size_t next = 0;

	find_cuts(program, &cuts);
	for (size_t i = 0; i < program->ranges.count; i++) {
		struct code_range range = program->ranges.item[i];

		for (; next < cuts.count && cuts.item[next] < range.span.end; next++) {
			if (range.covered || cuts.item[next] <= range.span.start)
				continue;
			struct code_range piece = range;

			piece.span.end = range.span.start = cuts.item[next];
			*array_add(&pieces) = piece;
		}
		*array_add(&pieces) = range;
	}
	array_free(&cuts);
	array_free(&program->ranges);
	program->ranges.item = pieces.item;
	program->ranges.count = pieces.count;
	program->ranges.room = pieces.room;
	ranges_index(program);
}

/* Give every range its part of the sorted references. */
static void assign_refs(struct program *program)
{
	size_t next = 0;

	for (size_t i = 0; i < program->ranges.count; i++) {
		struct code_range *range = &program->ranges.item[i];

		while (next < program->refs.count && program->refs.item[next].where < range->span.start)
			next++;
		range->first_ref = (uint32_t)next;
		while (next < program->refs.count && program->refs.item[next].where < range->span.end)
			next++;
		range->ref_count = (uint32_t)next - range->first_ref;
	}
}

/* Both what comes before `first` and what comes from there on is sorted, as it was decoded in the order of addresses, and the
 * latter is mostly little: merge it into the former, from the end on. */
static void merge_refs(struct program *program, size_t first)
{
	struct code_ref *refs = program->refs.item, *added;
	size_t place = program->refs.count, left = program->refs.count - first;

	if (!left)
		return;
	added = memory_copy(refs + first, left * sizeof(*refs));
	while (left)
		if (first && refs[first - 1].where > added[left - 1].where)
			refs[--place] = refs[--first];
		else
			refs[--place] = added[--left];
	free(added);
}

void references_find(struct program *program)
{
	size_t covered_refs;

	for (size_t i = 0; i < program->ranges.count; i++)
		if (program->ranges.item[i].covered)
			decode_range(program, &program->ranges.item[i]);
	covered_refs = program->refs.count;
	cut_uncovered(program);
	for (size_t i = 0; i < program->ranges.count; i++)
		if (!program->ranges.item[i].covered)
			decode_range(program, &program->ranges.item[i]);
	merge_refs(program, covered_refs);
	assign_refs(program);
}
