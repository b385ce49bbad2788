/* slice.c: what goes into the patch: changed functions, new ones that they need, and what both refer to. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "diff/grown.h"
#include "diff/slicing.h"

void slicing_include(struct slicing *slicing, uint32_t function)
{
	if (slicing->included[function])
		return;
	slicing->included[function] = true;
	slicing->reached_from[function] = slicing->current;
	*array_add(&slicing->work) = function;
}

static void copy_ranges(const struct program *program, uint32_t index, struct range **item, size_t *count, size_t *room)
{
	const struct function *function = &program->functions.item[index];
	ARRAY(struct range) ranges = { 0 };

	for (size_t i = 0; i < function->parts.count; i++)
		*array_add(&ranges) = program->ranges.item[function->parts.item[i]].span;
	*item = ranges.item;
	*count = ranges.count;
	*room = ranges.room;
}

static void decide(struct slicing *slicing, uint32_t old, struct patch_function *out)
{
	const struct comparison *comparison = slicing->comparison;
	const char *why;

	if (comparison->old.functions.item[old].startup) {
		out->action = ACTION_STARTUP;
		return;
	}
	if (out->change == CHANGE_LINE && !comparison->options->keep_lines) {
		out->action = ACTION_NOISE;
		return;
	}
	out->action = ACTION_REDIRECT;
	why = entry_plan_make(&comparison->old, old, out);
	if (why)
		slicing->status = refuse(slicing->error, "%s (%s+0x%lx) changed and cannot be redirected: %s", out->name,
					 comparison->old.image->name, (unsigned long)out->old_entry, why);
}

static void add_changed(struct slicing *slicing, uint32_t old)
{
	struct comparison *comparison = slicing->comparison;
	uint32_t new = comparison->new_of[old];
	struct patch_function *out = array_add(&slicing->patch->functions);

	*out = (struct patch_function){
		.name = program_function_name(&comparison->old, old),
		.old_entry = comparison->old.functions.item[old].entry,
		.new_entry = comparison->new.functions.item[new].entry,
	};
	change_explain(comparison, old, out);
	change_add_reasons(comparison, old, out);
	copy_ranges(&comparison->old, old, &out->old_ranges.item, &out->old_ranges.count, &out->old_ranges.room);
	decide(slicing, old, out);
	if (out->action == ACTION_REDIRECT) {
		copy_ranges(&comparison->new, new, &out->new_ranges.item, &out->new_ranges.count, &out->new_ranges.room);
		slicing_include(slicing, new);
	}
}

/* A function without counterpart, reached from the slice. */
static void add_new(struct slicing *slicing, uint32_t new)
{
	struct comparison *comparison = slicing->comparison;
	struct patch_function *out;

	if (comparison->old_of[new] != NO_FUNCTION)
		return;
	out = array_add(&slicing->patch->functions);
	*out = (struct patch_function){
		.name = program_function_name(&comparison->new, new),
		.change = CHANGE_NEW,
		.action = ACTION_ADD,
		.new_entry = comparison->new.functions.item[new].entry,
	};
	if (slicing->reached_from[new] != NO_FUNCTION) {
		char *name = program_function_name(&comparison->new, slicing->reached_from[new]);

		out->detail = text_format("reached from %s", name);
		free(name);
	}
	copy_ranges(&comparison->new, new, &out->new_ranges.item, &out->new_ranges.count, &out->new_ranges.room);
}

static void check_new_code(struct slicing *slicing, uint32_t new)
{
	const struct program *program = &slicing->comparison->new;
	const struct function *function = &program->functions.item[new];
	char *name = program_function_name(program, new);

	for (size_t i = 0; i < function->parts.count; i++)
		if (!program->ranges.item[function->parts.item[i]].covered || !program->ranges.item[function->parts.item[i]].decoded)
			slicing->status = refuse(slicing->error, "%s: its new code has no unwind data, or data among its instructions", name);
	free(name);
}

static const char live_objects[] = "objects that live in the process are as the old build made them";

/* What code that stays knows of a structure holds. Takes `what` over; NULL: nothing is wrong. */
static void report_layout(struct slicing *slicing, char *what, const char *why)
{
	const char *image = slicing->patch->image;

	if (what && slicing->comparison->options->allow_layout)
		*array_add(&slicing->patch->notes) = text_format("%s; that was allowed (--allow-layout)", what);
	else if (what)
		slicing->status = refuse(slicing->error, "%s: %s; %s (--allow-layout overrules)", image, what, why);
	free(what);
}

static void check_layout(struct slicing *slicing)
{
	const struct comparison *comparison = slicing->comparison;
	const struct layout_signs *displaced = &comparison->displaced, *reframed = &comparison->reframed;

	if (displaced->count)
		report_layout(slicing, text_format("a structure's layout moved: in %zu function%s with otherwise the same instructions displacements of memory operands differ (%s)",
						   displaced->count, displaced->count == 1 ? "" : "s", displaced->first), live_objects);
	if (reframed->count)
		report_layout(slicing, text_format("an object on the stack has another size: in %zu function%s nothing but the frame's size and places in it differ (%s)",
						   reframed->count, reframed->count == 1 ? "" : "s", reframed->first),
			      "code that stays, also of other images, takes it for one of the old size");
	report_layout(slicing, grown_object(comparison, slicing->included), live_objects);
	report_layout(slicing, grown_member(comparison, slicing->included), live_objects);
}

static void check_thread_locals(struct slicing *slicing)
{
	const struct image *old = slicing->comparison->old.image, *new = slicing->comparison->new.image;

	if (slicing->comparison->thread_local_moved)
		slicing->status = refuse(slicing->error, "%s: its thread-local variables moved (%s), and running threads have them where they were",
					 old->name, slicing->comparison->thread_local_moved);
	if (old->tls.end - old->tls.start != new->tls.end - new->tls.start || old->tls_align != new->tls_align)
		slicing->status = refuse(slicing->error, "%s: its thread-local storage changed from %lu to %lu bytes, and running threads have the old one",
					 old->name, (unsigned long)(old->tls.end - old->tls.start), (unsigned long)(new->tls.end - new->tls.start));
}

/* By name; versions of one name in the table's order. */
static int compare_exported(const void *one, const void *other)
{
	const struct symbol *a = *(const struct symbol *const *)one, *b = *(const struct symbol *const *)other;
	int names = strcmp(a->name, b->name);

	return names ? names : (a > b) - (a < b);
}

static void find_interface(struct slicing *slicing)
{
	const struct image *image = slicing->comparison->new.image;

	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].dynamic && image->symbols.item[i].defined)
			*array_add(&slicing->interface) = &image->symbols.item[i];
	if (slicing->interface.count)
		qsort(slicing->interface.item, slicing->interface.count, sizeof(*slicing->interface.item), compare_exported);
}

/* A symbol without a version is the same as one with any. */
static bool same_version(const struct symbol *a, const struct symbol *b)
{
	return !a->version || !b->version || strcmp(a->version, b->version) == 0;
}

/* What the new image exports under the old one's symbol, of the same version and type, or NULL. */
static const struct symbol *exported_symbol(const struct slicing *slicing, const struct symbol *symbol)
{
	size_t low = 0, high = slicing->interface.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(slicing->interface.item[middle]->name, symbol->name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < slicing->interface.count && strcmp(slicing->interface.item[low]->name, symbol->name) == 0; low++)
		if (slicing->interface.item[low]->type == symbol->type && same_version(slicing->interface.item[low], symbol))
			return slicing->interface.item[low];
	return NULL;
}

/* Other images see these by name, and go on seeing the old ones. */
static void note_exported_constants(struct slicing *slicing)
{
	struct comparison *comparison = slicing->comparison;
	const struct image *old = comparison->old.image, *new = comparison->new.image;

	for (size_t i = 0; i < old->symbols.count; i++) {
		const struct symbol *symbol = &old->symbols.item[i];
		bool exported = symbol->dynamic && symbol->defined && symbol->type == STT_OBJECT;
		const struct symbol *other = exported ? exported_symbol(slicing, symbol) : NULL;
		const struct section *a = image_section(old, symbol->value), *b = other ? image_section(new, other->value) : NULL;

		if (a && b && section_is_constant(a) && section_is_constant(b) && constants_compare(comparison, symbol->value, other->value))
			*array_add(&slicing->patch->notes) = text_format("the exported constant %s differs; other images go on with the old one", symbol->name);
	}
}

static void note_removed(struct slicing *slicing)
{
	const struct comparison *comparison = slicing->comparison;
	size_t removed = 0;

	for (uint32_t f = 0; f < comparison->old.functions.count; f++) {
		if (comparison->new_of[f] != NO_FUNCTION)
			continue;
		removed++;
		if (comparison->old.functions.item[f].exported)
			*array_add(&slicing->patch->notes) = text_format("%s is no longer part of the interface; who calls it goes on with the old code",
									 comparison->old.functions.item[f].name);
	}
	if (removed)
		*array_add(&slicing->patch->notes) = text_format("%zu function%s of the old build %s no counterpart and stay%s; only replaced code refers to them",
								 removed, removed == 1 ? "" : "s", removed == 1 ? "has" : "have", removed == 1 ? "s" : "");
}

static int compare_functions(const void *one, const void *other)
{
	const struct patch_function *a = one, *b = other;

	if (a->new_entry != b->new_entry)
		return a->new_entry < b->new_entry ? -1 : 1;
	return (a->old_entry > b->old_entry) - (a->old_entry < b->old_entry);
}

/* Labels of a changed function in variables: the process holds those of the old code. */
static void check_labels(struct slicing *slicing)
{
	const struct program *old = &slicing->comparison->old;

	for (size_t i = 0; i < old->data_refs.count; i++) {
		const struct data_ref *ref = &old->data_refs.item[i];
		const struct section *section = image_section(old->image, ref->where);
		uint32_t function = program_function(old, ref->target);

		if (function == NO_FUNCTION || !slicing->comparison->changed[function] || old->functions.item[function].startup || !section ||
		    section_is_constant(section) || section_is_slots(section) || program_range(old, ref->target)->span.start == ref->target)
			continue;
		slicing->status = refuse(slicing->error, "%s: the variable at 0x%lx points into the middle of a function that changed, at 0x%lx",
					 old->image->name, (unsigned long)ref->where, (unsigned long)ref->target);
	}
}

/* Two names of the interface that were one function must not have become two: only one of them could be redirected. */
static void check_aliases(struct slicing *slicing)
{
	const struct comparison *comparison = slicing->comparison;
	const struct image *old = comparison->old.image;

	for (size_t i = 0; i < old->symbols.count; i++) {
		const struct symbol *symbol = &old->symbols.item[i], *other;
		uint32_t f = symbol->dynamic && symbol->defined && symbol->type == STT_FUNC ? program_function(&comparison->old, symbol->value) : NO_FUNCTION;
		uint32_t g;

		if (f == NO_FUNCTION || comparison->old.functions.item[f].entry != symbol->value ||
		    !(other = exported_symbol(slicing, symbol)))
			continue;
		g = program_function(&comparison->new, other->value);
		if (g != NO_FUNCTION && comparison->new.functions.item[g].entry == other->value && comparison->new_of[f] != g)
			slicing->status = refuse(slicing->error, "%s: %s was another name of a function whose other name now leads elsewhere",
						 old->name, symbol->name);
	}
}

static void collect(struct slicing *slicing)
{
	struct comparison *comparison = slicing->comparison;

	for (uint32_t f = 0; f < comparison->old.functions.count; f++)
		if (comparison->changed[f])
			add_changed(slicing, f);
	if (!slicing->patch->functions.count)
		return;
	import_find_stubs(slicing);
	while (slicing->work.count) {
		uint32_t next = slicing->work.item[--slicing->work.count];

		slicing->current = next;
		check_new_code(slicing, next);
		add_new(slicing, next);
		bind_function(slicing, next);
	}
	check_layout(slicing);
	qsort(slicing->patch->functions.item, slicing->patch->functions.count, sizeof(struct patch_function), compare_functions);
}

enum status slice_build(struct comparison *comparison, struct patch *patch, struct error *error)
{
	struct slicing slicing = {
		.comparison = comparison,
		.patch = patch,
		.error = error,
		.included = memory_zeroed(comparison->new.functions.count, sizeof(bool)),
		.reached_from = memory_zeroed(comparison->new.functions.count, sizeof(uint32_t)),
		.current = NO_FUNCTION,
		.last_table = { .function = NO_FUNCTION },
		.last_plain = { .function = NO_FUNCTION },
		.slots = memory_zeroed(comparison->new.data_refs.count, sizeof(*slicing.slots)),
		.constants = memory_zeroed(comparison->new.data_refs.count, sizeof(*slicing.constants)),
		.own_pointers = memory_zeroed(comparison->new.data_refs.count, sizeof(bool)),
		.stub_places = memory_zeroed(comparison->new.image->relocations.count, sizeof(*slicing.stub_places)),
		.asked = memory_zeroed(comparison->old.functions.count, sizeof(bool)),
		.compares = memory_zeroed(comparison->old.functions.count, sizeof(bool)),
		.copied = memory_zeroed(comparison->new.image->sections.count, sizeof(bool)),
		.stuck = memory_zeroed(comparison->new.image->sections.count, sizeof(bool)),
	};
	size_t active = 0;

	find_interface(&slicing);
	collect(&slicing);
	check_aliases(&slicing);
	for (size_t i = 0; i < patch->functions.count; i++)
		active += patch->functions.item[i].action == ACTION_REDIRECT;
	if (active) {
		import_check_libraries(&slicing);
		check_thread_locals(&slicing);
		check_labels(&slicing);
		classes_check(&slicing);
		plain_bind(&slicing);
		reasons_note_inlined(comparison, patch);
		note_removed(&slicing);
		note_exported_constants(&slicing);
	}
	if (!slicing.status)
		slicing.status = active ? segments_build(&slicing) : STATUS_NOTHING;
	array_free(&slicing.work);
	array_free(&slicing.interface);
	array_free(&slicing.forwarders);
	array_free(&slicing.stubs);
	array_free(&slicing.own_stubs);
	array_free(&slicing.variables);
	array_free(&slicing.words);
	array_free(&slicing.plain);
	array_free(&slicing.last_plain.spans);
	free(slicing.included);
	free(slicing.reached_from);
	free(slicing.slots);
	free(slicing.constants);
	free(slicing.own_pointers);
	free(slicing.stub_places);
	free(slicing.copied);
	free(slicing.asked);
	free(slicing.compares);
	free(slicing.stuck);
	return slicing.status;
}
