/*
 * tables.c: tables of constants of which code takes addresses in the middle.
 *
 * Where items begin is known only from the addresses that something takes. One in the middle of a table (&rows[2]) cuts it in two; who goes through it
 * from its start would not be seen to depend on what lies behind. So what follows an item counts as its rest, but where that is certainly something of its
 * own: a symbol says so, or it is a jump table, a text that stands alone, or aligned as compilers align arrays. (gcc aligns what has 32 bytes or more to 32
 * of them. A middle that happens to be at such a place is not told apart.) That it only looks like a text says nothing: names stand in tables, and numbers look
 * like letters.
 */
#include "diff/comparison.h"

#define ARRAY_ALIGNMENT 32u

static bool is_named_start(const struct image *image, uint64_t address)
{
	const struct symbol *symbol = image_object(image, address);

	return symbol && symbol->value == address;
}

/* (Nothing begins at all where no code takes the address.) */
static bool begins_another(const struct program *program, uint64_t address)
{
	return program_item_start(program, address) == address &&
	       (address % ARRAY_ALIGNMENT == 0 || is_named_start(program->image, address) || jump_table_at(program, address) ||
		class_record_size(program, address));
}

/* Items of other lengths that are the same but for zeros at their ends: do both end where the same thing may be aligned that follows? */
static bool is_aligned_behind(struct mark at, struct mark next)
{
	uint64_t old_size = next.old - at.old, new_size = next.new - at.new;
	uint64_t more = old_size < new_size ? new_size - old_size : old_size - new_size;

	for (uint64_t unit = 4; unit <= ARRAY_ALIGNMENT; unit *= 2)
		if ((at.old ^ at.new) % unit && (next.old | next.new) % unit == 0 && more < unit)
			return true;
	return false;
}

/* Step on to what may be the rest of the same table in both builds. (One of them may have zeros where the other one's code takes an address.) */
static bool step(const struct comparison *comparison, struct mark *at)
{
	const struct image *old = comparison->old.image, *new = comparison->new.image;
	struct mark next = { program_item_end(&comparison->old, at->old), program_item_end(&comparison->new, at->new) };
	uint64_t old_size = next.old - at->old, new_size = next.new - at->new, size = old_size < new_size ? old_size : new_size;

	if (old_size != new_size && is_aligned_behind(*at, next))
		return false;
	next = (struct mark){ at->old + size, at->new + size };
	if (next.old >= image_section(old, at->old)->span.end || next.new >= image_section(new, at->new)->span.end ||
	    begins_another(&comparison->old, next.old) || begins_another(&comparison->new, next.new))
		return false;
	*at = next;
	return true;
}

static bool are_lone_texts(const struct comparison *comparison, struct mark at)
{
	return is_lone_text(&comparison->old, at.old) && is_lone_text(&comparison->new, at.new);
}

/* (Of starts of items one in eight is aligned so: there are never many to look at.) */
enum difference tables_compare(struct comparison *comparison, uint64_t old_address, uint64_t new_address)
{
	struct mark at = { old_address, new_address };
	enum difference difference = constants_compare(comparison, old_address, new_address);
	bool table = !are_lone_texts(comparison, at) && !jump_table_at(&comparison->new, new_address) && !class_record_size(&comparison->new, new_address);

	while (table && !difference && step(comparison, &at) && !are_lone_texts(comparison, at))
		difference = constants_compare(comparison, at.old, at.new);
	return difference;
}
