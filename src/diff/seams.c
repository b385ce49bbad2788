/*
 * seams.c: places where what lay side by side in the new build lies apart in the process.
 *
 * An instruction holds an address, and not the name of what it is for. That of a variable's start is also the end of the one before, which loops stop at; and
 * compilers fold a constant index into an address, so that one in the middle of a variable may be for the next one, some elements back. As long as all of
 * them moved together, either reading leads to the same place. At a seam (a new variable's start and end, or between two that moved by different
 * distances) it does not, and then something must tell which it is for.
 */
#include "diff/align.h"
#include "diff/slicing.h"

/* Where a byte of the new build's variables is for new code. */
struct spot {
	bool known, own;	/* own: in the slice */
	uint64_t address;
};

static struct spot spot_of(const struct comparison *comparison, uint64_t address)
{
	struct spot spot = { .known = true, .own = true, .address = address };
	struct range unused;

	if (!added_find(comparison, address, &unused)) {
		spot.own = false;
		spot.known = variable_place(comparison, address, &spot.address);
	}
	return spot;
}

/* The variable of the new build that the address lies in, by symbols or by what code refers to; empty in the padding between those that have symbols. */
static struct range variable_at(const struct comparison *comparison, uint64_t address)
{
	const struct named_variable *variable = named_at(&comparison->named_new, address);
	struct range span;

	if (variable)
		return variable->span;
	if (added_find(comparison, address, &span))
		return span;
	if (comparison->named_new.count)
		return (struct range){ address, address };
	return (struct range){ program_item_start(&comparison->new, address), program_item_end(&comparison->new, address) };
}

static bool refers_into(const struct program *program, uint32_t function, struct range span)
{
	const struct function *f = &program->functions.item[function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &program->ranges.item[f->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++)
			if (range_holds(span, program->refs.item[range->first_ref + i].target))
				return true;
	}
	return false;
}

/* Is all that anybody does with the variable to read or write it as a whole? Then it is no array, and nothing asks for its end. */
static bool is_scalar(const struct program *program, struct range variable)
{
	for (size_t i = 0; i < program->refs.count; i++)
		if (range_holds(variable, program->refs.item[i].target) &&
		    (program->refs.item[i].target != variable.start || program->refs.item[i].access != variable.end - variable.start))
			return false;
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (range_holds(variable, program->data_refs.item[i].target))
			return false;
	return true;
}

/* Do the two lie as far from each other as they do in the new build? */
static bool lie_together(const struct comparison *comparison, uint64_t low, uint64_t high)
{
	struct spot a = spot_of(comparison, low), b = spot_of(comparison, high);

	return a.known == b.known && a.own == b.own && b.address - a.address == high - low;
}

/* What the instruction that was the same one in the old build refers to there. */
struct counterpart {
	const struct code_ref *ref;
	uint64_t target;	/* 0: none is known */
};

static void find_counterpart(void *context, const struct code_ref *old, const struct code_ref *new)
{
	struct counterpart *counterpart = context;

	if (new == counterpart->ref)
		counterpart->target = old->target;
}

static uint64_t counterpart_of(const struct comparison *comparison, const struct code_ref *ref)
{
	struct counterpart counterpart = { .ref = ref };
	uint32_t function = program_function(&comparison->new, ref->insn), old = comparison->old_of[function];

	if (old != NO_FUNCTION)
		align_references(comparison, old, function, find_counterpart, &counterpart);
	return counterpart.target;
}

/* Does the old build's instruction refer to the variable that the address seems to be for? Where the two lie apart, it can't be for the other one then. */
static bool is_confirmed(const struct comparison *comparison, const struct code_ref *ref, uint64_t address)
{
	struct spot here = spot_of(comparison, address);

	return ref && here.known && !here.own && counterpart_of(comparison, ref) == here.address;
}

/* May it be the end of the variable before? Then the function that loops through that one refers to it, too; or the old build's did. */
static bool may_be_end(const struct comparison *comparison, const struct code_ref *ref, uint64_t address)
{
	struct range before = variable_at(comparison, address - 1);
	struct spot last = spot_of(comparison, address - 1);

	if (before.end != address || before.start == before.end || lie_together(comparison, address - 1, address) ||
	    is_scalar(&comparison->new, before) || is_confirmed(comparison, ref, address))
		return false;
	return !ref || refers_into(&comparison->new, program_function(&comparison->new, ref->insn), before) ||
	       (last.known && !last.own && counterpart_of(comparison, ref) == last.address + 1);
}

/* The next variable's start behind the address, or the end of all. */
static uint64_t next_start(const struct comparison *comparison, struct range variable)
{
	const struct named_variables *names = &comparison->named_new;
	size_t next = named_index(names, variable.end);

	return next < names->count ? names->item[next].span.start : variable.end;
}

/* May it be for the next variable, some elements back? */
static bool may_be_before(const struct comparison *comparison, const struct code_ref *ref, uint64_t address)
{
	struct range variable = variable_at(comparison, address);
	uint64_t next = next_start(comparison, variable);
	const struct section *section = image_section(comparison->new.image, next);

	return address != variable.start && section && section_is_variables(section) && !lie_together(comparison, address, next) &&
	       !is_confirmed(comparison, ref, address);
}

bool seams_leave_open(const struct comparison *comparison, const struct code_ref *ref, uint64_t address)
{
	const struct section *section = image_section(comparison->new.image, address);

	if ((!comparison->named_new.count && !comparison->options->new_data_count) || !section || section->span.start == address)
		return false;
	/* What is read or written at once is what the address is for; and the linker's own word counts. */
	if (ref && ref->access)
		return !lie_together(comparison, address, address + ref->access - 1u);
	if (ref && image_link_relocation(comparison->new.image, ref->where))
		return false;
	return may_be_end(comparison, ref, address) || may_be_before(comparison, ref, address);
}
