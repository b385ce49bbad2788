/*
 * variables.c: where data went that the process holds.
 *
 * An address that unchanged code refers to in both builds is known. Any other is known only between two known ones
 * (or the ends of the section) that moved by the same distance. Between two that moved by different
 * distances something grew or was put in: what lies there is never guessed.
 */
#include <string.h>

#include "base/search.h"
#include "diff/comparison.h"

#define NAMES_MAX 64	/* of one variable; glibc's have three */

/* Two places of the one build that are next to an address on either side, and known in the other build. */
struct gap {
	struct range from, to;
};

/* Votes of `from`'s section that lead out of its counterpart do not count. */
static bool leads_home(const struct vote *vote, const struct section *from, const struct section *to)
{
	return range_holds(from->span, vote->from) && range_holds(to->span, vote->to);
}

/* False when there is none, or its ends moved by different distances. */
static bool find_gap(const struct program *from, const struct program *to, const struct vote *votes, size_t count, uint64_t address, struct gap *gap)
{
	const struct section *section = image_section(from->image, address);
	const struct section *other = section ? image_section_named(to->image, section->name) : NULL;
	size_t next = count ? search_address(&votes->from, count, sizeof(*votes), address) : 0, before = next;

	if (!other || section->execute)
		return false;
	*gap = (struct gap){ section->span, other->span };
	while (before > 0 && votes[before - 1].from >= section->span.start && !leads_home(&votes[before - 1], section, other))
		before--;
	if (before > 0 && leads_home(&votes[before - 1], section, other)) {
		gap->from.start = votes[before - 1].from;
		gap->to.start = votes[before - 1].to;
	}
	while (next < count && votes[next].from < section->span.end && !leads_home(&votes[next], section, other))
		next++;
	if (next < count && leads_home(&votes[next], section, other)) {
		gap->from.end = votes[next].from;
		gap->to.end = votes[next].to;
	}
	return gap->to.start - gap->from.start == gap->to.end - gap->from.end;
}

static bool translate(const struct program *from, const struct program *to, const struct vote *votes, size_t count,
		      uint64_t address, uint64_t *out)
{
	size_t next = count ? search_address(&votes->from, count, sizeof(*votes), address) : 0;
	struct gap gap;

	if (next < count && votes[next].from == address) {
		*out = votes[next].to;
		return true;
	}
	if (!find_gap(from, to, votes, count, address, &gap))
		return false;
	*out = address + (gap.to.start - gap.from.start);
	return true;
}

bool variable_in_new(const struct comparison *comparison, uint64_t old_address, uint64_t *new_address)
{
	return translate(&comparison->old, &comparison->new, comparison->data.winners.item, comparison->data.winners.count,
			 old_address, new_address);
}

bool variable_in_old(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address)
{
	return translate(&comparison->new, &comparison->old, comparison->data.reverse.item, comparison->data.reverse.count,
			 new_address, old_address);
}

int variable_aligned(const struct comparison *comparison, uint64_t old_address, uint64_t new_address)
{
	size_t count, count_back;
	const struct vote *vote = votes_from(&comparison->aligned, old_address, &count);
	const struct vote *back = votes_from(&comparison->aligned_back, new_address, &count_back);

	if (!count && !count_back)
		return 0;
	return count == 1 && count_back == 1 && vote->to == new_address && back->to == old_address ? 1 : -1;
}

/* Does the item that holds the address begin at a known place, or before one, with nothing beginning in between? */
static bool inside_known_item(const struct comparison *comparison, uint64_t old_address, uint64_t new_address)
{
	const struct vote_map *data = &comparison->data;
	size_t index = array_search(&data->reverse, from, new_address);
	uint64_t from, to;

	if (!index)
		return false;
	from = data->reverse.item[index - 1].to;
	to = data->reverse.item[index - 1].from;
	return old_address - from == new_address - to && program_item_start(&comparison->old, old_address) <= from &&
	       program_item_start(&comparison->new, new_address) <= to;
}

/*
 * Where there are names, one must be common to both: a variable may have several (environ, __environ). No more are compared than any
 * has, so that a file with millions for one address takes no hours.
 */
static bool names_agree(const struct comparison *comparison, uint64_t old_address, uint64_t new_address)
{
	const struct image *old = comparison->old.image, *new = comparison->new.image;
	const struct symbol *a = image_object(old, old_address), *b = image_object(new, new_address);
	const struct object *old_names, *new_names;
	size_t old_count, new_count;

	if (!a || !b)
		return true;
	old_count = image_object_names(old, a, &old_names);
	new_count = image_object_names(new, b, &new_names);
	for (size_t i = 0; i < old_count && i < NAMES_MAX; i++)
		for (size_t j = 0; j < new_count && j < NAMES_MAX; j++)
			if (!strcmp(old->symbols.item[old_names[i].symbol].name, new->symbols.item[new_names[j].symbol].name))
				return true;
	return false;
}

/* Of what the user says is laid out anew: lined-up instructions agree about it, and it is as far as it was from a known place next to it. */
static bool beside_known(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address)
{
	const struct vote_map *data = &comparison->data;
	size_t count, next = array_search(&data->reverse, from, new_address);
	const struct vote *back = votes_from(&comparison->aligned_back, new_address, &count);

	if (!comparison->options->new_data_count || count != 1 || variable_aligned(comparison, back->to, new_address) < 1)
		return false;
	*old_address = back->to;
	return (next && data->reverse.item[next - 1].to - data->reverse.item[next - 1].from == back->to - new_address) ||
	       (next < data->reverse.count && data->reverse.item[next].to - data->reverse.item[next].from == back->to - new_address);
}

/* Of a place between two known ones: do all who refer to it agree, whatever registers they do it with? Symbols, where there are any, know better. */
static bool between_known(const struct comparison *comparison, uint64_t old_address, uint64_t new_address)
{
	const struct vote_map *data = &comparison->data;
	struct gap gap;

	return !named_at(&comparison->named_old, old_address) && !named_at(&comparison->named_new, new_address) &&
	       find_gap(&comparison->new, &comparison->old, data->reverse.item, data->reverse.count, new_address, &gap) &&
	       users_agree(comparison, gap.to, old_address, gap.from, new_address);
}

/* By what code says. */
static bool binding_by_code(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address)
{
	const struct symbol *a, *b;
	int said;

	if (!variable_in_old(comparison, new_address, old_address))
		return beside_known(comparison, new_address, old_address);
	if (!names_agree(comparison, *old_address, new_address))
		return false;
	if (votes_reverse(&comparison->data, new_address))
		return true;
	said = variable_aligned(comparison, *old_address, new_address);
	if (said)
		return said > 0;
	a = image_object(comparison->old.image, *old_address);
	b = image_object(comparison->new.image, new_address);
	return (a && b) || inside_known_item(comparison, *old_address, new_address) || between_known(comparison, *old_address, new_address);
}

static bool binding_by_name(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address)
{
	const struct named_variable *variable = named_at(&comparison->named_new, new_address);

	if (!variable || variable->state != NAMED_PAIRED)
		return false;
	*old_address = variable->other + (new_address - variable->span.start);
	return true;
}

bool variable_binding(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address)
{
	const struct named_variable *variable = named_at(&comparison->named_new, new_address);

	/* That something lies there in the old build does not make it the same, or large enough. */
	if (variable && (variable->state == NAMED_RESIZED || variable->moved))
		return false;
	return binding_by_name(comparison, new_address, old_address) || binding_by_code(comparison, new_address, old_address);
}

bool variable_place(const struct comparison *comparison, uint64_t new_address, uint64_t *old_address)
{
	return binding_by_name(comparison, new_address, old_address) || variable_in_old(comparison, new_address, old_address) ||
	       beside_known(comparison, new_address, old_address);
}
