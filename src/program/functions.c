/*
 * functions.c: which ranges are one function.
 *
 * A compiler moves code that is rarely run into a part of its own (.cold), with its own FDE. Control
 * reaches it by jumps only, and while a thread is there only the part's addresses are on its stack, so it
 * must count as its parent (KERNEL livepatch lacks this; "consider .cold" on its list). A range joins another when
 *  - a jump between them leads elsewhere than to a start (only parts of one function do that), or
 *  - a jump leads to its start and its FDE begins with a frame already built, or
 *  - nothing but jumps of one single function leads to it.
 * Entries of jump tables are jumps.
 * The last rule also joins a static function that is only ever tail-called from one place. That is
 * harmless: it makes the parent larger, never smaller.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "program/analysis.h"

struct joining {
	struct program *program;
	uint32_t *parent;	/* union-find over ranges */
	bool *foreign;		/* range is referred to by more than jumps of one function */
	uint32_t *jumper;	/* range that jumps to this one's start, or NO_FUNCTION */
};

static uint32_t root(struct joining *joining, uint32_t range)
{
	while (joining->parent[range] != range)
		range = joining->parent[range] = joining->parent[joining->parent[range]];
	return range;
}

static uint32_t range_index(const struct program *program, uint64_t address)
{
	const struct code_range *range = program_range(program, address);

	return range ? (uint32_t)(range - program->ranges.item) : NO_FUNCTION;
}

static void join(struct joining *joining, uint32_t from, uint32_t to)
{
	joining->parent[root(joining, to)] = root(joining, from);
}

/* A jump from `from` to the address. */
static void follow_jump(struct joining *joining, uint32_t from, uint64_t address)
{
	const struct program *program = joining->program;
	uint32_t to = range_index(program, address);
	const struct code_range *target;

	if (to == NO_FUNCTION || to == from)
		return;
	target = &program->ranges.item[to];
	/* Text without FDEs is cut at every target, so a start means nothing there. */
	if (program->ranges.item[from].covered && target->covered && (address != target->span.start || target->cold_start))
		join(joining, from, to);
	else if (joining->jumper[to] == NO_FUNCTION || root(joining, joining->jumper[to]) == root(joining, from))
		joining->jumper[to] = from;
	else
		joining->foreign[to] = true;
}

/*
 * Entries of what may be a jump table at the address: 32-bit offsets from its start, as long as they lead into code, or
 * guessed pointers. A table read too far joins too much, which is harmless.
 */
static void follow_table(struct joining *joining, uint32_t from, uint64_t table)
{
	const struct program *program = joining->program;
	const struct section *section = image_section(program->image, table);
	uint64_t end;

	if (!section || section->execute || section->write || !section->data)
		return;
	end = program_item_end(program, table);
	for (uint64_t at = table; at + 4 <= end && at + 4 <= section->span.end; at += 4) {
		uint64_t target = table + (uint64_t)(int64_t)(int32_t)load32(section->data + (at - section->span.start));

		if (!program_range(program, target))
			break;
		follow_jump(joining, from, target);
	}
	for (size_t i = program_data_ref_index(program, table); i < program->data_refs.count && program->data_refs.item[i].where < end; i++) {
		uint32_t to = range_index(program, program->data_refs.item[i].target);

		if (to != NO_FUNCTION && program->ranges.item[to].span.start != program->data_refs.item[i].target)
			follow_jump(joining, from, program->data_refs.item[i].target);
	}
}

static void join_jumps(struct joining *joining)
{
	const struct program *program = joining->program;

	for (uint32_t from = 0; from < program->ranges.count; from++) {
		const struct code_range *range = &program->ranges.item[from];

		for (uint32_t i = 0; i < range->ref_count; i++) {
			const struct code_ref *ref = &program->refs.item[range->first_ref + i];
			uint32_t to = range_index(program, ref->target);

			if (ref->kind == REF_BRANCH && ref->insn_kind != INSN_CALL)
				follow_jump(joining, from, ref->target);
			else if (to != NO_FUNCTION && to != from)
				joining->foreign[to] = true;
			else if (range->indirect_jump && to == NO_FUNCTION)
				follow_table(joining, from, ref->target);
		}
	}
}

static void mark_foreign(struct joining *joining, uint64_t address)
{
	uint32_t range = range_index(joining->program, address);

	if (range != NO_FUNCTION)
		joining->foreign[range] = true;
}

/* A word like those of a jump table of absolute addresses: into the middle of code that jumps by one. */
static bool leads_into_switch(const struct program *program, const struct data_ref *ref)
{
	uint32_t range = range_index(program, ref->target);

	return program->image->fixed_address && range != NO_FUNCTION && program->ranges.item[range].indirect_jump &&
	       program->ranges.item[range].span.start != ref->target;
}

static void mark_named(struct joining *joining)
{
	const struct program *program = joining->program;
	const struct image *image = program->image;

	for (size_t i = 0; i < program->data_refs.count; i++)
		if (!leads_into_switch(program, &program->data_refs.item[i]))
			mark_foreign(joining, program->data_refs.item[i].target);
	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].defined && image->symbols.item[i].type != STT_TLS && image->symbols.item[i].dynamic)
			mark_foreign(joining, image->symbols.item[i].value);
	mark_foreign(joining, image->entry);
}

static void join_tails(struct joining *joining)
{
	const struct program *program = joining->program;

	for (uint32_t to = 0; to < program->ranges.count; to++) {
		const struct code_range *range = &program->ranges.item[to];
		uint32_t from = joining->jumper[to];

		if (from != NO_FUNCTION && !joining->foreign[to] && range->covered && program->ranges.item[from].covered)
			join(joining, from, to);
	}
}

/* FNV-1a over the hashes of the parts. */
static uint64_t hash_parts(const struct program *program, const struct function *function)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < function->parts.count; i++)
		hash = (hash ^ program->ranges.item[function->parts.item[i]].hash) * UINT64_C(0x100000001b3);
	return hash;
}

/* How much a part looks like the one with the entry: called or pointed to from outside; then frame not built yet; then
 * not jumped to at its start; then size decides. */
static int entry_rank(const struct joining *joining, uint32_t range)
{
	return joining->foreign[range] * 4 + !joining->program->ranges.item[range].cold_start * 2 +
	       (joining->jumper[range] == NO_FUNCTION);
}

static bool is_better_entry(const struct joining *joining, uint32_t range, uint32_t other)
{
	int rank = entry_rank(joining, range), other_rank = entry_rank(joining, other);
	const struct range *a = &joining->program->ranges.item[range].span, *b = &joining->program->ranges.item[other].span;

	return rank != other_rank ? rank > other_rank : a->end - a->start > b->end - b->start;
}

/* Entry part of every group of joined ranges, at the index of the group's root. */
static uint32_t *choose_entries(struct joining *joining)
{
	uint32_t count = (uint32_t)joining->program->ranges.count;
	uint32_t *entry = memory_zeroed(count, sizeof(*entry));

	for (uint32_t i = 0; i < count; i++)
		entry[i] = NO_FUNCTION;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t group = root(joining, i);

		if (entry[group] == NO_FUNCTION || is_better_entry(joining, i, entry[group]))
			entry[group] = i;
	}
	return entry;
}

static void build_functions(struct joining *joining)
{
	struct program *program = joining->program;
	uint32_t *entry = choose_entries(joining);

	for (uint32_t i = 0; i < program->ranges.count; i++) {
		if (entry[root(joining, i)] != i)
			continue;
		struct function *function = array_add(&program->functions);

		*function = (struct function){ .entry = program->ranges.item[i].span.start };
		*array_add(&function->parts) = i;
		program->ranges.item[i].function = (uint32_t)program->functions.count - 1;
	}
	for (uint32_t i = 0; i < program->ranges.count; i++) {
		uint32_t first = entry[root(joining, i)];
		struct function *function;

		if (first == i)
			continue;
		program->ranges.item[i].function = program->ranges.item[first].function;
		function = &program->functions.item[program->ranges.item[i].function];
		function->more_entries = function->more_entries || joining->foreign[i];
		*array_add(&function->parts) = i;
	}
	for (size_t i = 0; i < program->functions.count; i++)
		program->functions.item[i].hash = hash_parts(program, &program->functions.item[i]);
	free(entry);
}

void functions_join(struct program *program)
{
	struct joining joining = {
		.program = program,
		.parent = memory_zeroed(program->ranges.count, sizeof(uint32_t)),
		.foreign = memory_zeroed(program->ranges.count, sizeof(bool)),
		.jumper = memory_zeroed(program->ranges.count, sizeof(uint32_t)),
	};

	for (uint32_t i = 0; i < program->ranges.count; i++) {
		joining.parent[i] = i;
		joining.jumper[i] = NO_FUNCTION;
	}
	join_jumps(&joining);
	mark_named(&joining);
	join_tails(&joining);
	build_functions(&joining);
	free(joining.parent);
	free(joining.foreign);
	free(joining.jumper);
}

void functions_name(struct program *program)
{
	const struct image *image = program->image;

	for (size_t i = 0; i < image->symbols.count; i++) {
		const struct symbol *symbol = &image->symbols.item[i];
		uint32_t index = symbol->defined && symbol->type != STT_TLS ? program_function(program, symbol->value) : NO_FUNCTION;

		if (index == NO_FUNCTION || program->functions.item[index].entry != symbol->value || symbol->type == STT_SECTION ||
		    !*symbol->name)
			continue;
		struct function *function = &program->functions.item[index];

		/* Of several names (aliases) the one that the interface shows, then the one first in the alphabet. */
		if (!function->name || (symbol->dynamic && !function->exported) ||
		    (symbol->dynamic == function->exported && strcmp(symbol->name, function->name) < 0))
			function->name = symbol->name;
		function->exported = function->exported || symbol->dynamic;
	}
}
