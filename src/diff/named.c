#include "diff/named.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "diff/comparison.h"

/* What compilers append to tell variables of one name apart. */
static bool is_appended(const char *part, size_t length)
{
	static const char *const words[] = { "lto_priv", "llvm" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (length == strlen(words[i]) && !strncmp(part, words[i], length))
			return true;
	return length && strspn(part, "0123456789") >= length;
}

/* Bytes of the name as the source has it. */
static size_t base_length(const char *name)
{
	size_t length = strlen(name);

	for (size_t dot = length; dot-- > 1;)
		if (name[dot] == '.') {
			if (!is_appended(name + dot + 1, length - dot - 1))
				break;
			length = dot;
		}
	return length;
}

static int compare_starts(const void *one, const void *other)
{
	const struct named_variable *a = one, *b = other;

	if (a->span.start != b->span.start)
		return a->span.start < b->span.start ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* Variables, and tables of constants with pointers. */
static bool has_names(const struct section *section)
{
	return section && !section->thread_local && !section_is_slots(section) &&
	       (section_is_variables(section) || strncmp(section->name, ".data.rel.ro", 12) == 0);
}

size_t named_index(const struct named_variables *variables, uint64_t address)
{
	return array_search(variables, span.start, address);
}

size_t named_index_reaching(const struct named_variables *variables, uint64_t address)
{
	size_t index = named_index(variables, address);

	while (index > 0 && variables->item[index - 1].reach > address)
		index--;
	return index;
}

/* Of several names of one place: what both builds have rather than what only one of them has. */
static int rank(const struct named_variable *variable)
{
	return variable->state == NAMED_PAIRED ? 2 : variable->state != NAMED_ALONE;
}

const struct named_variable *named_at(const struct named_variables *variables, uint64_t address)
{
	const struct named_variable *found = NULL;

	for (size_t i = named_index(variables, address + 1); i-- > 0 && variables->item[i].reach > address;) {
		const struct named_variable *variable = &variables->item[i];

		if (address < variable->span.end && (!found || rank(variable) > rank(found)))
			found = variable;
	}
	return found;
}

/* Find those that are read and written as a whole. */
static void find_parts(const struct program *program, struct named_variables *variables)
{
	for (size_t i = 0; i < variables->count; i++)
		variables->item[i].whole = variables->item[i].span.start < variables->item[i].span.end;
	for (size_t i = 0; i < program->refs.count; i++) {
		const struct code_ref *ref = &program->refs.item[i];
		struct named_variable *variable = (struct named_variable *)named_at(variables, ref->target);

		if (variable && (ref->target != variable->span.start || ref->access != variable->span.end - variable->span.start))
			variable->whole = false;
	}
	for (size_t i = 0; i < program->data_refs.count; i++) {
		struct named_variable *variable = (struct named_variable *)named_at(variables, program->data_refs.item[i].target);

		if (variable)
			variable->whole = false;
	}
}

/* (Pointers that only unwind tables know of are none.) */
static void collect(const struct program *program, const struct handler_pointers *pointers, struct named_variables *variables)
{
	const struct image *image = program->image;

	for (size_t i = 0; i < image->objects.count; i++) {
		const struct symbol *symbol = &image->symbols.item[image->objects.item[i].symbol];
		const struct section *section = image_section(image, symbol->value);
		size_t length = base_length(symbol->name);

		if (!length || !has_names(section) || handlers_own(pointers, symbol->value) ||
		    symbol->size > section->span.end - symbol->value)
			continue;
		*array_add(variables) = (struct named_variable){
			.name = symbol->name, .length = length, .file = symbol->file ? symbol->file : "",
			.span = { symbol->value, symbol->value + symbol->size } };
		if (symbol->size > variables->longest)
			variables->longest = symbol->size;
	}
	if (variables->count)
		qsort(variables->item, variables->count, sizeof(*variables->item), compare_starts);
	for (size_t i = 0; i < variables->count; i++) {
		uint64_t before = i ? variables->item[i - 1].reach : 0, end = variables->item[i].span.end;

		variables->item[i].reach = end > before ? end : before;
	}
	find_parts(program, variables);
}

bool named_place(const struct image *image, uint64_t address)
{
	static const char *const names[] = { "__dso_handle", "__TMC_END__", "__data_start", "data_start", "__bss_start", "_edata", "edata", "_end", "end" };

	for (size_t i = 0; i < image->symbols.count; i++)
		for (size_t k = 0; image->symbols.item[i].value == address && k < sizeof(names) / sizeof(*names); k++)
			if (image->symbols.item[i].defined && !image->symbols.item[i].size && !strcmp(image->symbols.item[i].name, names[k]))
				return true;
	return false;
}

/* --- by name --- */

static int compare_bases(const struct named_variable *a, const struct named_variable *b)
{
	int order = strncmp(a->name, b->name, a->length < b->length ? a->length : b->length);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare_names(const void *one, const void *other)
{
	const struct named_variable *a = *(struct named_variable *const *)one, *b = *(struct named_variable *const *)other;
	int order = compare_bases(a, b);

	if (!order)
		order = strcmp(a->file, b->file);
	return order ? order : compare_starts(a, b);
}

/* Of both builds, sorted by what they are called and where. */
struct by_name {
	struct named_variable **old, **new;
	size_t old_count, new_count;
};

static struct named_variable **sort_by_name(const struct named_variables *variables)
{
	struct named_variable **sorted = memory_resize(NULL, variables->count + 1, sizeof(*sorted));

	for (size_t i = 0; i < variables->count; i++)
		sorted[i] = &variables->item[i];
	if (variables->count)
		qsort(sorted, variables->count, sizeof(*sorted), compare_names);
	return sorted;
}

typedef bool belongs(const struct named_variable *a, const struct named_variable *b);

static bool same_source(const struct named_variable *a, const struct named_variable *b)
{
	return !compare_bases(a, b) && !strcmp(a->file, b->file);
}

static bool same_base(const struct named_variable *a, const struct named_variable *b)
{
	return !compare_bases(a, b);
}

static size_t group_end(struct named_variable *const *sorted, size_t count, size_t first, belongs *together)
{
	size_t end = first + 1;

	while (end < count && together(sorted[first], sorted[end]))
		end++;
	return end;
}

static uint64_t size_of(const struct named_variable *variable)
{
	return variable->span.end - variable->span.start;
}

static void join(struct named_variable *old, struct named_variable *new)
{
	enum named_state state = size_of(old) == size_of(new) ? NAMED_PAIRED : NAMED_RESIZED;

	old->state = new->state = state;
	old->other = new->span.start;
	new->other = old->span.start;
	old->other_size = size_of(new);
	new->other_size = size_of(old);
}

/* Of several of one name those that unchanged code refers to. */
static void join_known(const struct comparison *comparison, struct named_variable **old, size_t old_count,
		       struct named_variable **new, size_t new_count)
{
	for (size_t i = 0; i < old_count; i++) {
		const struct vote *vote = votes_winner(&comparison->data, old[i]->span.start);
		const struct vote *back = vote ? votes_reverse(&comparison->data, vote->to) : NULL;

		for (size_t k = 0; back && back->to == old[i]->span.start && k < new_count; k++)
			if (new[k]->span.start == vote->to)
				join(old[i], new[k]);
	}
}

static bool all_joined(struct named_variable *const *group, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (group[i]->state == NAMED_UNKNOWN)
			return false;
	return true;
}

static void mark_alone(struct named_variable **group, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (group[i]->state == NAMED_UNKNOWN)
			group[i]->state = NAMED_ALONE;
}

typedef void join_groups(const struct comparison *comparison, struct named_variable **old, size_t old_count,
			 struct named_variable **new, size_t new_count);

/* Each group of one build with its counterpart, which may be empty. */
static void each_group(const struct comparison *comparison, const struct by_name *names, belongs *together, join_groups *do_join)
{
	size_t i = 0, k = 0;

	while (i < names->old_count || k < names->new_count) {
		struct named_variable *first = i < names->old_count ? names->old[i] : names->new[k];
		size_t old_end, new_end;

		if (k < names->new_count && compare_names(&names->new[k], &first) < 0)
			first = names->new[k];
		old_end = i < names->old_count && together(first, names->old[i]) ? group_end(names->old, names->old_count, i, together) : i;
		new_end = k < names->new_count && together(first, names->new[k]) ? group_end(names->new, names->new_count, k, together) : k;
		do_join(comparison, names->old + i, old_end - i, names->new + k, new_end - k);
		i = old_end;
		k = new_end;
	}
}

static void join_sources(const struct comparison *comparison, struct named_variable **old, size_t old_count,
			 struct named_variable **new, size_t new_count)
{
	if (old_count == 1 && new_count == 1)
		join(old[0], new[0]);
	else
		join_known(comparison, old, old_count, new, new_count);
}

/* What is new or gone must not be what the other build has under the same name elsewhere. */
static void find_alone(const struct comparison *comparison, struct named_variable **old, size_t old_count,
		       struct named_variable **new, size_t new_count)
{
	(void)comparison;
	if (all_joined(old, old_count))
		mark_alone(new, new_count);
	else if (all_joined(new, new_count))
		mark_alone(old, old_count);
}

/* --- what code says --- */

/* Does unchanged code refer to a place in the variable that the other build has elsewhere than its name says? */
static bool contradicted(const struct vote *votes, size_t count, const struct named_variable *variable)
{
	bool paired = variable->state == NAMED_PAIRED || variable->state == NAMED_RESIZED;

	for (size_t i = count ? search_address(&votes->from, count, sizeof(*votes), variable->span.start) : 0;
	     i < count && votes[i].from < variable->span.end; i++)
		if (!paired || votes[i].to - variable->other != votes[i].from - variable->span.start)
			return true;
	return false;
}

static void forget_contradicted(struct named_variables *variables, const struct vote *votes, size_t count)
{
	for (size_t i = 0; i < variables->count; i++)
		if (contradicted(votes, count, &variables->item[i]))
			variables->item[i].state = NAMED_UNKNOWN;
}

/* One that was moved to another section has got, or lost, its initial value. */
static void forget_rehoused(const struct comparison *comparison, struct named_variables *variables)
{
	for (size_t i = 0; i < variables->count; i++) {
		struct named_variable *variable = &variables->item[i];
		bool paired = variable->state == NAMED_PAIRED || variable->state == NAMED_RESIZED;

		if (paired && strcmp(image_section(comparison->old.image, variable->span.start)->name,
				     image_section(comparison->new.image, variable->other)->name) != 0)
			variable->state = NAMED_UNKNOWN;
	}
}

/* Both sides of a pair go by the same name, or neither does. */
static void forget_halves(struct named_variables *variables, const struct named_variables *others)
{
	for (size_t i = 0; i < variables->count; i++) {
		struct named_variable *variable = &variables->item[i];
		bool whole = variable->state != NAMED_PAIRED && variable->state != NAMED_RESIZED;

		for (size_t k = named_index(others, variable->other); !whole && k < others->count && others->item[k].span.start == variable->other; k++)
			whole = others->item[k].state == variable->state && others->item[k].other == variable->span.start;
		if (!whole)
			variable->state = NAMED_UNKNOWN;
	}
}

/* A part that has a function's name was one, though only jumps lead to it; what compilers split off is named for that (".cold"). */
static bool is_function_itself(const struct program *program, const struct code_range *range)
{
	for (size_t i = 0; range->span.start != program->functions.item[range->function].entry && i < program->image->symbols.count; i++) {
		const struct symbol *symbol = &program->image->symbols.item[i];

		if (symbol->type == STT_FUNC && symbol->defined && symbol->value == range->span.start && !strstr(symbol->name, ".cold"))
			return true;
	}
	return false;
}

static bool refers_into(const struct program *program, uint32_t function, struct range span)
{
	const struct function *f = &program->functions.item[function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &program->ranges.item[f->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++)
			if (range_holds(span, program->refs.item[range->first_ref + i].target) && !is_function_itself(program, range))
				return true;
	}
	return false;
}

/*
 * A function's own variables, and those of sources that the linker compiled together, have numbers to tell them apart, and those change. So the name
 * counts where a function refers to it that did so before: "calls.0" of one function is not "calls.0" of another.
 */
static void forget_moved(struct comparison *comparison)
{
	const struct program *new = &comparison->new;
	struct named_variables *variables = &comparison->named_new;
	bool *stays = memory_zeroed(variables->count, sizeof(*stays));

	for (size_t i = 0; i < new->refs.count; i++) {
		struct named_variable *variable = (struct named_variable *)named_at(variables, new->refs.item[i].target);
		bool joined = variable && (variable->state == NAMED_PAIRED || variable->state == NAMED_RESIZED);
		uint32_t function = joined && variable->name[variable->length] ? program_function(new, new->refs.item[i].insn) : NO_FUNCTION;
		uint32_t old = function != NO_FUNCTION ? comparison->old_of[function] : NO_FUNCTION;

		if (function == NO_FUNCTION || stays[variable - variables->item])
			continue;
		variable->moved = old == NO_FUNCTION || is_function_itself(new, program_range(new, new->refs.item[i].insn)) ||
				  !refers_into(&comparison->old, old, (struct range){ variable->other, variable->other + variable->other_size });
		stays[variable - variables->item] = !variable->moved;
	}
	for (size_t i = 0; i < variables->count; i++)
		if (variables->item[i].moved)
			variables->item[i].state = NAMED_UNKNOWN;
	free(stays);
}

static bool is_gone(const struct comparison *comparison, const struct named_variable *variable)
{
	return variable->state == NAMED_ALONE && section_is_variables(image_section(comparison->old.image, variable->span.start));
}

/* Does the function refer to a variable that the new build has not? */
static bool refers_to_gone(const struct comparison *comparison, uint32_t old_function)
{
	const struct program *old = &comparison->old;
	const struct function *f = &old->functions.item[old_function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &old->ranges.item[f->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++) {
			const struct named_variable *variable = named_at(&comparison->named_old, old->refs.item[range->first_ref + i].target);

			if (variable && is_gone(comparison, variable))
				return true;
		}
	}
	return false;
}

static bool any_gone(const struct comparison *comparison)
{
	for (size_t i = 0; i < comparison->named_old.count; i++)
		if (is_gone(comparison, &comparison->named_old.item[i]))
			return true;
	return false;
}

/*
 * One that is gone, and one that is new in the same function: it may be the same variable under another name, or its successor, and what it holds must not
 * be lost. A function that is new itself may have any other one's part.
 */
static void forget_renamed(struct comparison *comparison)
{
	const struct program *new = &comparison->new;
	bool gone = any_gone(comparison);

	for (size_t i = 0; gone && i < new->refs.count; i++) {
		struct named_variable *variable = (struct named_variable *)named_at(&comparison->named_new, new->refs.item[i].target);
		uint32_t function = variable && variable->state == NAMED_ALONE ? program_function(new, new->refs.item[i].insn) : NO_FUNCTION;
		uint32_t old = function != NO_FUNCTION ? comparison->old_of[function] : NO_FUNCTION;

		if (function != NO_FUNCTION && (old == NO_FUNCTION || refers_to_gone(comparison, old)))
			variable->state = NAMED_UNKNOWN;
	}
}

/* Do symbols name all variables that code of the old build refers to which is not in the new one? Then what has no name in it was used by nobody. */
static bool names_suffice(const struct comparison *comparison)
{
	const struct program *old = &comparison->old;

	for (size_t i = 0; i < old->refs.count; i++) {
		const struct code_ref *ref = &old->refs.item[i];
		uint32_t function = has_names(image_section(old->image, ref->target)) ? program_function(old, ref->insn) : NO_FUNCTION;

		if (function != NO_FUNCTION && (comparison->changed[function] || comparison->new_of[function] == NO_FUNCTION) &&
		    !named_at(&comparison->named_old, ref->target) && !named_place(old->image, ref->target))
			return false;
	}
	return true;
}

void named_find(struct comparison *comparison)
{
	struct named_variables *old = &comparison->named_old, *new = &comparison->named_new;
	struct by_name names;

	collect(&comparison->old, &comparison->old_pointers, old);
	collect(&comparison->new, &comparison->new_pointers, new);
	if (!old->count || !new->count)
		return;
	names = (struct by_name){ sort_by_name(old), sort_by_name(new), old->count, new->count };
	each_group(comparison, &names, same_source, join_sources);
	forget_contradicted(old, comparison->data.winners.item, comparison->data.winners.count);
	forget_contradicted(new, comparison->data.reverse.item, comparison->data.reverse.count);
	forget_rehoused(comparison, old);
	forget_moved(comparison);
	forget_halves(old, new);
	forget_halves(new, old);
	if (names_suffice(comparison))
		each_group(comparison, &names, same_base, find_alone);
	forget_contradicted(old, comparison->data.winners.item, comparison->data.winners.count);
	forget_contradicted(new, comparison->data.reverse.item, comparison->data.reverse.count);
	forget_renamed(comparison);
	free(names.old);
	free(names.new);
}
