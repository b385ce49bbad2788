/*
 * bind_handlers.c: what the unwind tables of the slice's code refer to.
 *
 * They lie in the slice at the new image's addresses, so what is inside needs no binding: landing pads, and the language-specific data
 * areas where the FDE has a distance to them. What leaves the slice are personality routines and types. A type is an identity (a
 * handler asks whether the object thrown is of it), so it is always the one of the running image.
 *
 * Tables of position-independent code refer to both by way of a pointer that the compiler makes for this purpose (DW.ref.*, in the
 * variables, but never written to by the program). Instead of the new image's, any pointer of the old image will do that is constant
 * and leads to the same; where there is none the slice has one of its own, which may be to a symbol of another image (imports.c).
 */
#include "program/handlers.h"

#include "diff/slicing.h"
#include "image/dwarf_bytes.h"

/* A pointer of the old image that nobody writes to once the dynamic linker has. */
static bool is_constant_pointer(const struct slicing *slicing, const struct data_ref *ref)
{
	const struct section *section = image_section(slicing->comparison->old.image, ref->where);

	if (ref->kind != RELOC_RELATIVE && ref->kind != RELOC_ADDRESS && ref->kind != RELOC_SLOT)
		return false;
	return (section && section->relro) || handlers_own(&slicing->comparison->old_pointers, ref->where);
}

static bool same_import(const struct data_ref *a, const struct data_ref *b)
{
	return a->symbol && symbols_equal(a->symbol, a->version, b->symbol, b->version) && a->addend == b->addend && a->offset == b->offset;
}

/* Where such a pointer to `target` of the old image stands, or to the same import as `wanted`; 0: nowhere. */
static uint64_t find_pointer(const struct slicing *slicing, const struct data_ref *wanted, uint64_t target)
{
	const struct program *old = &slicing->comparison->old;

	for (size_t i = 0; i < old->data_refs.count; i++) {
		const struct data_ref *ref = &old->data_refs.item[i];

		if ((wanted->symbol ? same_import(ref, wanted) : !ref->symbol && ref->target == target && !ref->offset) && is_constant_pointer(slicing, ref))
			return ref->where;
	}
	return 0;
}

static void fail_ref(struct slicing *slicing, const struct handler_ref *ref, const char *why)
{
	bind_fail(slicing, slicing->comparison->new.functions.item[slicing->current].entry, ref->target, why);
}

/* The field gets this address, whichever way it is encoded. */
static void bind_ref(struct slicing *slicing, const struct handler_ref *ref, enum anchor anchor, uint64_t target)
{
	bool relative = (ref->encoding & PE_BASE) == PE_PCREL;
	size_t size = dwarf_encoded_size(ref->encoding);

	if (relative && size == 4)
		bind_add(slicing, ref->where, BINDING_PC32, anchor, target, 0);
	else if (!relative && size == 4)
		bind_add(slicing, ref->where, (ref->encoding & PE_FORMAT) == PE_SDATA4 ? BINDING_ABSOLUTE32S : BINDING_ABSOLUTE32, anchor, target, 0);
	else if (!relative && size == 8)
		bind_add(slicing, ref->where, BINDING_ABSOLUTE64, anchor, target, 0);
	else
		fail_ref(slicing, ref, "its unwind tables have a field of a kind that is not known");
}

static bool is_constant_at(const struct image *image, uint64_t address)
{
	const struct section *section = image_section(image, address);

	return section && section_is_constant(section);
}

/* (The answer for a pointer is always the same, and every function of a C++ program asks for that to its personality routine.) */
static uint64_t old_pointer(const struct slicing *slicing, const struct data_ref *wanted, uint64_t target)
{
	struct same_pointer *pointer = &slicing->constants[wanted - slicing->comparison->new.data_refs.item];

	if (!pointer->known)
		*pointer = (struct same_pointer){ true, find_pointer(slicing, wanted, target) };
	return pointer->where;
}

/* A function or a type of the new image: its place in the running one. */
static bool find_target(struct slicing *slicing, uint64_t address, uint64_t *old_address)
{
	const struct comparison *comparison = slicing->comparison;
	const struct vote *vote = votes_reverse(&comparison->data, address);
	uint32_t function = program_function(&comparison->new, address);

	/* The address of a type is where it begins, so code that has not changed may say where that is now. */
	if (function == NO_FUNCTION && vote && is_constant_at(comparison->old.image, vote->to) && is_constant_at(comparison->new.image, address) &&
	    constants_compare(slicing->comparison, vote->to, address) == SAME) {
		*old_address = vote->to;
		return true;
	}
	if (function == NO_FUNCTION)
		return bind_find_constant(slicing, address, old_address);
	if (comparison->old_of[function] == NO_FUNCTION || comparison->new.functions.item[function].entry != address)
		return false;
	*old_address = comparison->old.functions.item[comparison->old_of[function]].entry;
	return true;
}

static void bind_pointer_to(struct slicing *slicing, const struct handler_ref *ref)
{
	const struct data_ref *wanted = program_data_ref(&slicing->comparison->new, ref->target);
	uint64_t target = 0, pointer;
	bool known = wanted && wanted->target && !wanted->offset && find_target(slicing, wanted->target, &target);

	pointer = wanted && (known || wanted->symbol) ? old_pointer(slicing, wanted, target) : 0;
	if (pointer) {
		bind_ref(slicing, ref, ANCHOR_OLD, pointer);
		return;
	}
	if (known) {
		*array_add(&slicing->words) = ref->target;
		bind_add(slicing, ref->target, BINDING_ABSOLUTE64, ANCHOR_OLD, target, 0);
	} else if (wanted && wanted->target && !wanted->offset && bind_new_table(slicing, wanted->target)) {
		*array_add(&slicing->words) = ref->target;
		bind_add(slicing, ref->target, BINDING_ABSOLUTE64, ANCHOR_SLICE, wanted->target, 0);
	} else if (!wanted || !wanted->symbol || wanted->target) {
		fail_ref(slicing, ref, "a type or personality routine that is new");
		return;
	} else if (!import_word(slicing, wanted)) {
		return;
	}
	if ((ref->encoding & PE_BASE) != PE_PCREL)
		bind_ref(slicing, ref, ANCHOR_SLICE, ref->target);
}

static void bind_direct(struct slicing *slicing, const struct handler_ref *ref)
{
	const struct program *new = &slicing->comparison->new;
	const struct data_ref *data = program_data_ref(new, ref->target);
	uint64_t target = 0;

	if (data && data->kind == RELOC_COPY && data->symbol)
		target = copied_in(&slicing->comparison->old, data);
	else if (program_function(new, ref->target) == NO_FUNCTION && program_stub(new, ref->target))
		target = import_old_stub(slicing, ref->target);
	else if (!find_target(slicing, ref->target, &target))
		target = 0;
	if (target)
		bind_ref(slicing, ref, ANCHOR_OLD, target);
	else if (bind_new_table(slicing, ref->target))
		bind_ref(slicing, ref, ANCHOR_SLICE, ref->target);
	else
		fail_ref(slicing, ref, "a type or personality routine that is new, or that the running image does not import");
}

/* The slice has all of a function, so it must land there. */
static bool lands_inside(const struct program *program, const struct lsda *area, uint32_t function)
{
	for (size_t i = 0; i < area->calls.count; i++)
		if (area->calls.item[i].pad && program_function(program, area->calls.item[i].pad) != function)
			return false;
	return true;
}

void bind_handlers(struct slicing *slicing, const struct code_range *range)
{
	const struct program *new = &slicing->comparison->new;
	struct handlers handlers;
	const char *why = handlers_read(new, range, &handlers);

	if (!why && !lands_inside(new, &handlers.area, range->function))
		why = "exceptions land in another function";
	if (why)
		bind_fail(slicing, range->span.start, handlers.entry.target, why);
	for (size_t i = 0; i < handlers.refs.count && !why; i++) {
		const struct handler_ref *ref = &handlers.refs.item[i];

		if (ref->target && ref->encoding & PE_INDIRECT)
			bind_pointer_to(slicing, ref);
		else if (ref->target)
			bind_direct(slicing, ref);
	}
	if (!why && handlers.entry.where) {
		bind_copy_section(slicing, handlers.entry.target);
		if ((handlers.entry.encoding & PE_BASE) != PE_PCREL)
			bind_ref(slicing, &handlers.entry, ANCHOR_SLICE, handlers.entry.target);
	}
	handlers_free(&handlers);
}
