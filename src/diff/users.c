/*
 * users.c: is a variable the one that it seems to be, because all that use it do so where they did?
 *
 * Between two known places that moved alike the place of a variable is known, if it is still the same variable. Where a changed function refers to
 * it by an instruction that has the same bytes in both builds, that confirms it. Often it has not, because the compiler has taken other registers, and
 * there is little in an instruction without them. So one confirms nothing. But where every reference to the variable, in the whole program, stands where
 * one to the other stood, and none is left over on either side, all code that touched those bytes of memory still does: then they mean what they meant.
 */
#include "diff/align.h"
#include "diff/comparison.h"

static bool is_pointed_to(const struct program *program, uint64_t address)
{
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (program->data_refs.item[i].target == address)
			return true;
	return false;
}

static size_t count_users(const struct program *program, uint64_t address)
{
	size_t count = 0;

	for (size_t i = 0; i < program->refs.count; i++)
		count += program->refs.item[i].target == address;
	return count;
}

/* (As no two references have the same counterpart, all of the old build are counterparts if there are as many.) */
static bool all_correspond(const struct comparison *comparison, uint64_t old_address, uint64_t new_address)
{
	const struct program *new = &comparison->new;
	size_t count = 0;

	for (size_t i = 0; i < new->refs.count; i++) {
		if (new->refs.item[i].target != new_address)
			continue;
		if (align_counterpart(comparison, ALIGN_FORMS, &new->refs.item[i]) != old_address)
			return false;
		count++;
	}
	return count && count == count_users(&comparison->old, old_address);
}

/* What lies in a gap of one build: `shift` is how far from there the other one's is. */
struct stretch {
	const struct comparison *comparison;
	bool old;
	struct range gap;
	uint64_t shift;
	uint64_t variable;	/* the one that is asked about */
};

static bool is_settled(const struct stretch *stretch, uint64_t address)
{
	uint64_t other = address + stretch->shift, old = stretch->old ? address : other, new = stretch->old ? other : address;
	const struct vote *vote = votes_winner(&stretch->comparison->data, old);

	return !range_holds(stretch->gap, address) || address == stretch->variable || (vote && vote->to == new) ||
	       variable_aligned(stretch->comparison, old, new) > 0;
}

/* Is everything else in the gap that anything refers to where it was, by what instructions with the same bytes say? Then nothing came or went there that
 * the variable could have changed places with. */
static bool all_settled(const struct stretch *stretch)
{
	const struct program *program = stretch->old ? &stretch->comparison->old : &stretch->comparison->new;

	for (size_t i = 0; i < program->refs.count; i++)
		if (!is_settled(stretch, program->refs.item[i].target))
			return false;
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (!is_settled(stretch, program->data_refs.item[i].target))
			return false;
	return true;
}

bool users_agree(const struct comparison *comparison, struct range old_gap, uint64_t old_address, struct range new_gap, uint64_t new_address)
{
	struct stretch old = { comparison, true, old_gap, new_address - old_address, old_address };
	struct stretch new = { comparison, false, new_gap, old_address - new_address, new_address };

	return all_correspond(comparison, old_address, new_address) && !is_pointed_to(&comparison->old, old_address) &&
	       !is_pointed_to(&comparison->new, new_address) && all_settled(&old) && all_settled(&new);
}
