/* changes.c: which functions changed, and what changed in data that already lives in the process. */
#include <ctype.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "diff/comparison.h"
#include "diff/versions.h"

static enum difference function_difference(struct comparison *comparison, uint32_t old)
{
	const struct function *f = &comparison->old.functions.item[old], *g = &comparison->new.functions.item[comparison->new_of[old]];
	struct ref_pair pair = { 0 };

	while (ref_pair_next(comparison, old, &pair)) {
		enum difference difference = code_refs_compare(comparison, pair.old, pair.new);

		if (difference)
			return difference;
	}
	for (size_t i = 0; i < f->parts.count; i++) {
		enum difference difference = handlers_compare(comparison, &comparison->old.ranges.item[f->parts.item[i]],
							      &comparison->new.ranges.item[g->parts.item[i]]);

		if (difference)
			return difference;
	}
	return SAME;
}

/*
 * A function found changed loses its votes, which may show that another one refers to something else
 * than its old version did. It ends because functions only ever become changed.
 */
void changes_find(struct comparison *comparison)
{
	bool again = true;

	for (uint32_t f = 0; f < comparison->old.functions.count; f++)
		comparison->changed[f] = comparison->new_of[f] != NO_FUNCTION && !comparison->alike[f];
	while (again) {
		again = false;
		match_data(comparison);
		for (uint32_t f = 0; f < comparison->old.functions.count; f++)
			if (comparison->alike[f] && !comparison->changed[f] && function_difference(comparison, f)) {
				comparison->changed[f] = true;
				again = true;
			}
	}
}

/* --- data that the process holds --- */

/* A variable that is a text, or points to one, which is another one in the new build. */
struct text_change {
	uint64_t address;	/* of what differs */
	const char *what;
	const char *old, *new;
};

#define NO_VARIABLE UINT64_MAX

struct data_check {
	struct comparison *comparison;
	struct patch *patch;
	struct error *error;
	enum status status;
	uint64_t last_reported;	/* start of the last variable that was reported, NO_VARIABLE before that */
	uint64_t last_noted;	/* likewise of those that only say the version */
	ARRAY(struct text_change) texts;
};

/* The symbol at the address, or "image+0xADDRESS". free() it. */
static char *item_name(const struct program *program, uint64_t address)
{
	const struct image *image = program->image;

	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].defined && image->symbols.item[i].value == address && image->symbols.item[i].type == STT_OBJECT)
			return text_copy(image->symbols.item[i].name);
	return text_format("%s+0x%lx", image->name, (unsigned long)address);
}

static bool is_allowed(const struct diff_options *options, const char *name)
{
	for (size_t i = 0; i < options->allow_data_count; i++)
		if (strcmp(options->allow_data[i], name) == 0 || strcmp(options->allow_data[i], "all") == 0)
			return true;
	return false;
}

/* One line for each variable, however much of it differs. */
static void report(struct data_check *check, const char *what, uint64_t address)
{
	uint64_t start = program_item_start(&check->comparison->old, address);
	char *name;

	if (check->last_reported == start)
		return;
	check->last_reported = start;
	name = item_name(&check->comparison->old, start);
	if (is_allowed(check->comparison->options, name))
		*array_add(&check->patch->notes) = text_format("the variable %s: %s; left as it is in the process", name, what);
	else
		check->status = refuse(check->error, "the variable %s: %s (--allow-data %s leaves it as it is in the process)", name, what, name);
	free(name);
}

/*
 * The text that the byte is in, as the file has it: printable from the item's start, where the variable begins, to a zero in the section. NULL: it
 * is none.
 */
static const char *text_around(const struct program *program, const struct section *section, uint64_t address)
{
	uint64_t start = program_item_start(program, address), end = start;

	if (start < section->span.start)
		return NULL;
	while (end < section->span.end && isprint(section->data[end - section->span.start]))
		end++;
	return end > address && end < section->span.end && !section->data[end - section->span.start]
		       ? (const char *)section->data + (start - section->span.start) : NULL;
}

/* A note for the user, one for each variable. (The text may have several lines.) */
static void note_version(struct data_check *check, uint64_t address, const char *text)
{
	const struct program *old = &check->comparison->old;
	uint64_t start = program_item_start(old, address);
	char *name;

	if (check->last_noted == start)
		return;
	check->last_noted = start;
	name = item_name(old, start);
	*array_add(&check->patch->notes) =
		utf8_make_printable(text_format("the variable %s only says the version, and is left as it is in the process: \"%.60s\"", name, text));
	free(name);
}

/* Is the byte of an aligned number that says the version, and nothing else? Where both builds have it at the same place of that. */
static bool says_version(const struct data_check *check, const struct section *a, const struct section *b, struct mark at)
{
	uint64_t before = at.old & 3, old = at.old - before, new = at.new - before;

	return (at.new & 3) == before && old >= a->span.start && new >= b->span.start && old + 4 <= a->span.end && new + 4 <= b->span.end &&
	       versions_numbers_differ(check->comparison->options, load32(a->data + (old - a->span.start)), load32(b->data + (new - b->span.start)));
}

/* Differences in texts are judged when all are known: one may say what another one means. */
static void note_text(struct data_check *check, const char *what, uint64_t address, const char *old, const char *new)
{
	const struct text_change *last = check->texts.count ? &check->texts.item[check->texts.count - 1] : NULL;

	if (!last || last->old != old || last->new != new)
		*array_add(&check->texts) = (struct text_change){ address, what, old, new };
}

static void check_pointers(struct data_check *check, const struct data_ref *x, const struct data_ref *y)
{
	static const char what[] = "a pointer in its initial value differs";
	const char *old = x->target ? text_at(check->comparison->old.image, x->target) : NULL;
	const char *new = y->target ? text_at(check->comparison->new.image, y->target) : NULL;

	if (!pointers_compare(check->comparison, x, y))
		return;
	if (old && new && strcmp(old, new) != 0)
		note_text(check, what, x->where, old, new);
	else
		report(check, what, x->where);
}

static void check_byte(struct data_check *check, const struct section *a, const struct section *b, struct mark at)
{
	static const char what[] = "its initial value differs";
	const char *old = text_around(&check->comparison->old, a, at.old), *new = text_around(&check->comparison->new, b, at.new);

	if (says_version(check, a, b, at)) {
		note_version(check, at.old, check->comparison->options->old_version);
		return;
	}
	if (old && new && (const uint8_t *)old - a->data - (ptrdiff_t)(at.old - a->span.start) ==
				  (const uint8_t *)new - b->data - (ptrdiff_t)(at.new - b->span.start))
		note_text(check, what, at.old, old, new);
	else
		report(check, what, at.old);
}

static void judge_texts(struct data_check *check)
{
	const struct diff_options *options = check->comparison->options;
	struct release release = { 0 };

	/* The release is learned from all of them, before any is judged by it. */
	for (size_t i = 0; i < check->texts.count; i++)
		(void)versions_differ(options, check->texts.item[i].old, check->texts.item[i].new, &release);
	for (size_t i = 0; i < check->texts.count; i++) {
		const struct text_change *text = &check->texts.item[i];

		if (versions_differ(options, text->old, text->new, &release))
			note_version(check, text->address, text->old);
		else
			report(check, text->what, text->address);
	}
}

static uint64_t skip_pointers(const struct handler_pointers *pointers, uint64_t address)
{
	while (handlers_own(pointers, address))
		address += sizeof(uint64_t);
	return address;
}

/* Of two sections of which the file has the values, between two marks. */
static void check_values(struct data_check *check, const struct section *a, const struct section *b, struct mark at, struct mark end)
{
	struct comparison *comparison = check->comparison;

	for (;;) {
		const struct data_ref *x, *y;

		at.old = skip_pointers(&comparison->old_pointers, at.old);
		at.new = skip_pointers(&comparison->new_pointers, at.new);
		if (at.old >= end.old || at.new >= end.new)
			return;
		x = at.old % 8 ? NULL : program_data_ref(&comparison->old, at.old);
		y = at.new % 8 ? NULL : program_data_ref(&comparison->new, at.new);
		if (x && y) {
			check_pointers(check, x, y);
			at = (struct mark){ at.old + 8, at.new + 8 };
			continue;
		}
		if ((x && !x->guessed) || (y && !y->guessed))
			report(check, "its initial value differs", at.old);
		else if (a->data[at.old - a->span.start] != b->data[at.new - b->span.start])
			check_byte(check, a, b, at);
		at = (struct mark){ at.old + 1, at.new + 1 };
	}
}

/* Of the variables that both builds have, wherever they lie now. */
static void check_named_values(struct data_check *check, const struct section *a, const struct section *b, struct mark from, struct mark to)
{
	const struct named_variables *names = &check->comparison->named_old;

	/* (A mark may be in the middle of one.) */
	for (size_t i = named_index_reaching(names, from.old); i < names->count && names->item[i].span.start < to.old; i++) {
		const struct named_variable *variable = &names->item[i];
		uint64_t start = variable->span.start > from.old ? variable->span.start : from.old;
		struct mark at = { start, variable->other + (start - variable->span.start) };
		struct mark end = { variable->span.end, variable->other + (variable->span.end - variable->span.start) };

		if (variable->state == NAMED_PAIRED && start < variable->span.end && range_holds(b->span, at.new) && end.new <= b->span.end)
			check_values(check, a, b, at, end);
	}
}

static void check_marks(struct data_check *check, const struct section *a, const struct section *b, const struct layout *layout)
{
	const struct image *old = check->comparison->old.image;
	char *why = NULL;

	for (size_t i = 1; i < layout->count; i++) {
		struct mark from = layout->item[i - 1], to = layout->item[i];
		enum laid_out laid_out = layout_compare(check->comparison, layout, i, &why);

		if (laid_out == LAID_OUT_OTHERWISE) {
			check->status = refuse(check->error, "%s: the layout of %s changed at %s+0x%lx: %s, and the process holds the old one",
					       old->name, a->name, old->name, (unsigned long)from.old,
					       why ? why : "a variable grew, moved or is new (symbols would tell)");
			break;
		}
		if (a->data && b->data)
			(laid_out == LAID_OUT_ALIKE ? check_values : check_named_values)(check, a, b, from, to);
	}
	free(why);
}

static void check_section(struct data_check *check, const struct section *section)
{
	const struct section *other = image_section_named(check->comparison->new.image, section->name);
	struct layout layout = { 0 };

	if (!other || (!section->thread_local && (other->relro || !other->write))) {
		check->status = refuse(check->error, "%s: its section of variables %s has no counterpart in the new build",
				       check->comparison->old.image->name, section->name);
		return;
	}
	layout_find(check->comparison, section, other, &layout);
	check_marks(check, section, other, &layout);
	array_free(&layout);
}

enum status changes_check_data(struct comparison *comparison, struct patch *patch, struct error *error)
{
	struct data_check check = { .comparison = comparison, .patch = patch, .error = error,
				    .last_reported = NO_VARIABLE, .last_noted = NO_VARIABLE };
	const struct image *old = comparison->old.image;

	for (size_t i = 0; i < old->sections.count; i++) {
		const struct section *section = &old->sections.item[i];

		if (section_is_variables(section))
			check_section(&check, section);
	}
	judge_texts(&check);
	array_free(&check.texts);
	return check.status;
}
