#include "diff/diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "diff/comparison.h"
#include "image/debug.h"

/* Below this share of functions that match exactly, two builds are taken for unrelated. */
#define RELATED_PERCENT 50

static char *id_text(const struct build_id *id)
{
	char *text = text_format("%*s", id->size * 2, "");

	for (size_t i = 0; i < id->size; i++)
		for (int half = 0; half < 2; half++)
			text[i * 2 + half] = "0123456789abcdef"[(id->bytes[i] >> (half ? 0 : 4)) & 15];
	return text;
}

/* Version as given, or the first 8 digits of the build-id. free() it. */
static char *version_text(const char *given, const struct build_id *id)
{
	char *text = given ? text_copy(given) : id_text(id);

	if (!given && strlen(text) > 8)
		text[8] = '\0';
	return text;
}

char *diff_name(const char *what, const char *old_version, const char *new_version)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+:~@-";
	char *name = text_format("%.80s-%.50s-to-%.50s", what, old_version, new_version);

	for (char *at = name; *at; at++)
		if (!strchr(allowed, *at))
			*at = '_';
	return name;
}

char *diff_name_of(const struct image *old, const struct image *new)
{
	char *old_version = version_text(NULL, &old->id), *new_version = version_text(NULL, &new->id);
	char *name = diff_name(old->name, old_version, new_version);

	free(old_version);
	free(new_version);
	return name;
}

static void describe(const struct comparison *comparison, struct patch *patch)
{
	const struct diff_options *options = comparison->options;
	const struct image *old = comparison->old.image, *new = comparison->new.image;

	patch->image = text_copy(old->name);
	patch->old_version = version_text(options->old_version, &old->id);
	patch->new_version = version_text(options->new_version, &new->id);
	patch->name = options->name ? text_copy(options->name) : diff_name(patch->image, patch->old_version, patch->new_version);
	patch->description = options->description ? text_copy(options->description)
						  : text_format("%s from %s to %s", patch->image, patch->old_version, patch->new_version);
	patch->tool = text_copy("stent " STENT_VERSION);
	patch->machine = old->arch->machine;
	patch->fixed_address = old->fixed_address;
	patch->old_id = old->id;
	patch->new_id = new->id;
	patch->old_span = old->span;
	patch->new_span = new->span;
}

static enum status check_kin(const struct image *old, const struct image *new, struct error *error)
{
	if (old->arch != new->arch)
		return refuse(error, "%s is for %s, %s for %s", old->name, old->arch->name, new->name, new->arch->name);
	if (old->fixed_address != new->fixed_address || old->library != new->library)
		return refuse(error, "%s and %s are of different kinds (executable at a fixed address, position independent, library)", old->name, new->name);
	if (build_id_equal(&old->id, &new->id))
		return error_add(error, STATUS_NOTHING, "%s: both files have the same build-id: there is nothing to do", old->name);
	return STATUS_OK;
}

/*
 * Names cut code and data into items: where only one build has them (debug information of the installed version is at hand, that of the running one
 * is not), what is the same would be cut otherwise, and look changed.
 */
static void level_names(struct image *old, struct image *new)
{
	if (image_has_names(old) == image_has_names(new))
		return;
	image_drop_names(old);
	image_drop_names(new);
}

static enum status check_related(const struct comparison *comparison, struct error *error)
{
	size_t alike = 0, larger = comparison->old.functions.count;

	if (comparison->new.functions.count > larger)
		larger = comparison->new.functions.count;
	for (size_t i = 0; i < comparison->old.functions.count; i++)
		alike += comparison->alike[i];
	if (alike * 100 < larger * RELATED_PERCENT)
		return refuse(error, "%s and %s are too different: only %zu of %zu functions (%zu%%) match", comparison->old.image->name,
			      comparison->new.image->name, alike, larger, alike * 100 / larger);
	return STATUS_OK;
}

static enum status explain_nothing(const struct patch *patch, struct error *error)
{
	for (size_t i = 0; i < patch->functions.count; i++)
		if (patch->functions.item[i].action == ACTION_STARTUP)
			error_add(error, STATUS_NOTHING, "%s: changed, but it runs at start-up only: only a restart can bring this change",
				  patch->functions.item[i].name);
	return error_add(error, STATUS_NOTHING, "%s: no other function differs in a way that matters to a running process: there is nothing to do",
			 patch->image);
}

/* Nothing else differs in the table in which the pointer stands. */
static bool only_says_version(struct comparison *comparison, struct mark pointer)
{
	uint64_t before = pointer.old - program_item_start(&comparison->old, pointer.old);

	return constants_compare(comparison, pointer.old - before, pointer.new - before) == SAME;
}

/* What is left as it is in the process, though it changed. */
static void note_versions(struct comparison *comparison, struct patch *patch)
{
	const char *last = NULL;

	for (size_t i = 0; i < comparison->versions.count; i++) {
		struct mark pointer = comparison->versions.item[i];
		const char *text = text_at(comparison->old.image, program_data_ref(&comparison->old, pointer.old)->target);

		if (text == last || !only_says_version(comparison, pointer))
			continue;
		last = text;
		*array_add(&patch->notes) = utf8_make_printable(
			text_format("a table of constants only says the version, and is left as it is in the process: \"%.60s\"", text));
	}
}

static enum status compare(struct comparison *comparison, struct patch *patch, struct error *error)
{
	enum status status, data, startup;

	comparison->new_of = memory_zeroed(comparison->old.functions.count, sizeof(uint32_t));
	comparison->old_of = memory_zeroed(comparison->new.functions.count, sizeof(uint32_t));
	comparison->alike = memory_zeroed(comparison->old.functions.count, sizeof(bool));
	comparison->changed = memory_zeroed(comparison->old.functions.count, sizeof(bool));
	for (size_t how = 0; how < ALIGNMENTS; how++)
		comparison->counterparts[how] = (struct counterparts){
			.old_targets = memory_zeroed(comparison->new.refs.count, sizeof(uint64_t)),
			.lined_up = memory_zeroed(comparison->new.functions.count, sizeof(bool)),
		};
	comparison->called = memory_zeroed(comparison->old.functions.count, sizeof(bool));
	handlers_find_pointers(&comparison->old, &comparison->old_pointers);
	handlers_find_pointers(&comparison->new, &comparison->new_pointers);
	classes_find(&comparison->old, &comparison->old_classes);
	classes_find(&comparison->new, &comparison->new_classes);
	match_functions(comparison);
	status = check_related(comparison, error);
	if (status)
		return status;
	changes_find(comparison);
	match_evidence(comparison);
	named_find(comparison);
	/* All reasons are wanted, so no check hides another. */
	data = changes_check_data(comparison, patch, error);
	status = slice_build(comparison, patch, error);
	startup = startup_callees_check(comparison, patch, error);
	note_versions(comparison, patch);
	if (data == STATUS_REFUSED || startup == STATUS_REFUSED)
		return STATUS_REFUSED;
	return status == STATUS_NOTHING ? explain_nothing(patch, error) : status;
}

static void comparison_free(struct comparison *comparison)
{
	program_free(&comparison->old);
	program_free(&comparison->new);
	votes_clear(&comparison->data);
	votes_clear(&comparison->aligned);
	votes_clear(&comparison->aligned_back);
	memo_free(&comparison->constants);
	reasons_free(comparison);
	free(comparison->displaced.first);
	free(comparison->reframed.first);
	free(comparison->thread_local_moved);
	free(comparison->new_of);
	free(comparison->old_of);
	free(comparison->alike);
	free(comparison->changed);
	for (size_t how = 0; how < ALIGNMENTS; how++) {
		free(comparison->counterparts[how].old_targets);
		free(comparison->counterparts[how].lined_up);
	}
	free(comparison->called);
	array_free(&comparison->old_pointers);
	array_free(&comparison->new_pointers);
	array_free(&comparison->old_classes);
	array_free(&comparison->new_classes);
	array_free(&comparison->named_old);
	array_free(&comparison->named_new);
	array_free(&comparison->versions);
}

enum status diff_opened(struct image *old, struct image *new, const struct diff_options *options,
			struct patch *patch, struct error *error)
{
	struct comparison comparison = { .options = options };
	enum status status = check_kin(old, new, error);

	*patch = (struct patch){ 0 };
	if (!status && options->debug_info) {
		image_add_debug(old);
		image_add_debug(new);
	}
	if (!status)
		level_names(old, new);
	if (!status)
		status = program_load(old, &comparison.old, error);
	if (!status)
		status = program_load(new, &comparison.new, error);
	if (!status) {
		describe(&comparison, patch);
		status = compare(&comparison, patch, error);
	}
	comparison_free(&comparison);
	return status;
}

enum status diff_images(const char *old_path, const char *new_path, const struct diff_options *options,
			struct patch *patch, struct error *error)
{
	struct image old = { 0 }, new = { 0 };
	enum status status;

	*patch = (struct patch){ 0 };
	status = image_open(old_path, &old, error);
	if (!status)
		status = image_open(new_path, &new, error);
	if (!status)
		status = diff_opened(&old, &new, options, patch, error);
	image_close(&old);
	image_close(&new);
	return status;
}
