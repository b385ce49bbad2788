/*
 * bind.c: what each reference of the slice's code means in the running process.
 *
 * Inside the slice nothing needs binding: it keeps the new image's layout. What must be bound:
 *  - a function that has a counterpart: always its entry in the old image. A changed one is redirected
 *    there, so function pointers stay comparable, and a later patch of it takes effect for this slice too;
 *  - imports: the old image's own stubs and slots for the same symbol;
 *  - variables and constants: bind_data.c.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/slicing.h"

void bind_add(struct slicing *slicing, uint64_t where, enum binding_type type, enum anchor anchor, uint64_t target, int64_t addend)
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

void bind_field(struct slicing *slicing, const struct code_ref *ref, enum anchor anchor, uint64_t target)
{
	if (ref->kind != REF_ABSOLUTE) {
		bind_add(slicing, ref->where, BINDING_PC32, anchor, target, ref->offset - (int64_t)ref->tail);
		return;
	}
	bind_add(slicing, ref->where, ref->size == 8 ? BINDING_ABSOLUTE64 : BINDING_ABSOLUTE32S, anchor, target, ref->offset);
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
		bind_fail(slicing, ref->insn, ref->target, slot ? "a function that is chosen at start-up (IFUNC), and that the running image has no stub for"
								: "code that belongs to no function");
	}
}

/* --- data --- */

/* As long as nobody has called by way of it, a slot for calls holds no function's address, but that of a stub's second half: it is none for taking addresses. */
static bool same_use(const struct slicing *slicing, const struct data_ref *old, const struct data_ref *new)
{
	const struct relocation *x = image_relocation(slicing->comparison->old.image, old->where);
	const struct relocation *y = image_relocation(slicing->comparison->new.image, new->where);

	return x && y ? x->type == y->type : x == y;
}

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

			if (ref->kind == wanted->kind && same_use(slicing, ref, wanted) && pointers_compare(comparison, ref, wanted) == SAME)
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

static void bind_data(struct slicing *slicing, const struct code_ref *ref)
{
	const struct section *section = image_section(slicing->comparison->new.image, ref->target);
	uint64_t old_address;

	if (section && section_is_slots(section) && program_data_ref(&slicing->comparison->new, ref->target)) {
		bind_slot(slicing, ref);
		return;
	}
	if (section && section_is_constant(section) && ref->kind == REF_LOAD && ref->access &&
	    !bind_holds_pointers(&slicing->comparison->new, ref->target) && !bind_is_set_early(slicing, ref->target)) {
		bind_copy_section(slicing, ref->target);
		return;
	}
	if (bind_resolve(slicing, ref->insn, ref->target, ref, backward_reach(&slicing->comparison->new, ref), &old_address))
		bind_field(slicing, ref, ANCHOR_OLD, old_address);
	else if (ref->kind == REF_ABSOLUTE)
		bind_field(slicing, ref, ANCHOR_SLICE, ref->target);
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
			bind_add(slicing, ref->where, BINDING_ABSOLUTE64, ANCHOR_SLICE, ref->target, 0);
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
