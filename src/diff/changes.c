/* changes.c: which functions changed, and what changed in data that already lives in the process. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "diff/comparison.h"

static enum difference function_difference(struct comparison *comparison, uint32_t old)
{
	struct ref_pair pair = { 0 };

	while (ref_pair_next(comparison, old, &pair)) {
		enum difference difference = code_refs_compare(comparison, pair.old, pair.new);

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

struct data_check {
	struct comparison *comparison;
	struct patch *patch;
	struct error *error;
	enum status status;
	bool reported;
	uint64_t last_reported;	/* start of the last variable that was reported */
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

	if (check->reported && check->last_reported == start)
		return;
	check->reported = true;
	check->last_reported = start;
	name = item_name(&check->comparison->old, start);
	if (is_allowed(check->comparison->options, name))
		*array_add(&check->patch->notes) = text_format("the variable %s: %s; left as it is in the process", name, what);
	else
		check->status = refuse(check->error, "the variable %s: %s (--allow-data %s leaves it as it is in the process)", name, what, name);
	free(name);
}

/* Writable data must lie as it did: everything in it at one distance, and the section of the same size. */
static bool moved_as_one(const struct comparison *comparison, const struct section *a, const struct section *b, uint64_t *where)
{
	uint64_t distance = b->span.start - a->span.start;

	for (size_t i = 0; i < comparison->data.winners.count; i++) {
		const struct vote *vote = &comparison->data.winners.item[i];

		if (range_holds(a->span, vote->from) && range_holds(b->span, vote->to) && vote->to - vote->from != distance) {
			*where = vote->from;
			return false;
		}
	}
	*where = a->span.end;
	return a->span.end - a->span.start == b->span.end - b->span.start;
}

static void check_values(struct data_check *check, const struct section *a, const struct section *b)
{
	struct comparison *comparison = check->comparison;
	const struct program *old = &comparison->old, *new = &comparison->new;
	uint64_t size = a->span.end - a->span.start;

	for (uint64_t at = 0; at < size;) {
		const struct data_ref *x = at % 8 ? NULL : program_data_ref(old, a->span.start + at);
		const struct data_ref *y = at % 8 ? NULL : program_data_ref(new, b->span.start + at);

		if (x && y) {
			if (pointers_compare(comparison, x, y))
				report(check, "a pointer in its initial value differs", a->span.start + at);
			at += 8;
		} else if (a->data[at] != b->data[at] || (x && !x->guessed) || (y && !y->guessed)) {
			report(check, "its initial value differs", a->span.start + at);
			at = (at | 7) + 1;
		} else {
			at++;
		}
	}
}

static void check_section(struct data_check *check, const struct section *section)
{
	const struct section *other = image_section_named(check->comparison->new.image, section->name);
	uint64_t where = section->span.start;

	if (!other || (!section->thread_local && (other->relro || !other->write))) {
		check->status = refuse(check->error, "%s: its section of variables %s has no counterpart in the new build",
				       check->comparison->old.image->name, section->name);
		return;
	}
	if (!moved_as_one(check->comparison, section, other, &where)) {
		check->status = refuse(check->error, "%s: the layout of %s changed at %s+0x%lx: a variable grew, moved or is new, and the process holds the old one",
				       check->comparison->old.image->name, section->name, check->comparison->old.image->name, (unsigned long)where);
		return;
	}
	if (section->data && other->data)
		check_values(check, section, other);
}

enum status changes_check_data(struct comparison *comparison, struct patch *patch, struct error *error)
{
	struct data_check check = { .comparison = comparison, .patch = patch, .error = error };
	const struct image *old = comparison->old.image;

	for (size_t i = 0; i < old->sections.count; i++) {
		const struct section *section = &old->sections.item[i];

		if (section->thread_local || (section->write && !section->relro && !section_is_slots(section)))
			check_section(&check, section);
	}
	return check.status;
}
