/*
 * match.c: which old function is which new one.
 *
 * First by exported name, by unique symbol name, and by unique content. Then references decide: where code that is alike
 * in both builds calls X in the old one and Y in the new one, Y is what X's callers would call now, whatever X and Y look
 * like. (Content alone would pair a function that got a wrapper with its own body, and bypass the wrapper.)
 * What only changed functions refer to is paired by aligning their instructions.
 */
#include <elf.h>
#include <stdlib.h>

#include "diff/align.h"
#include "diff/comparison.h"

#define ROUNDS_MAX 32

struct matching {
	struct comparison *comparison;
	bool *pinned;		/* per old function: matched by its interface, votes do not change it */
	struct vote_map functions;	/* indices + 1 */
};

static bool same_bytes(const struct comparison *comparison, const struct code_range *old, const struct code_range *new)
{
	const uint8_t *a = program_code(&comparison->old, old), *b = program_code(&comparison->new, new);
	uint64_t size = old->span.end - old->span.start, at = 0;

	for (uint32_t i = 0; i < old->ref_count; i++) {
		const struct code_ref *x = &comparison->old.refs.item[old->first_ref + i];
		const struct code_ref *y = &comparison->new.refs.item[new->first_ref + i];
		uint64_t field = x->where - old->span.start;

		if (field != y->where - new->span.start || x->size != y->size || x->kind != y->kind || field < at ||
		    memcmp(a + at, b + at, field - at) != 0)
			return false;
		at = field + x->size;
	}
	return memcmp(a + at, b + at, size - at) == 0;
}

static bool functions_alike(const struct comparison *comparison, uint32_t old, uint32_t new)
{
	const struct function *f = &comparison->old.functions.item[old], *g = &comparison->new.functions.item[new];

	if (f->hash != g->hash || f->parts.count != g->parts.count)
		return false;
	for (size_t i = 0; i < f->parts.count; i++) {
		const struct code_range *a = &comparison->old.ranges.item[f->parts.item[i]];
		const struct code_range *b = &comparison->new.ranges.item[g->parts.item[i]];

		if (a->hash != b->hash || a->span.end - a->span.start != b->span.end - b->span.start ||
		    a->ref_count != b->ref_count || !same_bytes(comparison, a, b) || !handlers_alike(comparison, a, b))
			return false;
	}
	return true;
}

static void unpair(struct comparison *comparison, uint32_t old)
{
	if (comparison->new_of[old] != NO_FUNCTION)
		comparison->old_of[comparison->new_of[old]] = NO_FUNCTION;
	comparison->new_of[old] = NO_FUNCTION;
	comparison->alike[old] = false;
}

static void pair(struct comparison *comparison, uint32_t old, uint32_t new)
{
	unpair(comparison, old);
	if (comparison->old_of[new] != NO_FUNCTION)
		unpair(comparison, comparison->old_of[new]);
	comparison->new_of[old] = new;
	comparison->old_of[new] = old;
	comparison->alike[old] = functions_alike(comparison, old, new);
}

/* --- by name --- */

struct named {
	const char *name, *version;	/* "" where versions do not count */
	uint32_t function;
	bool dynamic;
};

struct names {
	struct named *item;
	size_t count, room;
};

static int compare_labels(const struct named *a, const struct named *b)
{
	int order = strcmp(a->name, b->name);

	return order ? order : strcmp(a->version, b->version);
}

static int compare_names(const void *one, const void *other)
{
	const struct named *a = one, *b = other;
	int order = compare_labels(a, b);

	if (order)
		return order;
	return (a->function > b->function) - (a->function < b->function);
}

/* Names that mean one function only; or, of symbols that have versions, names with these. */
static void collect_names(const struct program *program, bool versions, struct names *names)
{
	size_t kept = 0;

	for (size_t i = 0; i < program->image->symbols.count; i++) {
		const struct symbol *symbol = &program->image->symbols.item[i];
		uint32_t function = symbol->defined && symbol->type != STT_TLS && *symbol->name ? program_function(program, symbol->value) : NO_FUNCTION;

		if (function != NO_FUNCTION && program->functions.item[function].entry == symbol->value && symbol->type != STT_SECTION &&
		    (symbol->version || !versions))
			*array_add(names) = (struct named){ symbol->name, versions ? symbol->version : "", function, symbol->dynamic };
	}
	if (names->count)
		qsort(names->item, names->count, sizeof(*names->item), compare_names);
	for (size_t i = 0; i < names->count;) {
		struct named named = names->item[i];
		bool unique = true;
		size_t next = i + 1;

		for (; next < names->count && compare_labels(&names->item[next], &named) == 0; next++) {
			unique = unique && names->item[next].function == named.function;
			named.dynamic = named.dynamic || names->item[next].dynamic;
		}
		if (unique)
			names->item[kept++] = named;
		i = next;
	}
	names->count = kept;
}

static void pair_names(struct matching *matching, bool versions)
{
	struct comparison *comparison = matching->comparison;
	struct names old = { 0 }, new = { 0 };

	collect_names(&comparison->old, versions, &old);
	collect_names(&comparison->new, versions, &new);
	for (int dynamic = 1; dynamic >= 0; dynamic--)
		for (size_t i = 0, k = 0; i < old.count && k < new.count;) {
			int order = compare_labels(&old.item[i], &new.item[k]);
			uint32_t f = old.item[i].function, g = new.item[k].function;

			if (!order && old.item[i].dynamic == dynamic && new.item[k].dynamic == dynamic &&
			    comparison->new_of[f] == NO_FUNCTION && comparison->old_of[g] == NO_FUNCTION) {
				pair(comparison, f, g);
				matching->pinned[f] = dynamic;
			}
			i += order <= 0;
			k += order >= 0;
		}
	array_free(&old);
	array_free(&new);
}

static void pair_entry(struct matching *matching)
{
	struct comparison *comparison = matching->comparison;
	uint32_t f = program_function(&comparison->old, comparison->old.image->entry);
	uint32_t g = program_function(&comparison->new, comparison->new.image->entry);

	if (f == NO_FUNCTION || g == NO_FUNCTION || comparison->old.image->library)
		return;
	pair(comparison, f, g);
	matching->pinned[f] = true;
}

/* --- by content --- */

struct content {
	uint64_t hash;
	uint32_t function;
};

static int compare_content(const void *one, const void *other)
{
	const struct content *a = one, *b = other;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->function > b->function) - (a->function < b->function);
}

static struct content *sorted_content(const struct program *program)
{
	struct content *content = memory_zeroed(program->functions.count, sizeof(*content));

	for (uint32_t i = 0; i < program->functions.count; i++)
		content[i] = (struct content){ program->functions.item[i].hash, i };
	qsort(content, program->functions.count, sizeof(*content), compare_content);
	return content;
}

static bool unique(const struct content *content, size_t count, size_t i)
{
	return (i == 0 || content[i - 1].hash != content[i].hash) && (i + 1 == count || content[i + 1].hash != content[i].hash);
}

static void pair_content(struct comparison *comparison)
{
	struct content *old = sorted_content(&comparison->old), *new = sorted_content(&comparison->new);
	size_t old_count = comparison->old.functions.count, new_count = comparison->new.functions.count;

	for (size_t i = 0, k = 0; i < old_count && k < new_count;) {
		uint32_t f = old[i].function, g = new[k].function;

		if (old[i].hash == new[k].hash && unique(old, old_count, i) && unique(new, new_count, k) &&
		    comparison->new_of[f] == NO_FUNCTION && comparison->old_of[g] == NO_FUNCTION &&
		    functions_alike(comparison, f, g))
			pair(comparison, f, g);

		uint64_t a = old[i].hash, b = new[k].hash;

		i += a <= b;
		k += b <= a;
	}
	free(old);
	free(new);
}

/* --- by who refers to it --- */

static uint32_t function_at_entry(const struct program *program, uint64_t address)
{
	uint32_t function = program_function(program, address);

	return function != NO_FUNCTION && program->functions.item[function].entry == address ? function : NO_FUNCTION;
}

static bool in_data(const struct program *program, uint64_t address)
{
	const struct section *section = image_section(program->image, address);

	return section && !section->execute;
}

/* The function of this image that the stub at the address leads to, or that chooses what it leads to (IFUNC). */
static uint32_t function_behind(const struct program *program, uint64_t address)
{
	const struct relocation *slot = program_stub(program, address);

	return slot && !slot->symbol ? function_at_entry(program, (uint64_t)slot->addend) : NO_FUNCTION;
}

void match_vote(const struct comparison *comparison, uint64_t from, uint64_t to, struct vote_map *functions, struct vote_map *data)
{
	uint32_t f = function_at_entry(&comparison->old, from), g = function_at_entry(&comparison->new, to);

	if (functions && f == NO_FUNCTION && g == NO_FUNCTION) {
		f = function_behind(&comparison->old, from);
		g = function_behind(&comparison->new, to);
	}
	if (f != NO_FUNCTION && g != NO_FUNCTION && functions)
		votes_add(functions, f + UINT64_C(1), g + UINT64_C(1));
	else if (in_data(&comparison->old, from) && in_data(&comparison->new, to))
		votes_add(data, from, to);
}

bool ref_pair_next(const struct comparison *comparison, uint32_t old, struct ref_pair *pair)
{
	const struct function *f = &comparison->old.functions.item[old];
	const struct function *g = &comparison->new.functions.item[comparison->new_of[old]];

	for (; pair->part < f->parts.count; pair->part++, pair->next = 0) {
		const struct code_range *a = &comparison->old.ranges.item[f->parts.item[pair->part]];
		const struct code_range *b = &comparison->new.ranges.item[g->parts.item[pair->part]];

		if (pair->next == a->ref_count)
			continue;
		pair->old = &comparison->old.refs.item[a->first_ref + pair->next];
		pair->new = &comparison->new.refs.item[b->first_ref + pair->next];
		pair->next++;
		return true;
	}
	return false;
}

static void vote_by_code(const struct comparison *comparison, uint32_t old, struct vote_map *functions, struct vote_map *data)
{
	const struct function *f = &comparison->old.functions.item[old], *g = &comparison->new.functions.item[comparison->new_of[old]];
	struct ref_pair pair = { 0 };

	while (ref_pair_next(comparison, old, &pair))
		match_vote(comparison, pair.old->target, pair.new->target, functions, data);
	for (size_t i = 0; i < f->parts.count; i++)
		handlers_vote(comparison, &comparison->old.ranges.item[f->parts.item[i]], &comparison->new.ranges.item[g->parts.item[i]], data);
}

/* Pointers at matched places of writable and relocated data. */
static void vote_by_data(const struct comparison *comparison, struct vote_map *functions, struct vote_map *data)
{
	const struct program *old = &comparison->old, *new = &comparison->new;

	for (size_t i = 0; i < old->data_refs.count; i++) {
		const struct data_ref *ref = &old->data_refs.item[i], *other;
		uint64_t where;

		if (!ref->target || !variable_in_new(comparison, ref->where, &where) || !(other = program_data_ref(new, where)))
			continue;
		if (other->target)
			match_vote(comparison, ref->target, other->target, functions, data);
	}
}

static bool apply_votes(struct matching *matching)
{
	struct comparison *comparison = matching->comparison;
	bool changed = false;

	for (size_t i = 0; i < matching->functions.winners.count; i++) {
		const struct vote *winner = &matching->functions.winners.item[i];
		uint32_t f = (uint32_t)(winner->from - 1), g = (uint32_t)(winner->to - 1), rival = comparison->old_of[g];

		if (comparison->new_of[f] == g || matching->pinned[f])
			continue;
		if (rival != NO_FUNCTION) {
			const struct vote *other = votes_winner(&matching->functions, rival + UINT64_C(1));

			if (matching->pinned[rival] || (other && other->to == winner->to && other->count >= winner->count))
				continue;
		}
		pair(comparison, f, g);
		changed = true;
	}
	return changed;
}

/* One round of voting by all functions that are alike; true when a pair changed. */
static bool vote_round(struct matching *matching)
{
	struct comparison *comparison = matching->comparison;
	struct vote_map data = { 0 };

	votes_clear(&matching->functions);
	for (uint32_t f = 0; f < comparison->old.functions.count; f++)
		if (comparison->alike[f])
			vote_by_code(comparison, f, &matching->functions, &data);
	votes_count(&data);
	votes_clear(&comparison->data);
	comparison->data = data;
	members_vote(comparison, &matching->functions, &comparison->data);
	votes_count(&comparison->data);
	/* Pointers found by way of these votes vote for functions, and for data in the next look. */
	vote_by_data(comparison, &matching->functions, &comparison->data);
	votes_count(&comparison->data);
	votes_count(&matching->functions);
	return apply_votes(matching);
}

/* --- by aligned references of changed functions --- */

static void vote_aligned(void *context, const struct code_ref *old, const struct code_ref *new)
{
	struct matching *matching = context;
	struct comparison *comparison = matching->comparison;
	uint32_t f = function_at_entry(&comparison->old, old->target), g = function_at_entry(&comparison->new, new->target);

	if (f != NO_FUNCTION && g != NO_FUNCTION && comparison->new_of[f] == NO_FUNCTION && comparison->old_of[g] == NO_FUNCTION)
		votes_add(&matching->functions, f + UINT64_C(1), g + UINT64_C(1));
}

/* Does the function refer to one that has no counterpart? `counterpart_of`: of the program's functions. */
static bool refers_to_unpaired(const struct program *program, uint32_t function, const uint32_t *counterpart_of)
{
	const struct function *f = &program->functions.item[function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &program->ranges.item[f->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++) {
			uint32_t target = function_at_entry(program, program->refs.item[range->first_ref + i].target);

			if (target != NO_FUNCTION && counterpart_of[target] == NO_FUNCTION)
				return true;
		}
	}
	return false;
}

/* Pair what nothing else paired, where all aligned references agree. */
static bool pair_aligned(struct matching *matching)
{
	struct comparison *comparison = matching->comparison;
	bool changed = false;

	votes_clear(&matching->functions);
	for (uint32_t f = 0; f < comparison->old.functions.count; f++)
		if (comparison->new_of[f] != NO_FUNCTION && !comparison->alike[f] &&
		    refers_to_unpaired(&comparison->old, f, comparison->new_of) &&
		    refers_to_unpaired(&comparison->new, comparison->new_of[f], comparison->old_of))
			align_references(comparison, f, comparison->new_of[f], ALIGN_BYTES, vote_aligned, matching);
	votes_count(&matching->functions);
	for (size_t i = 0; i < matching->functions.votes.count; i++) {
		const struct vote *vote = &matching->functions.votes.item[i];
		const struct vote *to = votes_winner(&matching->functions, vote->from);
		const struct vote *from = votes_reverse(&matching->functions, vote->to);
		bool unanimous = (i == 0 || vote[-1].from != vote->from) &&
				 (i + 1 == matching->functions.votes.count || vote[1].from != vote->from);
		uint32_t f = (uint32_t)(vote->from - 1), g = (uint32_t)(vote->to - 1);

		if (unanimous && to && to->to == vote->to && from && from->to == vote->from &&
		    comparison->new_of[f] == NO_FUNCTION && comparison->old_of[g] == NO_FUNCTION) {
			pair(comparison, f, g);
			changed = true;
		}
	}
	return changed;
}

void match_functions(struct comparison *comparison)
{
	struct matching matching = {
		.comparison = comparison,
		.pinned = memory_zeroed(comparison->old.functions.count, sizeof(bool)),
	};

	for (size_t i = 0; i < comparison->old.functions.count; i++)
		comparison->new_of[i] = NO_FUNCTION;
	for (size_t i = 0; i < comparison->new.functions.count; i++)
		comparison->old_of[i] = NO_FUNCTION;
	pair_entry(&matching);
	/* (A name may have a function for each of its versions.) */
	pair_names(&matching, true);
	pair_names(&matching, false);
	pair_content(comparison);
	for (int round = 0; round < ROUNDS_MAX; round++)
		if (!vote_round(&matching) && !pair_aligned(&matching))
			break;
	members_part(comparison);
	votes_clear(&matching.functions);
	free(matching.pinned);
}

void match_data(struct comparison *comparison)
{
	votes_clear(&comparison->data);
	for (uint32_t f = 0; f < comparison->old.functions.count; f++)
		if (comparison->alike[f] && !comparison->changed[f])
			vote_by_code(comparison, f, NULL, &comparison->data);
	members_vote(comparison, NULL, &comparison->data);
	votes_count(&comparison->data);
	vote_by_data(comparison, NULL, &comparison->data);
	votes_count(&comparison->data);
	memo_free(&comparison->constants);
}

static void vote_aligned_data(void *context, const struct code_ref *old, const struct code_ref *new)
{
	struct comparison *comparison = context;

	if (!in_data(&comparison->old, old->target) || !in_data(&comparison->new, new->target))
		return;
	votes_add(&comparison->aligned, old->target, new->target);
	votes_add(&comparison->aligned_back, new->target, old->target);
}

static void mark_called(struct comparison *comparison, uint64_t target)
{
	uint32_t function = function_at_entry(&comparison->old, target);

	if (function != NO_FUNCTION)
		comparison->called[function] = true;
}

void match_evidence(struct comparison *comparison)
{
	const struct program *old = &comparison->old;

	votes_clear(&comparison->aligned);
	votes_clear(&comparison->aligned_back);
	for (uint32_t f = 0; f < old->functions.count; f++) {
		struct ref_pair pair = { 0 };

		if (comparison->changed[f])
			align_references(comparison, f, comparison->new_of[f], ALIGN_BYTES, vote_aligned_data, comparison);
		while (comparison->alike[f] && !comparison->changed[f] && ref_pair_next(comparison, f, &pair))
			mark_called(comparison, pair.old->target);
		if (old->functions.item[f].exported)
			comparison->called[f] = true;
	}
	for (size_t i = 0; i < old->data_refs.count; i++)
		mark_called(comparison, old->data_refs.item[i].target);
	votes_count(&comparison->aligned);
	votes_count(&comparison->aligned_back);
}
