/*
 * bind_data.c: where an item of the new image's data is for the code of the slice: variables, and constants that hold pointers (their address is an
 * identity), where they are now; constants without pointers (texts, tables, floating point), and variables that the running image does not
 * have, in the slice.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/escape.h"
#include "diff/slicing.h"

/* Labels of an included function (computed goto): a table that must be the slice's own. */
static bool holds_labels(const struct slicing *slicing, uint64_t address)
{
	const struct program *program = &slicing->comparison->new;
	uint64_t end = program_item_end(program, address);

	for (size_t i = program_data_ref_index(program, address); i < program->data_refs.count && program->data_refs.item[i].where < end; i++) {
		uint32_t function = program_function(program, program->data_refs.item[i].target);

		if (function != NO_FUNCTION && slicing->included[function] && program->functions.item[function].entry != program->data_refs.item[i].target)
			return true;
	}
	return false;
}

/* Pointers to items, that is: those of a jump table lead into the middle of a function. */
static bool span_holds_pointers(const struct program *program, struct range span)
{
	for (size_t i = program_data_ref_index(program, span.start);
	     i < program->data_refs.count && program->data_refs.item[i].where < span.end; i++) {
		uint64_t target = program->data_refs.item[i].target;
		uint32_t function = program_function(program, target);

		if (function == NO_FUNCTION || program->functions.item[function].entry == target)
			return true;
	}
	return false;
}

bool bind_holds_pointers(const struct program *program, uint64_t address)
{
	return span_holds_pointers(program, (struct range){ address, program_item_end(program, address) });
}

/* May the address be the end of a table of pointers? Then it goes where the table goes. */
static bool ends_pointers(const struct program *program, uint64_t address)
{
	const struct section *section = image_section(program->image, address);

	return address > section->span.start && bind_holds_pointers(program, program_item_start(program, address - 1));
}

bool bind_follows_alike(const struct comparison *comparison, uint64_t address, uint64_t old_address)
{
	uint64_t before;

	if (image_section(comparison->new.image, address)->span.start == address)
		return image_section(comparison->old.image, old_address)->span.start == old_address;
	return variable_in_old(comparison, address - 1, &before) && before == old_address - 1;
}

/*
 * A constant with pointers has an identity: programs compare its address. So its place in the process is
 * used, if its content is unchanged and nothing moved between it and its predecessor (else an address could as well be
 * the end of the one before). Those of classes have the class's name.
 */
bool bind_find_constant(struct slicing *slicing, uint64_t address, uint64_t *old_address)
{
	struct comparison *comparison = slicing->comparison;

	if (classes_find_old(slicing, address, old_address))
		return true;
	return variable_in_old(comparison, address, old_address) && tables_compare(comparison, *old_address, address) == SAME &&
	       bind_follows_alike(comparison, address, *old_address);
}

/* Bind the pointers in what the slice has its own copy of. */
static void bind_pointers(struct slicing *slicing, struct range span)
{
	const struct program *new = &slicing->comparison->new;

	for (size_t i = program_data_ref_index(new, span.start); i < new->data_refs.count && new->data_refs.item[i].where < span.end; i++) {
		if (slicing->own_pointers[i])
			continue;
		slicing->own_pointers[i] = true;
		if (new->data_refs.item[i].target)
			bind_pointer(slicing, &new->data_refs.item[i]);
		else if (!import_word(slicing, &new->data_refs.item[i]))
			return;
	}
}

static void copy_constants(struct slicing *slicing, struct range span)
{
	bind_copy_section(slicing, span.start);
	bind_pointers(slicing, span);
}

/*
 * A table of constants with pointers that the old build does not have, by its name or its class's: nothing in the process can know its address. The
 * slice gets it if `copy` says so.
 */
static bool is_new_table(struct slicing *slicing, uint64_t address, bool copy)
{
	const struct program *new = &slicing->comparison->new;
	const struct named_variable *table = named_at(&slicing->comparison->named_new, address);
	size_t count = 0;
	const struct class_record *records = classes_find_new(slicing, address, &count);
	bool named = table && table->state == NAMED_ALONE;

	for (size_t i = 0; copy && i < count; i++)
		copy_constants(slicing, (struct range){ records[i].where - (records[i].table ? 8 : 0),
							records[i].where + class_record_size(new, records[i].where) });
	if (copy && named)
		copy_constants(slicing, table->span);
	return named || records;
}

/* Neither a table of pointers nor what may be the end of one. */
static bool is_plain(const struct program *program, const struct section *section, uint64_t address)
{
	return !section->relro && !bind_holds_pointers(program, address) && !ends_pointers(program, address);
}

/* Where an item of the new image's data is for the slice's code. */
enum place {
	IN_PROCESS,	/* where the old image has it */
	IN_SLICE,	/* a constant without an identity, or a new variable: the slice's own */
	NOWHERE,	/* it has an identity, or changes, and is not known to be the same in the old image */
};

/* `back`: from the address code goes back so many bytes. *old_address is set in any case, and means something where it is IN_PROCESS. */
static enum place find_place(struct slicing *slicing, uint64_t address, uint64_t back, uint64_t *old_address)
{
	struct comparison *comparison = slicing->comparison;
	const struct section *section = image_section(comparison->new.image, address);
	const struct data_ref *copied = copied_at(&comparison->new, address);
	bool constant = section && section_is_constant(section), found;
	struct range added;

	*old_address = 0;
	if (copied) {
		*old_address = copied_in(&comparison->old, copied);
		*old_address += *old_address ? address - copied->where : 0;
		return *old_address && back <= address - copied->where ? IN_PROCESS : NOWHERE;
	}
	if (constant ? is_new_table(slicing, address, false) : added_find(comparison, address, &added))
		return IN_SLICE;
	if (constant && is_plain(&comparison->new, section, address))
		return IN_SLICE;
	/* (The end of an item at the end of its section is no constant here.) */
	found = constant ? bind_find_constant(slicing, address, old_address) : variable_binding(comparison, address, old_address);
	return found && constants_compare_before(comparison, *old_address, address, back) == SAME ? IN_PROCESS : NOWHERE;
}

/* Something that the running image has, or the slice may have, or that can be looked up in the process. */
static bool leads_to_known(struct slicing *slicing, const struct data_ref *ref)
{
	const struct comparison *comparison = slicing->comparison;
	uint32_t function = program_function(&comparison->new, ref->target);
	uint64_t old_address;

	/* What an IFUNC's resolver chose is known to the process alone. */
	if (ref->kind == RELOC_RESOLVER)
		return false;
	if (function != NO_FUNCTION)
		return comparison->new.functions.item[function].entry == ref->target;
	if (!ref->target)
		return ref->symbol && import_is_address(ref);
	return find_place(slicing, ref->target, 0, &old_address) != NOWHERE;
}

/* How far from an address code loads is not known: a table can be copied where no pointer of its section would be left unbound. */
static bool can_copy_tables(struct slicing *slicing, const struct section *section)
{
	const struct program *new = &slicing->comparison->new;
	bool *stuck = &slicing->stuck[section - new->image->sections.item];

	for (size_t i = program_data_ref_index(new, section->span.start);
	     !*stuck && i < new->data_refs.count && new->data_refs.item[i].where < section->span.end; i++)
		*stuck = !slicing->own_pointers[i] && !leads_to_known(slicing, &new->data_refs.item[i]);
	return !*stuck;
}

static bool takes_address(const struct slicing *slicing, uint32_t function, struct range span)
{
	const struct program *new = &slicing->comparison->new;
	const struct function *taker = &new->functions.item[function];

	for (size_t i = 0; i < taker->parts.count; i++)
		if (program_range_refers(new, &new->ranges.item[taker->parts.item[i]], span))
			return true;
	return false;
}

/* Does the function take an address in the span that is not known to be the same in the running image? */
static bool takes_changed(struct slicing *slicing, uint32_t function, struct range span)
{
	const struct program *new = &slicing->comparison->new;
	const struct function *taker = &new->functions.item[function];
	uint64_t old_address;

	for (size_t part = 0; part < taker->parts.count; part++) {
		const struct code_range *range = &new->ranges.item[taker->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++) {
			uint64_t target = new->refs.item[range->first_ref + i].target;

			if (range_holds(span, target) && find_place(slicing, target, 0, &old_address) == NOWHERE)
				return true;
		}
	}
	return false;
}

/*
 * The table that the address is in. A function may take addresses in its middle, which would cut it in two: what lies on both sides of an address that the
 * function takes can be one table, and goes one way.
 */
struct range bind_table_around(const struct slicing *slicing, uint32_t function, const struct section *section, uint64_t address)
{
	const struct program *new = &slicing->comparison->new;
	struct range table = { program_item_start(new, address), program_item_end(new, address) };

	while (table.start > section->span.start && takes_address(slicing, function, (struct range){ table.start, table.start + 1 }))
		table.start = program_item_start(new, table.start - 1);
	while (table.end < section->span.end && takes_address(slicing, function, (struct range){ table.end, table.end + 1 }))
		table.end = program_item_end(new, table.end);
	return table;
}

#define TABLES_MAX 64	/* of one function: for each its code is followed anew */

/* Nothing but the function sees addresses of the table that the address is in, which changed, and of which the slice can have a copy. */
static bool keeps_table(struct slicing *slicing, uint32_t function, const struct section *section, uint64_t address)
{
	const struct program *new = &slicing->comparison->new;

	if (slicing->last_table.function == function && range_holds(slicing->last_table.span, address))
		return slicing->last_table.kept;
	slicing->last_table.count = slicing->last_table.function == function ? slicing->last_table.count + 1 : 1;
	slicing->last_table.function = function;
	slicing->last_table.span = bind_table_around(slicing, function, section, address);
	slicing->last_table.kept = slicing->last_table.count <= TABLES_MAX && span_holds_pointers(new, slicing->last_table.span) &&
				   takes_changed(slicing, function, slicing->last_table.span) && can_copy_tables(slicing, section) &&
				   escape_of(new, function, slicing->last_table.span) == FATE_KEPT;
	return slicing->last_table.kept;
}

/*
 * For a function that keeps a table's addresses to itself the table has no identity. The end of one is the start of the next: that goes with the one which
 * the function can't have from the process. (In an image of fixed address nobody knows for certain which words are pointers.)
 */
static bool is_own_table(struct slicing *slicing, const struct code_ref *ref, uint64_t address, uint64_t back)
{
	const struct program *new = &slicing->comparison->new;
	uint32_t function = ref ? program_function(new, ref->insn) : NO_FUNCTION;

	if (!ref || new->image->fixed_address || ref->kind != REF_ADDRESS)
		return false;
	for (unsigned int before = 0; before < 2; before++) {
		const struct section *section = image_section(new->image, address - before);

		if (!section || !section_is_constant(section) || back > address - section->span.start || !span_holds_pointers(new, section->span) ||
		    !keeps_table(slicing, function, section, address - before))
			continue;
		copy_constants(slicing, section->span);
		return true;
	}
	return false;
}

static const char table_moved[] = "a constant table with pointers that is new, changed or moved";

/* Code goes back from the end of a constant of the slice: that has to be there, too. */
static void copy_before(struct slicing *slicing, uint64_t from, uint64_t address, uint64_t back)
{
	const struct section *section = back ? section_of_constants_before(slicing->comparison->new.image, address) : NULL;
	uint64_t start;

	if (!section)
		return;
	start = back < address - section->span.start ? address - back : section->span.start;
	if (span_holds_pointers(&slicing->comparison->new, (struct range){ start, address }))
		bind_fail(slicing, from, address, table_moved);
	bind_copy_section(slicing, start);
}

/* The slice gets a variable of its own, which begins as the new build's does. */
static void add_variable(struct slicing *slicing, uint64_t from, uint64_t address)
{
	const struct comparison *comparison = slicing->comparison;
	struct range span;
	char *name, *objection;

	if (!added_find(comparison, address, &span))
		return;
	for (size_t i = 0; i < slicing->variables.count; i++)
		if (slicing->variables.item[i].start == span.start)
			return;
	*array_add(&slicing->variables) = span;
	objection = added_objection(comparison, span);
	if (objection)
		bind_fail(slicing, from, address, objection);
	free(objection);
	name = added_name(comparison, span.start);
	*array_add(&slicing->patch->notes) = text_format("%s (%lu bytes at 0x%lx of the new build) is a new variable, which the patch brings along", name,
							 (unsigned long)(span.end - span.start), (unsigned long)span.start);
	free(name);
	bind_pointers(slicing, span);
}

bool bind_is_set_early(const struct slicing *slicing, uint64_t address)
{
	const struct program *new = &slicing->comparison->new;

	return copied_at(new, address) || program_stores(new, address);
}

bool bind_new_table(struct slicing *slicing, uint64_t address)
{
	return is_new_table(slicing, address, true);
}

static void fail_unknown(struct slicing *slicing, uint64_t from, uint64_t address)
{
	const struct named_variable *variable = named_at(&slicing->comparison->named_new, address);
	char *name = added_name(slicing->comparison, address);
	char *why = variable && variable->state == NAMED_RESIZED ? text_format("the variable %s, which has another size", name) :
		text_format("a variable that is new, or whose place in the running image is not certain (--new-data %s takes it for new)", name);

	bind_fail(slicing, from, address, why);
	free(why);
	free(name);
}

static bool fail_seam(struct slicing *slicing, uint64_t from, uint64_t address, const struct code_ref *ref)
{
	char *objection = seams_objection(slicing->comparison, ref, address);
	bool failed = objection != NULL;

	if (failed)
		bind_fail(slicing, from, address, objection);
	free(objection);
	return failed;
}

bool bind_resolve(struct slicing *slicing, uint64_t from, uint64_t address, const struct code_ref *ref, uint64_t back, uint64_t *old_address)
{
	const struct program *new = &slicing->comparison->new;
	const struct section *section = image_section(new->image, address);
	bool constant = section && section_is_constant(section), early = constant && bind_is_set_early(slicing, address);

	*old_address = 0;
	if (constant && holds_labels(slicing, address)) {
		copy_constants(slicing, (struct range){ address, program_item_end(new, address) });
		copy_before(slicing, from, address, back);
		return false;
	}
	if (!early && is_own_table(slicing, ref, address, back))
		return false;
	if (!constant && fail_seam(slicing, from, address, ref))
		return true;
	switch (find_place(slicing, address, back, old_address)) {
	case IN_PROCESS:
		return true;
	case IN_SLICE:
		if (!constant) {
			add_variable(slicing, from, address);
			return false;
		}
		if (is_new_table(slicing, address, true))
			return false;
		if (ref)
			plain_note(slicing, ref, address, back);
		bind_copy_section(slicing, address);
		copy_before(slicing, from, address, back);
		return false;
	case NOWHERE:
		break;
	}
	if (constant && !early && ref && ref->kind == REF_LOAD && !new->image->fixed_address && can_copy_tables(slicing, section)) {
		copy_constants(slicing, section->span);
		return false;
	}
	if (constant)
		bind_fail(slicing, from, address, early ? "what is set when a program starts, and is not known to be in the running image" : table_moved);
	else
		fail_unknown(slicing, from, address);
	return true;
}
void bind_pointer(struct slicing *slicing, const struct data_ref *ref)
{
	const struct comparison *comparison = slicing->comparison;
	uint32_t target = program_function(&comparison->new, ref->target);
	uint64_t old_address;

	if (ref->kind == RELOC_RESOLVER) {
		bind_fail(slicing, ref->where, ref->target, "a function that is chosen at start-up (IFUNC)");
	} else if (target == NO_FUNCTION) {
		bool live = bind_resolve(slicing, ref->where, ref->target, NULL, 0, &old_address);

		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, live ? ANCHOR_OLD : ANCHOR_SLICE, live ? old_address : ref->target, ref->offset);
		if (!live)
			plain_note_pointer(slicing, ref);
	} else if (slicing->included[target] && ref->target != comparison->new.functions.item[target].entry) {
		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_SLICE, ref->target, 0);
	} else if (ref->target != comparison->new.functions.item[target].entry) {
		bind_fail(slicing, ref->where, ref->target, "the middle of a function");
	} else if (comparison->old_of[target] != NO_FUNCTION) {
		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_OLD,
			 comparison->old.functions.item[comparison->old_of[target]].entry, 0);
	} else {
		slicing_include(slicing, target);
		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_SLICE, ref->target, 0);
	}
}
