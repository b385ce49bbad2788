/*
 * bind.c: what each reference of the slice's code means in the running process.
 *
 * Inside the slice nothing needs binding: it keeps the new image's layout. What must be bound:
 *  - a function that has a counterpart: always its entry in the old image. A changed one is redirected
 *    there, so function pointers stay comparable, and a later patch of it takes effect for this slice too;
 *  - imports: the old image's own stubs and slots for the same symbol;
 *  - variables, and constants that hold pointers (their address is an identity): where they are now.
 * Constants without pointers (texts, tables, floating point) are the slice's own.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/slicing.h"

static void add_binding(struct slicing *slicing, uint64_t where, uint32_t type, enum anchor anchor, uint64_t target, int64_t addend)
{
	*array_add(&slicing->patch->bindings) = (struct patch_binding){
		.where = where, .type = type, .anchor = anchor, .target = target, .addend = addend };
}

void bind_fail(struct slicing *slicing, uint64_t from, uint64_t target, const char *why)
{
	const struct program *new = &slicing->comparison->new;
	uint32_t function = program_function(new, from);
	char *name = function != NO_FUNCTION ? program_function_name(new, function) : text_format("%s+0x%lx", new->image->name, (unsigned long)from);

	slicing->status = refuse(slicing->error, "%s: its new code at 0x%lx refers to 0x%lx of the new build: %s", name,
				 (unsigned long)from, (unsigned long)target, why);
	free(name);
}

void bind_add(struct slicing *slicing, uint64_t where, enum binding_type type, enum anchor anchor, uint64_t target)
{
	add_binding(slicing, where, type, anchor, target, 0);
}

static void bind_field(struct slicing *slicing, const struct code_ref *ref, enum anchor anchor, uint64_t target)
{
	if (ref->kind != REF_ABSOLUTE) {
		add_binding(slicing, ref->where, BINDING_PC32, anchor, target, ref->offset - (int64_t)ref->tail);
		return;
	}
	add_binding(slicing, ref->where, ref->size == 8 ? BINDING_ABSOLUTE64 : BINDING_ABSOLUTE32S, anchor, target, ref->offset);
}

/* --- code --- */

static void forward(struct slicing *slicing, uint64_t where, uint64_t target)
{
	for (size_t i = 0; i < slicing->forwarders.count; i++)
		if (slicing->forwarders.item[i].where == where)
			return;
	*array_add(&slicing->forwarders) = (struct forwarder){ where, target };
}

static void bind_entry(struct slicing *slicing, const struct code_ref *ref, uint32_t target)
{
	const struct comparison *comparison = slicing->comparison;
	uint32_t f = comparison->old_of[target];

	if (f == NO_FUNCTION) {
		slicing_include(slicing, target);
		if (ref->kind == REF_ABSOLUTE)
			bind_field(slicing, ref, ANCHOR_SLICE, ref->target);
	} else if (ref->size >= 4) {
		bind_field(slicing, ref, ANCHOR_OLD, comparison->old.functions.item[f].entry);
	} else if (!slicing->included[target]) {
		forward(slicing, ref->target, comparison->old.functions.item[f].entry);
	}
}

/* Into the middle of another function: only where that one is the same code in both builds. */
static void bind_inside(struct slicing *slicing, const struct code_ref *ref, uint32_t target)
{
	const struct comparison *comparison = slicing->comparison;
	uint32_t f = comparison->old_of[target];
	const struct function *x, *y = &comparison->new.functions.item[target];

	if (f == NO_FUNCTION || !comparison->alike[f] || comparison->changed[f] || ref->size < 4) {
		bind_fail(slicing, ref->insn, ref->target, "the middle of a function that changed");
		return;
	}
	x = &comparison->old.functions.item[f];
	for (size_t i = 0; i < y->parts.count; i++) {
		const struct code_range *a = &comparison->old.ranges.item[x->parts.item[i]], *b = &comparison->new.ranges.item[y->parts.item[i]];

		if (range_holds(b->span, ref->target))
			bind_field(slicing, ref, ANCHOR_OLD, a->span.start + (ref->target - b->span.start));
	}
}

/* A function of this image that the new code reaches by way of a stub or slot that the old image does not have. */
static void bind_own(struct slicing *slicing, const struct code_ref *ref, uint64_t entry)
{
	const struct comparison *comparison = slicing->comparison;
	uint32_t target = program_function(&comparison->new, entry), f = comparison->old_of[target];

	if (comparison->new.functions.item[target].entry != entry || ref->size < 4) {
		bind_fail(slicing, ref->insn, entry, "the middle of a function");
	} else if (f != NO_FUNCTION) {
		bind_field(slicing, ref, ANCHOR_OLD, comparison->old.functions.item[f].entry);
	} else {
		slicing_include(slicing, target);
		bind_field(slicing, ref, ANCHOR_SLICE, entry);
	}
}

static void bind_code(struct slicing *slicing, const struct code_ref *ref, uint32_t self)
{
	const struct program *new = &slicing->comparison->new;
	uint32_t target = program_function(new, ref->target);
	const struct relocation *slot;
	uint64_t stub;

	/* A loop back to the own entry stays inside: memory below the stack pointer may be in use there. */
	if (target == self && (ref->target != new->functions.item[self].entry || ref->insn_kind == INSN_JUMP ||
			       ref->insn_kind == INSN_JUMP_CONDITIONAL)) {
		if (ref->kind == REF_ABSOLUTE)
			bind_field(slicing, ref, ANCHOR_SLICE, ref->target);
	} else if (target != NO_FUNCTION && ref->target == new->functions.item[target].entry) {
		bind_entry(slicing, ref, target);
	} else if (target != NO_FUNCTION) {
		bind_inside(slicing, ref, target);
	} else if ((slot = program_stub(new, ref->target)) && (stub = import_old_stub(slicing, ref->target))) {
		bind_field(slicing, ref, ANCHOR_OLD, stub);
	} else if (slot && slot->value && program_function(new, slot->value) != NO_FUNCTION) {
		/* A function of the new build itself, called by way of its interface. */
		bind_own(slicing, ref, slot->value);
	} else if (slot && slot->symbol) {
		import_stub(slicing, ref->target);
		if (ref->kind == REF_ABSOLUTE)
			bind_field(slicing, ref, ANCHOR_SLICE, ref->target);
	} else {
		bind_fail(slicing, ref->insn, ref->target, "code that belongs to no function");
	}
}

/* --- data --- */

/* The old slot that holds the same, or 0. */
static uint64_t find_slot(const struct slicing *slicing, const struct data_ref *wanted)
{
	struct comparison *comparison = slicing->comparison;
	const struct program *old = &comparison->old;

	for (size_t i = 0; i < old->image->sections.count; i++) {
		const struct section *section = &old->image->sections.item[i];

		for (size_t j = section_is_slots(section) ? program_data_ref_index(old, section->span.start) : old->data_refs.count;
		     j < old->data_refs.count && old->data_refs.item[j].where < section->span.end; j++) {
			const struct data_ref *ref = &old->data_refs.item[j];

			if (ref->kind == wanted->kind && pointers_compare(comparison, ref, wanted) == SAME)
				return ref->where;
		}
	}
	return 0;
}

static uint64_t old_slot(const struct slicing *slicing, const struct data_ref *wanted)
{
	struct same_pointer *slot = &slicing->slots[wanted - slicing->comparison->new.data_refs.item];

	if (!slot->known)
		*slot = (struct same_pointer){ true, find_slot(slicing, wanted) };
	return slot->where;
}

static void bind_pointer(struct slicing *slicing, const struct data_ref *ref);

void bind_copy_section(struct slicing *slicing, uint64_t address)
{
	const struct image *image = slicing->comparison->new.image;

	slicing->copied[image_section(image, address) - image->sections.item] = true;
}

static void bind_slot(struct slicing *slicing, const struct code_ref *ref)
{
	const struct data_ref *wanted = program_data_ref(&slicing->comparison->new, ref->target);
	uint64_t slot = wanted ? old_slot(slicing, wanted) : 0;

	if (slot) {
		bind_field(slicing, ref, ANCHOR_OLD, slot);
	} else if (wanted && wanted->target && (wanted->kind == RELOC_RELATIVE || wanted->kind == RELOC_SLOT)) {
		/* A pointer to something of this image: the slice can have a slot of its own. */
		bind_copy_section(slicing, ref->target);
		bind_pointer(slicing, wanted);
		if (ref->kind == REF_ABSOLUTE)
			bind_field(slicing, ref, ANCHOR_SLICE, ref->target);
	} else if (wanted && wanted->symbol) {
		if (import_slot(slicing, wanted) && ref->kind == REF_ABSOLUTE)
			bind_field(slicing, ref, ANCHOR_SLICE, ref->target);
	} else {
		bind_fail(slicing, ref->insn, ref->target, "a slot of the global offset table that the running image does not have");
	}
}

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

static bool holds_pointers(const struct program *program, uint64_t address)
{
	return span_holds_pointers(program, (struct range){ address, program_item_end(program, address) });
}

/* May the address be the end of a table of pointers? Then it goes where the table goes. */
static bool ends_pointers(const struct program *program, uint64_t address)
{
	const struct section *section = image_section(program->image, address);

	return address > section->span.start && holds_pointers(program, program_item_start(program, address - 1));
}

/*
 * A constant with pointers has an identity: programs compare its address. So its place in the process is
 * used, if its content is unchanged and nothing moved between it and its predecessor (else an address could as well be
 * the end of the one before).
 */
bool bind_find_constant(struct slicing *slicing, uint64_t address, uint64_t *old_address)
{
	struct comparison *comparison = slicing->comparison;
	uint64_t before;

	if (!variable_in_old(comparison, address, old_address) || constants_compare(comparison, *old_address, address) != SAME)
		return false;
	if (image_section(comparison->new.image, address)->span.start == address)
		return image_section(comparison->old.image, *old_address)->span.start == *old_address;
	return variable_in_old(comparison, address - 1, &before) && before == *old_address - 1;
}

/*
 * A text's address may be an identity as well (a default that is compared before it is freed). Where code that is the same in both builds,
 * or lined-up code of changed functions, refers to the text, its place in the process is used. Not behind a table, whose end it may be.
 */
static bool bind_text(const struct slicing *slicing, uint64_t address, uint64_t *old_address)
{
	const struct comparison *comparison = slicing->comparison;
	const struct program *new = &comparison->new;
	const struct vote *vote = votes_reverse(&comparison->data, address);
	const char *text = text_at(new->image, address), *old_text;

	if (!vote)
		vote = votes_reverse(&comparison->aligned, address);
	if (!vote || !text || !text_at(new->image, program_item_start(new, address - 1)))
		return false;
	old_text = text_at(comparison->old.image, vote->to);
	*old_address = vote->to;
	return old_text && strcmp(old_text, text) == 0;
}

/* The slice gets its own copy of what stands in the section there, with its pointers bound. */
static void copy_constants(struct slicing *slicing, struct range span)
{
	const struct program *new = &slicing->comparison->new;

	bind_copy_section(slicing, span.start);
	for (size_t i = program_data_ref_index(new, span.start); i < new->data_refs.count && new->data_refs.item[i].where < span.end; i++) {
		if (slicing->own_pointers[i])
			continue;
		slicing->own_pointers[i] = true;
		bind_pointer(slicing, &new->data_refs.item[i]);
	}
}

/* Neither a table of pointers nor what may be the end of one. */
static bool is_plain(const struct program *program, const struct section *section, uint64_t address)
{
	return !section->relro && !holds_pointers(program, address) && !ends_pointers(program, address);
}

/*
 * Code that does nothing with a table's address but load from there, at once, keeps it nowhere and compares it with nothing: for that code
 * it is no identity. (In an image of fixed address nobody knows for certain which words are pointers.)
 */
static bool only_loads(const struct slicing *slicing, const struct code_ref *ref)
{
	const struct program *new = &slicing->comparison->new;
	const struct code_range *range = program_range(new, ref->insn);
	uint64_t offset = ref->insn - range->span.start;

	return !new->image->fixed_address && (ref->kind == REF_LOAD ||
	       new->image->arch->only_loads(program_code(new, range) + offset, range->span.end - range->span.start - offset));
}

/* Where an item of the new image's data is for the slice's code. */
enum place {
	IN_PROCESS,	/* where the old image has it */
	IN_SLICE,	/* a constant without an identity: the slice's own */
	NOWHERE,	/* it has an identity, or changes, and is not known to be the same in the old image */
};

/* `back`: from the address code goes back so many bytes. *old_address is set in any case, and means something where it is IN_PROCESS. */
static enum place find_place(struct slicing *slicing, uint64_t address, uint64_t back, uint64_t *old_address)
{
	struct comparison *comparison = slicing->comparison;
	const struct section *section = image_section(comparison->new.image, address);
	bool constant = section && section_is_constant(section), found;

	*old_address = 0;
	if (constant && bind_text(slicing, address, old_address) &&
	    constants_compare_before(comparison, *old_address, address, back) == SAME)
		return IN_PROCESS;
	if (constant && is_plain(&comparison->new, section, address))
		return IN_SLICE;
	/* (The end of an item at the end of its section is no constant here.) */
	found = constant ? bind_find_constant(slicing, address, old_address) : variable_binding(comparison, address, old_address);
	return found && constants_compare_before(comparison, *old_address, address, back) == SAME ? IN_PROCESS : NOWHERE;
}

static bool leads_to_known(struct slicing *slicing, const struct data_ref *ref)
{
	const struct comparison *comparison = slicing->comparison;
	uint32_t function = program_function(&comparison->new, ref->target);
	uint64_t old_address;

	if (function != NO_FUNCTION)
		return comparison->old_of[function] != NO_FUNCTION && comparison->new.functions.item[function].entry == ref->target;
	return ref->target && find_place(slicing, ref->target, 0, &old_address) != NOWHERE;
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

/*
 * An address of data, which code refers to with `ref` (NULL: a pointer), and from which it goes back so many bytes. Returns false when it is the
 * slice's own; else its place in the running image.
 */
static bool resolve_data(struct slicing *slicing, uint64_t from, uint64_t address, const struct code_ref *ref, uint64_t back, uint64_t *old_address)
{
	const struct program *new = &slicing->comparison->new;
	const struct section *section = image_section(new->image, address);
	bool constant = section && section_is_constant(section);

	*old_address = 0;
	if (constant && holds_labels(slicing, address)) {
		copy_constants(slicing, (struct range){ address, program_item_end(new, address) });
		copy_before(slicing, from, address, back);
		return false;
	}
	switch (find_place(slicing, address, back, old_address)) {
	case IN_PROCESS:
		return true;
	case IN_SLICE:
		bind_copy_section(slicing, address);
		copy_before(slicing, from, address, back);
		return false;
	case NOWHERE:
		break;
	}
	if (constant && ref && !back && only_loads(slicing, ref) && can_copy_tables(slicing, section)) {
		copy_constants(slicing, section->span);
		return false;
	}
	bind_fail(slicing, from, address, constant ? table_moved : "a variable that is new, or whose place in the running image is not certain");
	return true;
}

static void bind_data(struct slicing *slicing, const struct code_ref *ref)
{
	const struct section *section = image_section(slicing->comparison->new.image, ref->target);
	uint64_t old_address;

	if (section && section_is_slots(section) && program_data_ref(&slicing->comparison->new, ref->target)) {
		bind_slot(slicing, ref);
		return;
	}
	if (section && section_is_constant(section) && ref->kind == REF_LOAD && ref->access && !holds_pointers(&slicing->comparison->new, ref->target)) {
		bind_copy_section(slicing, ref->target);
		return;
	}
	if (resolve_data(slicing, ref->insn, ref->target, ref, backward_reach(&slicing->comparison->new, ref), &old_address))
		bind_field(slicing, ref, ANCHOR_OLD, old_address);
	else if (ref->kind == REF_ABSOLUTE)
		bind_field(slicing, ref, ANCHOR_SLICE, ref->target);
}

/* A pointer inside of data that the slice has its own copy of. */
static void bind_pointer(struct slicing *slicing, const struct data_ref *ref)
{
	const struct comparison *comparison = slicing->comparison;
	uint32_t target = program_function(&comparison->new, ref->target);
	uint64_t old_address;

	if (target == NO_FUNCTION) {
		bool live = resolve_data(slicing, ref->where, ref->target, NULL, 0, &old_address);

		add_binding(slicing, ref->where, BINDING_ABSOLUTE64, live ? ANCHOR_OLD : ANCHOR_SLICE, live ? old_address : ref->target, ref->offset);
	} else if (slicing->included[target] && ref->target != comparison->new.functions.item[target].entry) {
		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_SLICE, ref->target);
	} else if (ref->target != comparison->new.functions.item[target].entry) {
		bind_fail(slicing, ref->where, ref->target, "the middle of a function");
	} else if (comparison->old_of[target] != NO_FUNCTION) {
		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_OLD,
			    comparison->old.functions.item[comparison->old_of[target]].entry);
	} else {
		slicing_include(slicing, target);
		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_SLICE, ref->target);
	}
}

static bool is_displacement(const struct program *program, const struct code_ref *ref)
{
	const struct code_range *range = program_range(program, ref->insn);
	struct insn insn;

	return program->image->arch->decode(program_code(program, range) + (ref->insn - range->span.start), range->span.end - ref->insn,
					    ref->insn, &insn) &&
	       insn.displacement.size && ref->where == ref->insn + insn.displacement.offset;
}

/* An item that has a name, or the functions of a class behind the head of its table (Itanium C++ ABI, 2.5.2). */
static bool is_named(const struct image *image, uint64_t address)
{
	const struct symbol *symbol = image_object(image, address);

	return symbol && (symbol->value == address || (symbol->value + 16 == address && strncmp(symbol->name, "_ZTV", 4) == 0));
}

/*
 * In an image of fixed address, is the number an address? The displacement of a memory operand that lies inside the image
 * is one (no structure is megabytes long). Of an immediate something must say so (a kept relocation, or a known address); nothing is guessed.
 */
static bool is_address(const struct slicing *slicing, uint32_t self, const struct code_ref *ref)
{
	const struct program *new = &slicing->comparison->new;
	uint64_t target = ref->target;
	uint32_t function = program_function(new, target);

	return ref->exact || is_displacement(new, ref) || (function != NO_FUNCTION && (function == self || new->functions.item[function].entry == target)) ||
	       program_stub(new, target) || votes_reverse(&slicing->comparison->data, target) || text_at(new->image, target) ||
	       is_named(new->image, target);
}

static void bind_reference(struct slicing *slicing, const struct code_ref *ref, uint32_t self)
{
	const struct section *section = image_section(slicing->comparison->new.image, ref->target);

	if (ref->kind == REF_ABSOLUTE && !is_address(slicing, self, ref))
		bind_fail(slicing, ref->insn, ref->target, "a number that may or may not be an address");
	else if (section && section->execute)
		bind_code(slicing, ref, self);
	else
		bind_data(slicing, ref);
}

/* Jump tables of absolute addresses (image of fixed address): constants whose pointers lead into the function itself. */
static void bind_jump_tables(struct slicing *slicing, uint32_t function)
{
	const struct program *new = &slicing->comparison->new;

	for (size_t i = 0; i < new->data_refs.count; i++) {
		const struct data_ref *ref = &new->data_refs.item[i];

		if (program_function(new, ref->target) == function && ref->target != new->functions.item[function].entry) {
			bind_copy_section(slicing, ref->where);
			bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_SLICE, ref->target);
		}
	}
}

void bind_function(struct slicing *slicing, uint32_t function)
{
	const struct program *new = &slicing->comparison->new;
	const struct function *g = &new->functions.item[function];

	for (size_t part = 0; part < g->parts.count; part++) {
		const struct code_range *range = &new->ranges.item[g->parts.item[part]];

		for (uint32_t i = 0; i < range->ref_count; i++)
			bind_reference(slicing, &new->refs.item[range->first_ref + i], function);
		bind_handlers(slicing, range);
	}
	if (new->image->fixed_address)
		bind_jump_tables(slicing, function);
}
