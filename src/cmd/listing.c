/*
 * listing.c: decode both versions, name what instructions refer to, and line them up.
 *
 * In the new code, a field that a binding fills leads into the old image; every other one to an address of the new
 * image, in the slice. Instructions count as the same when their bytes are, but for references, and when what these lead to has the same name.
 */
#include "cmd/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pair.h"
#include "base/search.h"
#include "base/utf8.h"
#include "patch/verify.h"

#define TEXT_MAX 40	/* bytes of a string that are shown */
#define LOAD_MAX 16	/* of a number */

struct line {
	struct listing_side side;
	bool unnamed;		/* it refers to something that has no name in one build that it could have in the other */
	bool paired;
};

struct lines {
	ARRAY(struct line) list;
	ARRAY(uint64_t) hashes;		/* of the instructions without their references */
};

struct source {
	const struct patch *patch;
	const struct old_code *old;
	const struct arch *arch;
	const struct patch_function *function;
	bool new;
};

static uint64_t hash_bytes(const uint8_t *bytes, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);	/* FNV-1a */

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static char *quote(const uint8_t *bytes, uint64_t size)
{
	char text[2 * TEXT_MAX + 8] = "\"";
	size_t length = 0, used = 1;

	while (length < size && ((bytes[length] >= 0x20 && bytes[length] < 0x7f) || bytes[length] == '\n' || bytes[length] == '\t')) {
		if (length < TEXT_MAX && bytes[length] < 0x20)
			text[used++] = '\\';
		if (length < TEXT_MAX)
			text[used++] = bytes[length] == '\n' ? 'n' : bytes[length] == '\t' ? 't' : (char)bytes[length];
		length++;
	}
	if (!length || length == size || bytes[length])
		return NULL;
	snprintf(text + used, sizeof(text) - used, "%s\"", length > TEXT_MAX ? "..." : "");
	return text_copy(text);
}

/* A constant that is loaded, or the text at `bytes`, quoted, if it is one that ends inside of them; else NULL. free() it. */
static char *show_constant(const uint8_t *bytes, uint64_t size, uint8_t access)
{
	char digits[2 * LOAD_MAX + 1] = "";

	if (!access)
		return quote(bytes, size);
	if (access > LOAD_MAX || access > size)
		return NULL;
	for (int i = 0; i < access; i++)
		snprintf(digits + 2 * i, 3, "%02x", bytes[access - 1 - i]);
	return text_format("0x%s", digits);
}

static char *with_offset(const char *name, uint64_t offset)
{
	return offset ? text_format("%s+0x%lx", name, (unsigned long)offset) : text_copy(name);
}

/* NULL: it has no name. free() it. */
static char *name_in_old(const struct old_code *old, uint64_t address, uint8_t access)
{
	const struct program *program = &old->program;
	const struct relocation *slot = program_stub(program, address);
	const struct data_ref *ref = program_data_ref(program, address);
	const struct section *section = image_section(&old->image, address);
	const struct symbol *symbol;
	uint32_t function = program_function(program, address);
	char *name, *text;

	if (slot && slot->symbol)
		return text_copy(slot->symbol);
	if (ref && ref->symbol)
		return text_copy(ref->symbol);
	if (function != NO_FUNCTION) {
		name = program_function_name(program, function);
		text = with_offset(name, address - program->functions.item[function].entry);
		free(name);
		return text;
	}
	symbol = image_object(&old->image, address);
	if (symbol)
		return with_offset(symbol->name, address - symbol->value);
	return section && section->data && !section->write
		       ? show_constant(section->data + (address - section->span.start), section->span.end - address, access) : NULL;
}

/* The same for a place of the slice, at its address of the new image. */
static char *name_in_slice(const struct patch *patch, uint64_t address, uint8_t access)
{
	const struct patch_segment *segment = patch_find_segment(patch, (struct range){ address, address });

	for (size_t i = 0; i < patch->functions.count; i++)
		if (patch->functions.item[i].new_entry == address && patch->functions.item[i].new_ranges.count)
			return text_copy(patch->functions.item[i].name);
	return segment && !(segment->flags & SEGMENT_EXECUTE)
		       ? show_constant(segment->data + (address - segment->address), segment->size - (address - segment->address), access) : NULL;
}

static bool inside(const struct source *source, uint64_t address)
{
	const struct range *range = source->new ? source->function->new_ranges.item : source->function->old_ranges.item;
	size_t count = source->new ? source->function->new_ranges.count : source->function->old_ranges.count;

	for (size_t i = 0; i < count; i++)
		if (range_holds(range[i], address))
			return true;
	return false;
}

static const struct patch_binding *binding_at(const struct patch *patch, uint64_t where)
{
	size_t index = array_search(&patch->bindings, where, where);

	return index < patch->bindings.count && patch->bindings.item[index].where == where ? &patch->bindings.item[index] : NULL;
}

/* What the reference leads to; NULL: nothing outside of the function that could be named. *unnamed: it has no name. free() it. */
static char *name_reference(const struct source *source, uint64_t address, const struct insn_ref *ref, bool *unnamed)
{
	const struct patch_binding *binding = source->new ? binding_at(source->patch, address + ref->offset) : NULL;
	uint64_t target = binding ? binding->target : ref->target;
	bool in_old = binding ? binding->anchor == ANCHOR_OLD : !source->new;
	uint8_t access = ref->kind == REF_LOAD ? ref->access : 0;
	char *name;

	if (!binding && (ref->kind == REF_NONE || inside(source, target)))
		return NULL;
	if (!binding && ref->kind == REF_ABSOLUTE &&
	    (source->new || !source->old->image.fixed_address || !image_section(&source->old->image, target)))
		return NULL;
	name = in_old ? name_in_old(source->old, target, access) : name_in_slice(source->patch, target, access);
	if (name)
		return name;
	*unnamed = true;
	return text_format("%s+0x%lx", in_old ? source->old->image.name : "new", (unsigned long)target);
}

/* What stands in the place of a reference means nothing: neither is it compared. */
static uint64_t hash_masked(const struct source *source, const uint8_t *code, uint64_t address, const struct insn *insn)
{
	uint8_t bytes[16];

	memcpy(bytes, code, insn->length);
	for (int i = 0; i < 2; i++)
		if (insn->ref[i].kind != REF_NONE &&
		    (insn->ref[i].kind != REF_ABSOLUTE || (source->new && binding_at(source->patch, address + insn->ref[i].offset))))
			memset(bytes + insn->ref[i].offset, 0, insn->ref[i].size);
	return hash_bytes(bytes, insn->length);
}

static void add_line(const struct source *source, const uint8_t *code, uint64_t address, const struct insn *insn, struct lines *lines)
{
	char text[128], *name = NULL, *second;
	struct line *line = array_add(&lines->list);
	bool unnamed = false;

	if (!source->arch->print(code, insn->length, address, text, sizeof(text)))
		memcpy(text, "?", 2);
	for (int i = 0; i < 2; i++) {
		second = name_reference(source, address, &insn->ref[i], &unnamed);
		if (name && second) {
			char *both = text_format("%s, %s", name, second);

			free(name);
			free(second);
			second = both;
		}
		name = second ? second : name;
	}
	*line = (struct line){ .side = { address, text_copy(text), name ? utf8_make_printable(name) : NULL }, .unnamed = unnamed };
	*array_add(&lines->hashes) = hash_masked(source, code, address, insn);
}

static void add_range(const struct source *source, const uint8_t *code, struct range range, struct lines *lines)
{
	uint64_t address = range.start;
	struct insn insn;

	while (code && address < range.end && source->arch->decode(code, range.end - address, address, &insn)) {
		add_line(source, code, address, &insn, lines);
		code += insn.length;
		address += insn.length;
	}
}

static void collect_old(struct source *source, struct lines *lines)
{
	source->new = false;
	for (size_t i = 0; i < source->function->old_ranges.count; i++) {
		struct range range = source->function->old_ranges.item[i];

		add_range(source, image_bytes(&source->old->image, range.start, range.end - range.start), range, lines);
	}
}

static void collect_new(struct source *source, struct lines *lines)
{
	source->new = true;
	for (size_t i = 0; i < source->function->new_ranges.count; i++) {
		struct range range = source->function->new_ranges.item[i];
		const struct patch_segment *segment = patch_find_segment(source->patch, range);

		add_range(source, segment ? segment->data + (range.start - segment->address) : NULL, range, lines);
	}
}

static bool same_names(const struct line *a, const struct line *b)
{
	if (a->unnamed && b->unnamed)
		return true;
	return !a->side.names || !b->side.names ? a->side.names == b->side.names : strcmp(a->side.names, b->side.names) == 0;
}

/* What has no counterpart stands beside what has none either. */
static void add_rows(struct lines *old, struct lines *new, const size_t *paired, struct listing *listing)
{
	size_t i = 0, k = 0;

	while (i < old->list.count || k < new->list.count) {
		struct line *a = i < old->list.count ? &old->list.item[i] : NULL, *b = k < new->list.count ? &new->list.item[k] : NULL;
		bool a_waits = !a || paired[i], b_waits = !b || b->paired;

		if (a_waits && b_waits) {
			*array_add(&listing->rows) = (struct listing_row){ same_names(a, b) ? ' ' : '|', a->side, b->side };
			i++, k++;
			continue;
		}
		*array_add(&listing->rows) = (struct listing_row){ a_waits ? '>' : b_waits ? '<' : '|',
								   a_waits ? (struct listing_side){ 0 } : a->side,
								   b_waits ? (struct listing_side){ 0 } : b->side };
		i += !a_waits;
		k += !b_waits;
	}
}

void listing_make(const struct patch *patch, const struct patch_function *function, const struct old_code *old, struct listing *listing)
{
	struct source source = { .patch = patch, .old = old, .arch = arch_by_machine(patch->machine), .function = function };
	struct lines a = { 0 }, b = { 0 };
	size_t *paired;

	*listing = (struct listing){ 0 };
	collect_old(&source, &a);
	collect_new(&source, &b);
	paired = memory_zeroed(a.list.count + 1, sizeof(*paired));
	pair_sequences(a.hashes.item, a.hashes.count, b.hashes.item, b.hashes.count, paired);
	for (size_t i = 0; i < a.list.count; i++)
		if (paired[i])
			b.list.item[paired[i] - 1].paired = true;
	add_rows(&a, &b, paired, listing);
	free(paired);
	array_free(&a.list);
	array_free(&a.hashes);
	array_free(&b.list);
	array_free(&b.hashes);
}

void listing_free(struct listing *listing)
{
	for (size_t i = 0; i < listing->rows.count; i++) {
		free(listing->rows.item[i].old.text);
		free(listing->rows.item[i].old.names);
		free(listing->rows.item[i].new.text);
		free(listing->rows.item[i].new.names);
	}
	array_free(&listing->rows);
}

#define COLUMN 60	/* of the old code */

static int format_side(const struct listing_side *side, char *out, size_t room)
{
	if (!side->text)
		return snprintf(out, room, "%s", "");
	return snprintf(out, room, "%8lx  %s%s%s", (unsigned long)side->address, side->text, side->names ? "  ; " : "",
			side->names ? side->names : "");
}

void listing_print(const struct listing *listing)
{
	char old[COLUMN + 1], new[512];

	for (size_t i = 0; i < listing->rows.count; i++) {
		const struct listing_row *row = &listing->rows.item[i];

		format_side(&row->old, old, sizeof(old));
		format_side(&row->new, new, sizeof(new));
		printf(*new ? "  %-*s %c %s\n" : "  %-*s %c\n", COLUMN, old, row->mark, new);
	}
}
