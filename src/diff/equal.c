/*
 * equal.c: do an old and a new address name the same item?
 *
 * Functions by the matching, imports by name, variables by where unchanged code says they went, constants
 * by their content, followed through pointers and through tables of offsets (jump tables).
 */
#include <string.h>

#include "base/utf8.h"
#include "diff/comparison.h"
#include "diff/versions.h"

bool section_is_slots(const struct section *section)
{
	return strcmp(section->name, ".got") == 0 || strcmp(section->name, ".got.plt") == 0;
}

bool section_is_variables(const struct section *section)
{
	return section->thread_local || (section->write && !section->relro && !section_is_slots(section));
}

bool section_is_constant(const struct section *section)
{
	return !section->execute && !section->thread_local && section->data && (!section->write || section->relro);
}

/* Bytes of the character at the start of [at, end) if a text may contain it, else 0. */
static size_t text_sequence(const uint8_t *at, const uint8_t *end)
{
	bool control = (*at < 0x20 && !(*at >= '\a' && *at <= '\r') && *at != 0x1b) || *at == 0x7f;

	return control ? 0 : utf8_length(at, end);
}

const char *text_at(const struct image *image, uint64_t address)
{
	const struct section *section = image_section(image, address);
	const uint8_t *start, *end;
	size_t size;

	if (!section || section->write || section->execute || !section->data)
		return NULL;
	start = section->data + (address - section->span.start);
	end = section->data + (section->span.end - section->span.start);
	for (const uint8_t *at = start; at < end; at += size) {
		if (!*at)
			return at > start ? (const char *)start : NULL;
		size = text_sequence(at, end);
		if (!size)
			return NULL;
	}
	return NULL;
}

/* Position of an address inside a function: which part, and how far into it. */
static bool same_place(const struct comparison *comparison, uint32_t f, uint64_t old_address, uint32_t g, uint64_t new_address)
{
	const struct code_range *a = program_range(&comparison->old, old_address), *b = program_range(&comparison->new, new_address);
	const struct function *x = &comparison->old.functions.item[f], *y = &comparison->new.functions.item[g];

	for (size_t i = 0; i < x->parts.count && i < y->parts.count; i++)
		if (&comparison->old.ranges.item[x->parts.item[i]] == a && &comparison->new.ranges.item[y->parts.item[i]] == b)
			return old_address - a->span.start == new_address - b->span.start;
	return false;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool symbols_equal(const char *a, const char *version_a, const char *b, const char *version_b)
{
	return same_text(a, b) && (!version_a || !version_b || strcmp(version_a, version_b) == 0);
}

/* Stubs lead to the same if their slots get the address of the same symbol, of matched functions, or of what matched
 * resolvers choose. */
static bool same_stub(const struct comparison *comparison, const struct relocation *x, const struct relocation *y)
{
	const struct arch *arch = comparison->old.image->arch;
	uint32_t f, g;

	if (x->type != y->type || !x->symbol != !y->symbol)
		return false;
	if (x->symbol)
		return symbols_equal(x->symbol, x->version, y->symbol, y->version) && x->addend == y->addend;
	f = program_function(&comparison->old, (uint64_t)x->addend);
	g = program_function(&comparison->new, (uint64_t)y->addend);
	if (x->addend == y->addend && !x->type)
		return true;
	if (arch->relocation(x->type) != RELOC_RESOLVER && arch->relocation(x->type) != RELOC_RELATIVE)
		return false;
	return f != NO_FUNCTION && g != NO_FUNCTION && comparison->new_of[f] == g;
}

static enum difference compare_code(struct comparison *comparison, uint64_t old_target, uint64_t new_target);

/* Zeros, or what else fills the space between functions, up to where the same one begins: the start of a constant of hand-written code, and its rest. */
static bool same_space(struct comparison *comparison, uint64_t old_target, uint64_t new_target)
{
	const struct program *old = &comparison->old, *new = &comparison->new;
	size_t next_old = program_range_search(old, old_target), next_new = program_range_search(new, new_target);
	uint64_t old_start, new_start;
	const uint8_t *x, *y;

	if (next_old == old->ranges.count || next_new == new->ranges.count)
		return false;
	old_start = old->ranges.item[next_old].span.start;
	new_start = new->ranges.item[next_new].span.start;
	if (old_start - old_target != new_start - new_target)
		return false;
	x = image_bytes(old->image, old_target, old_start - old_target);
	y = image_bytes(new->image, new_target, new_start - new_target);
	return x && y && memcmp(x, y, old_start - old_target) == 0 && compare_code(comparison, old_start, new_start) == SAME;
}

static enum difference compare_code(struct comparison *comparison, uint64_t old_target, uint64_t new_target)
{
	uint32_t f = program_function(&comparison->old, old_target), g = program_function(&comparison->new, new_target);

	if (f == NO_FUNCTION || g == NO_FUNCTION) {
		const struct relocation *x = program_stub(&comparison->old, old_target), *y = program_stub(&comparison->new, new_target);

		if (f == g && !x && !y)
			return same_space(comparison, old_target, new_target) ? SAME : DIFFERENT_CALLEE;
		return f == g && x && y && same_stub(comparison, x, y) ? SAME : DIFFERENT_CALLEE;
	}
	if (comparison->new_of[f] != g)
		return DIFFERENT_CALLEE;
	if (old_target == comparison->old.functions.item[f].entry)
		return new_target == comparison->new.functions.item[g].entry ? SAME : DIFFERENT_CALLEE;
	return comparison->alike[f] && same_place(comparison, f, old_target, g, new_target) ? SAME : DIFFERENT_CALLEE;
}

enum difference pointers_compare(struct comparison *comparison, const struct data_ref *x, const struct data_ref *y)
{
	if (x->kind != y->kind || !x->target != !y->target || x->offset != y->offset)
		return DIFFERENT_CONSTANT;
	/* A name says which of several equal things is meant. */
	if (!symbols_equal(x->symbol, x->version, y->symbol, y->version))
		return DIFFERENT_CALLEE;
	if (!x->target)
		return x->addend == y->addend ? SAME : DIFFERENT_CONSTANT;
	/* (Pointers lead to texts far more often than to tables that begin with one: what lies behind is none of theirs.) */
	if (text_at(comparison->old.image, x->target) && text_at(comparison->new.image, y->target))
		return constants_compare(comparison, x->target, y->target);
	return references_compare(comparison, x->target, y->target, REF_ADDRESS, 0);
}

static uint64_t offset_target(uint64_t base, const uint8_t *word)
{
	return base + (uint64_t)(int64_t)(int32_t)load32(word);
}

static bool jumps_by_table(const struct program *program, uint64_t address)
{
	uint32_t index = program_function(program, address);
	const struct function *function = index != NO_FUNCTION ? &program->functions.item[index] : NULL;

	for (size_t i = 0; function && i < function->parts.count; i++)
		if (program->ranges.item[function->parts.item[i]].indirect_jump)
			return true;
	return false;
}

bool jump_table_at(const struct program *program, uint64_t address)
{
	const uint8_t *word = image_bytes(program->image, address, 4);

	return word && jumps_by_table(program, offset_target(address, word));
}

/* An entry of a jump table: a 32-bit offset from the table's start to a place in a function that jumps by one. */
static bool same_jump_entry(struct comparison *comparison, uint64_t old_base, const uint8_t *x, uint64_t new_base, const uint8_t *y)
{
	uint64_t old_target = offset_target(old_base, x), new_target = offset_target(new_base, y);

	return jumps_by_table(&comparison->old, old_target) && jumps_by_table(&comparison->new, new_target) &&
	       compare_code(comparison, old_target, new_target) == SAME;
}

/* clang makes tables of texts of 32-bit offsets from the table's start. Taken for one only if every word is such an offset. */
static bool same_text_table(const struct comparison *comparison, uint64_t old_base, const uint8_t *x, uint64_t new_base, const uint8_t *y,
			    uint64_t size)
{
	if (size < 8 || size % 4)
		return false;
	for (uint64_t at = 0; at < size; at += 4) {
		uint64_t old_target = offset_target(old_base, x + at), new_target = offset_target(new_base, y + at);
		const char *a = text_at(comparison->old.image, old_target), *b = text_at(comparison->new.image, new_target);

		if (!a || !b || a[-1] || b[-1] || strcmp(a, b) != 0 || old_target - old_base < size || new_target - new_base < size)
			return false;
	}
	return true;
}

static const uint8_t *section_bytes(const struct image *image, uint64_t address)
{
	const struct section *section = image_section(image, address);

	return section->data + (address - section->span.start);
}

/* A table in which the version stands (of a plugin, for who loads it) changes with every package, and goes on saying the old one, as variables do. */
static bool says_version(struct comparison *comparison, const struct data_ref *x, const struct data_ref *y)
{
	const char *old = x->target ? text_at(comparison->old.image, x->target) : NULL;
	const char *new = y->target ? text_at(comparison->new.image, y->target) : NULL;
	struct release release = { 0 };

	if (!old || !new || x->kind != y->kind || x->offset != y->offset || !versions_differ(comparison->options, old, new, &release))
		return false;
	*array_add(&comparison->versions) = (struct mark){ x->where, y->where };
	return true;
}

/* Compare bytes [start, size) of two constants, pointer by pointer and byte by byte. */
static enum difference compare_content(struct comparison *comparison, uint64_t old_address, uint64_t new_address,
				       uint64_t start, uint64_t size)
{
	const struct program *old = &comparison->old, *new = &comparison->new;
	const uint8_t *x = section_bytes(old->image, old_address), *y = section_bytes(new->image, new_address);
	size_t next_old = program_data_ref_index(old, old_address + start), next_new = program_data_ref_index(new, new_address + start);

	for (uint64_t at = start; at < size;) {
		const struct data_ref *a = next_old < old->data_refs.count ? &old->data_refs.item[next_old] : NULL;
		const struct data_ref *b = next_new < new->data_refs.count ? &new->data_refs.item[next_new] : NULL;
		bool pointer_old = a && a->where == old_address + at, pointer_new = b && b->where == new_address + at;

		if (pointer_old && pointer_new) {
			enum difference difference = pointers_compare(comparison, a, b);

			if (difference && !says_version(comparison, a, b))
				return difference;
			at += 8;
		} else if (x[at] == y[at] && !(pointer_old && !a->guessed) && !(pointer_new && !b->guessed)) {
			at++;
		} else if ((at & ~UINT64_C(3)) + 4 <= size && same_jump_entry(comparison, old_address, x + (at & ~UINT64_C(3)),
										 new_address, y + (at & ~UINT64_C(3)))) {
			at = (at & ~UINT64_C(3)) + 4;
		} else {
			return DIFFERENT_CONSTANT;
		}
		while (next_old < old->data_refs.count && old->data_refs.item[next_old].where < old_address + at)
			next_old++;
		while (next_new < new->data_refs.count && new->data_refs.item[next_new].where < new_address + at)
			next_new++;
	}
	return SAME;
}

#define TEXT_SURE 4	/* so many characters in a row are hardly numbers */
#define PADDING_MAX 32	/* alignment of constants */

/* First byte that is not zero at or behind the address; the section's end when there is none. */
static uint64_t behind_zeros(const struct image *image, uint64_t address)
{
	const struct section *section = image_section(image, address);

	while (section && address < section->span.end && !section->data[address - section->span.start])
		address++;
	return address;
}

/* The empty text: linkers let it be the end of another one. */
static bool is_empty_text(const struct image *image, uint64_t address)
{
	const struct section *section = image_section(image, address);
	const uint8_t *byte;

	if (!section || section->write || !section->data || address < section->span.start + TEXT_SURE)
		return false;
	byte = section->data + (address - section->span.start);
	if (byte[0])
		return false;
	for (int i = 1; i <= TEXT_SURE; i++)
		if (byte[-i] < 0x20 || byte[-i] > 0x7e)
			return false;
	return true;
}

bool is_lone_text(const struct program *program, uint64_t address)
{
	const char *text = text_at(program->image, address);
	uint64_t end = program_item_end(program, address), behind = text ? address + strlen(text) + 1 : address;
	uint64_t alignment = end & -end;

	if (!text || behind >= end)
		return text || is_empty_text(program->image, address);
	return strlen(text) >= TEXT_SURE && end - behind < PADDING_MAX && end - behind < alignment && behind_zeros(program->image, behind) >= end;
}

/* What one of two items has more than the other, behind so many bytes, is padding. (A table may have grown.) */
static bool only_padding_behind(const struct comparison *comparison, struct range old, struct range new, uint64_t size)
{
	return behind_zeros(comparison->old.image, old.start + size) >= old.end && behind_zeros(comparison->new.image, new.start + size) >= new.end;
}

/*
 * Behind a text, zeros may fill the space up to an aligned item that nothing refers to. If the two texts lie differently to that
 * alignment, there are more zeros in one build than in the other. The same item follows if it is the same from its start on.
 */
static bool same_behind_padding(struct comparison *comparison, struct range old, struct range new)
{
	for (uint64_t unit = 8; unit <= PADDING_MAX; unit *= 2) {
		struct range x = { (old.start + unit - 1) & ~(unit - 1), old.end }, y = { (new.start + unit - 1) & ~(unit - 1), new.end };
		uint64_t size;

		if ((old.start ^ new.start) % unit == 0 || behind_zeros(comparison->old.image, old.start) < x.start ||
		    behind_zeros(comparison->new.image, new.start) < y.start)
			continue;
		if (x.start >= x.end || y.start >= y.end)
			return true;
		size = x.end - x.start < y.end - y.start ? x.end - x.start : y.end - y.start;
		if (only_padding_behind(comparison, x, y, size) && compare_content(comparison, x.start, y.start, 0, size) == SAME)
			return true;
	}
	return false;
}

/* Of types and tables of classes, which lie one behind the other with nothing that refers to their starts, what they say; else to the next boundary. */
static uint64_t item_size(const struct program *program, uint64_t address)
{
	uint64_t record = class_record_size(program, address);

	return record ? record : program_item_end(program, address) - address;
}

static enum difference compare_items(struct comparison *comparison, uint64_t old_address, uint64_t new_address, uint64_t access)
{
	const struct section *a = image_section(comparison->old.image, old_address);
	const struct section *b = image_section(comparison->new.image, new_address);
	uint64_t old_size = item_size(&comparison->old, old_address), new_size = item_size(&comparison->new, new_address);
	uint64_t size = old_size < new_size ? old_size : new_size, done = 0;
	const char *old_class = class_of_table(&comparison->old, old_address), *new_class = class_of_table(&comparison->new, new_address);
	const char *old_text = text_at(comparison->old.image, old_address), *new_text = text_at(comparison->new.image, new_address);

	if (old_class ? !new_class || strcmp(old_class, new_class) != 0 : new_class != NULL)
		return DIFFERENT_CONSTANT;
	if (access) {
		size = access;
		if (access > a->span.end - old_address || access > b->span.end - new_address)
			return DIFFERENT_CONSTANT;
	} else if (old_text && new_text && strcmp(old_text, new_text) == 0) {
		/* The linker shares the tails of strings, so a boundary may lie inside of one. */
		done = strlen(old_text) + 1;
		if (done > TEXT_SURE && same_behind_padding(comparison, (struct range){ old_address + done, old_address + old_size },
							    (struct range){ new_address + done, new_address + new_size }))
			return SAME;
	} else if (is_empty_text(comparison->old.image, old_address) && is_empty_text(comparison->new.image, new_address)) {
		return SAME;
	}
	/* (A table's first element may begin with a text.) */
	if (!access && size >= done && old_size != new_size &&
	    !only_padding_behind(comparison, (struct range){ old_address, old_address + old_size }, (struct range){ new_address, new_address + new_size }, size))
		return old_text && new_text ? DIFFERENT_STRING : DIFFERENT_CONSTANT;
	if (done >= size)
		return SAME;

	enum difference difference = compare_content(comparison, old_address, new_address, done, size);

	if (difference && !access && same_text_table(comparison, old_address, section_bytes(comparison->old.image, old_address), new_address,
						     section_bytes(comparison->new.image, new_address), size))
		return SAME;
	return difference && old_text && new_text && !done ? DIFFERENT_STRING : difference;
}

enum difference constants_compare(struct comparison *comparison, uint64_t old_address, uint64_t new_address)
{
	/* Images are smaller than 4 GiB each: image_open() and the reach of references bound them. Answers are kept plus one;
	 * while one is being found (a structure that points back to itself) it counts as SAME. */
	uint64_t key = ((old_address - comparison->old.image->span.start) << 32 | (new_address - comparison->new.image->span.start)) + 1;
	uint8_t *known = memo_entry(&comparison->constants, key);
	enum difference difference;

	if (*known)
		return (enum difference)(*known - 1);
	*known = SAME + 1;
	difference = compare_items(comparison, old_address, new_address, 0);
	*memo_entry(&comparison->constants, key) = (uint8_t)(difference + 1);
	return difference;
}

static enum difference compare_slots(struct comparison *comparison, uint64_t old_target, uint64_t new_target)
{
	const struct data_ref *x = program_data_ref(&comparison->old, old_target), *y = program_data_ref(&comparison->new, new_target);

	/* Without relocations, what the file has there is what it is. */
	if (!x || !y)
		return !x && !y && compare_items(comparison, old_target, new_target, 8) == SAME ? SAME : DIFFERENT_CALLEE;
	return pointers_compare(comparison, x, y) ? DIFFERENT_CALLEE : SAME;
}

static bool section_is_unwind(const struct section *section)
{
	return section && strncmp(section->name, ".eh_frame", 9) == 0;
}

/* Where a section ends in a gap in one build, another may begin in the other. Both inside of the gap to the next one. */
static bool same_section_end(const struct comparison *comparison, uint64_t old_target, uint64_t new_target)
{
	const struct image *old = comparison->old.image, *new = comparison->new.image;

	if (image_section(old, old_target) && image_section(new, new_target))
		return false;
	for (size_t i = 0; i < old->sections.count; i++) {
		const struct section *section = &old->sections.item[i];
		const struct section *other = section->span.end <= old_target && old_target - section->span.end < PADDING_MAX
						      ? image_section_named(new, section->name) : NULL;

		if (other && other->span.end <= new_target && new_target - other->span.end < PADDING_MAX)
			return true;
	}
	return false;
}

static bool holds_data_ref(const struct program *program, uint64_t start, uint64_t size)
{
	size_t next = program_data_ref_index(program, start);

	return next < program->data_refs.count && program->data_refs.item[next].where < start + size;
}

/* What is loaded from there: hand-written code has its constants beside it, which belong to no function. */
static bool same_loaded(const struct comparison *comparison, uint64_t old_target, uint64_t new_target, uint8_t access)
{
	const uint8_t *x = image_bytes(comparison->old.image, old_target, access), *y = image_bytes(comparison->new.image, new_target, access);

	return access && x && y && memcmp(x, y, access) == 0 && !holds_data_ref(&comparison->old, old_target, access) &&
	       !holds_data_ref(&comparison->new, new_target, access);
}

enum difference references_compare(struct comparison *comparison, uint64_t old_target, uint64_t new_target, uint8_t kind, uint8_t access)
{
	const struct section *a = image_section(comparison->old.image, old_target);
	const struct section *b = image_section(comparison->new.image, new_target);
	uint64_t mapped;

	/* No code depends on the content of unwind tables: the address is the end of an array in the constants before
	 * them, or is handed to the unwinder by start-up code of static programs. */
	if (section_is_unwind(a) && section_is_unwind(b))
		return SAME;

	if (same_section_end(comparison, old_target, new_target))
		return SAME;
	if (!a || !b) {
		/* The ELF header, null of a weak symbol: compared by place. */
		if (variable_in_new(comparison, old_target, &mapped))
			return mapped == new_target ? SAME : DIFFERENT_VARIABLE;
		return a == b && old_target - comparison->old.image->span.start == new_target - comparison->new.image->span.start
			       ? SAME : DIFFERENT_VARIABLE;
	}
	if (a->execute != b->execute)
		return DIFFERENT_CALLEE;
	if (a->execute && kind == REF_LOAD && same_loaded(comparison, old_target, new_target, access))
		return SAME;
	if (a->execute)
		return compare_code(comparison, old_target, new_target);
	if (section_is_slots(a) && section_is_slots(b))
		return compare_slots(comparison, old_target, new_target);
	if (section_is_constant(a) && section_is_constant(b)) {
		const struct data_ref *x = copied_at(&comparison->old, old_target), *y = copied_at(&comparison->new, new_target);

		if (x || y)
			return copied_compare(x, old_target, y, new_target);
		if (kind == REF_LOAD && access)
			return compare_items(comparison, old_target, new_target, access);
		return tables_compare(comparison, old_target, new_target);
	}
	if (section_is_constant(a) != section_is_constant(b))
		return DIFFERENT_VARIABLE;
	return variable_in_new(comparison, old_target, &mapped) && mapped == new_target ? SAME : DIFFERENT_VARIABLE;
}

const struct section *section_of_constants_before(const struct image *image, uint64_t address)
{
	const struct section *at = image_section(image, address), *before = image_section(image, address - 1);

	return (!at || section_is_constant(at)) && before && section_is_constant(before) && !section_is_unwind(before) ? before : NULL;
}

enum difference constants_compare_before(struct comparison *comparison, uint64_t old_address, uint64_t new_address, uint64_t back)
{
	const struct section *a = section_of_constants_before(comparison->old.image, old_address);
	const struct section *b = section_of_constants_before(comparison->new.image, new_address);
	uint64_t old_offset = a ? old_address - a->span.start : 0, new_offset = b ? new_address - b->span.start : 0;

	if (back > old_offset && old_offset == new_offset)
		back = old_offset;
	if (back > old_offset || back > new_offset)
		return DIFFERENT_CONSTANT;
	return back ? compare_content(comparison, old_address - back, new_address - back, 0, back) : SAME;
}

enum difference code_refs_compare(struct comparison *comparison, const struct code_ref *x, const struct code_ref *y)
{
	enum difference difference = x->offset != y->offset ? DIFFERENT_VARIABLE
							    : references_compare(comparison, x->target, y->target, x->kind, x->access);
	uint64_t back = difference == SAME ? backward_reach(&comparison->old, x) : 0;

	if (!back)
		return difference;
	return back == backward_reach(&comparison->new, y) ? constants_compare_before(comparison, x->target, y->target, back)
							   : DIFFERENT_CONSTANT;
}
