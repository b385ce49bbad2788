/*
 * seams.c: places where what lay side by side in the new build lies apart in the process.
 *
 * An instruction holds an address, and not the name of what it is for. That of a variable's start is also the end of the one before, which loops stop at; and
 * compilers fold a constant index into an address, so that one in the middle of a variable may be for the next one, some elements back. As long as all of
 * them moved together, either reading leads to the same place. At a seam (a new variable's start and end, or between two that moved by different
 * distances) it does not, and then something must tell which it is for.
 */
#include <stdlib.h>

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

/* The variable of the new build that the address lies in, by symbols or by what code refers to; empty in the padding behind one that has a symbol. */
static struct range variable_at(const struct comparison *comparison, uint64_t address)
{
	const struct named_variable *variable = named_at(&comparison->named_new, address);
	struct range span;

	if (variable)
		return variable->span;
	if (added_find(comparison, address, &span))
		return span;
	span = (struct range){ program_item_start(&comparison->new, address), program_item_end(&comparison->new, address) };
	return named_at(&comparison->named_new, span.start) ? (struct range){ address, address } : span;
}

/* Is all that anybody does with the variable to read or write it as a whole? Then it is no array, and nothing asks for its end. */
static bool is_whole(const struct comparison *comparison, struct range variable)
{
	const struct named_variable *named = named_at(&comparison->named_new, variable.start);
	const struct program *program = &comparison->new;

	if (named)
		return named->whole;
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

/* Does the old build's instruction refer to the variable that the address seems to be for? Where the two lie apart, it can't be for the other one then. */
static bool is_confirmed(const struct comparison *comparison, const struct code_ref *ref, uint64_t address)
{
	struct spot here = spot_of(comparison, address);

	return ref && here.known && !here.own && align_counterpart(comparison, ALIGN_BYTES, ref) == here.address;
}

/* An address that nothing is read or written at, where it seems to be. */
struct place {
	const struct comparison *comparison;
	const struct code_ref *ref;	/* NULL: a pointer in data */
	uint64_t address;
	struct range variable;		/* that it lies in */
};

#define FOLDED_MAX 1024	/* bytes that a constant index is worth: a character of pointers */

/* Bytes between the address and a variable that it does not lie in: an element's, or less, if it is for that one all the same. */
static uint64_t distance(struct range variable, uint64_t address)
{
	return address < variable.start ? variable.start - address : address - variable.end;
}

/*
 * May it be for the other variable? The end of that one is the address of what follows, and nothing else in the function need refer to it (a pointer that went
 * through it is compared). An address in the middle may be for one beside it, some elements away. Where another variable begins, it is for that one:
 * compilers add no index to an address that is relative to the program counter. To an absolute one they do: c - 'a', i - 1.
 */
static bool may_mean(const struct place *place, struct range other)
{
	bool absolute = place->ref && place->ref->kind == REF_ABSOLUTE;
	uint64_t size = other.end - other.start, reach = absolute ? size + FOLDED_MAX : size;

	if (!size || range_holds(other, place->address) || distance(other, place->address) > reach ||
	    lie_together(place->comparison, other.start, place->address))
		return false;
	return (place->address == other.end || place->address != place->variable.start || place->variable.start == place->variable.end || absolute) &&
	       !is_whole(place->comparison, other);
}

/* The first of the variables that have symbols which it may be for: where that begins; 0: there is none. */
static uint64_t find_named(const struct place *place)
{
	const struct named_variables *names = &place->comparison->named_new;
	uint64_t reach = 2 * names->longest + FOLDED_MAX;
	size_t i = named_index(names, place->address > reach ? place->address - reach : 0);

	for (; i < names->count && names->item[i].span.start <= place->address + reach; i++)
		if (!names->item[i].whole && may_mean(place, names->item[i].span))
			return names->item[i].span.start;
	return 0;
}

/* Of those beside it that code refers to, which have none. */
static uint64_t find_neighbour(const struct place *place)
{
	uint64_t beside[] = { place->variable.start - 1, place->variable.end };

	for (size_t i = 0; i < 2; i++) {
		const struct section *section = image_section(place->comparison->new.image, beside[i]);

		if (section && section_is_variables(section) && may_mean(place, variable_at(place->comparison, beside[i])))
			return beside[i];
	}
	return 0;
}

static char *objection(const struct comparison *comparison, uint64_t address, uint64_t other)
{
	char *name = added_name(comparison, address), *other_name = added_name(comparison, other);
	char *text = text_format("the end of one variable or the start of another one, which lies elsewhere in the running image (%s, %s)", name, other_name);

	free(name);
	free(other_name);
	return text;
}

char *seams_objection(const struct comparison *comparison, const struct code_ref *ref, uint64_t address)
{
	struct place place = { comparison, ref, address, variable_at(comparison, address) };
	uint64_t other;

	if (!comparison->named_new.count && !comparison->options->new_data_count)
		return NULL;
	/* What is read or written at once is what the address is for; and the linker's own word counts. */
	if (ref && ref->access) {
		other = address + ref->access - 1u;
		return lie_together(comparison, address, other) ? NULL : objection(comparison, address, other);
	}
	if ((ref && image_link_relocation(comparison->new.image, ref->where)) || is_confirmed(comparison, ref, address))
		return NULL;
	other = find_named(&place);
	if (!other)
		other = find_neighbour(&place);
	return other ? objection(comparison, address, other) : NULL;
}
