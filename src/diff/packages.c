#include "diff/packages.h"

#include <stdlib.h>
#include <string.h>

#include "diff/pairing.h"
#include "image/package.h"

struct comparing {
	const struct diff_options *options;
	struct packages old, new;
	struct pairing pairing;
	ARRAY(struct renamed_library) renamed;
	struct bundle *bundle;
	struct package_report *report;
	bool *excluded;		/* per name that is to be excluded: it was found */
	struct error *error;
};

static void note(struct comparing *comparing, const char *path, enum package_verdict verdict, struct error *why)
{
	*array_add(&comparing->report->images) = (struct package_image){ text_copy(path), verdict, why ? why->text : NULL };
	if (why)
		*why = (struct error){ 0 };
}

static bool is_named(const char *name, const struct package_file *file, const char *image)
{
	const char *slash = strrchr(file->path, '/');

	return !strcmp(name, file->path) || !strcmp(name, slash ? slash + 1 : file->path) || (image && !strcmp(name, image));
}

/* `image`: its name, or NULL. `found`: per name that is to be excluded, set if it is this one's; or NULL. */
static bool is_excluded(const struct diff_options *options, const struct package_file *file, const char *image, bool *found)
{
	bool is = false;

	for (size_t i = 0; i < options->exclude_count; i++) {
		if (!is_named(options->exclude[i], file, image))
			continue;
		is = true;
		if (found)
			found[i] = true;
	}
	return is;
}

/* The image owns the bytes from here on. */
static enum status open_file(struct package_file *file, struct image *image, struct error *error)
{
	uint8_t *bytes = file->bytes;

	file->bytes = NULL;
	return image_open_bytes(file->path, bytes, file->size, image, error);
}

static enum status diff_pair(struct comparing *comparing, const struct package_file *old_file, struct image *old,
			     struct package_file *new_file, struct error *error)
{
	struct diff_options options = *comparing->options;
	struct image new = { 0 };
	struct patch patch = { 0 };
	enum status status = open_file(new_file, &new, error);

	options.renamed = comparing->renamed.item;
	options.renamed_count = comparing->renamed.count;
	if (!options.old_version && *old_file->version)
		options.old_version = old_file->version;
	if (!options.new_version && *new_file->version)
		options.new_version = new_file->version;
	if (status == STATUS_OK)
		status = diff_opened(old, &new, &options, &patch, error);
	if (status == STATUS_OK)
		*array_add(comparing->bundle) = patch;
	else
		patch_free(&patch);
	image_close(&new);
	return status;
}

static enum package_verdict verdict_on(enum status status)
{
	return status == STATUS_OK ? PACKAGE_CHANGED : status == STATUS_NOTHING ? PACKAGE_NOTHING : PACKAGE_REFUSED;
}

static void compare_pair(struct comparing *comparing, struct package_file *old_file, struct package_file *new_file)
{
	struct error why = { 0 };
	struct image old = { 0 };
	enum status status;

	if (old_file->size == new_file->size && !memcmp(old_file->bytes, new_file->bytes, old_file->size)) {
		note(comparing, old_file->path, PACKAGE_SAME, NULL);
		return;
	}
	status = open_file(old_file, &old, &why);
	if (is_excluded(comparing->options, old_file, old.name, comparing->excluded)) {
		note(comparing, old_file->path, PACKAGE_EXCLUDED, NULL);
	} else {
		if (status == STATUS_OK)
			status = diff_pair(comparing, old_file, &old, new_file, &why);
		if (verdict_on(status) == PACKAGE_REFUSED)
			refuse(comparing->error, "%s", why.text);
		note(comparing, old_file->path, verdict_on(status), &why);
	}
	error_clear(&why);
	image_close(&old);
	free(new_file->bytes);
	new_file->bytes = NULL;
}

/* What is left out by the user is not patched together with others. */
static void find_renamed(struct comparing *comparing)
{
	for (size_t i = 0; i < comparing->old.files.count; i++) {
		const struct package_file *old_file = &comparing->old.files.item[i], *new_file;
		struct renamed_library one;

		if (comparing->pairing.new_of[i] == NO_FILE)
			continue;
		new_file = &comparing->new.files.item[comparing->pairing.new_of[i]];
		if (!strcmp(old_file->path, new_file->path))	/* (most are, and reading all twice takes long) */
			continue;
		one = (struct renamed_library){ pairing_soname(old_file), pairing_soname(new_file) };
		if (one.old_name && one.new_name && strcmp(one.old_name, one.new_name) != 0 &&
		    !is_excluded(comparing->options, old_file, one.old_name, NULL)) {
			*array_add(&comparing->renamed) = one;
			continue;
		}
		free(one.old_name);
		free(one.new_name);
	}
}

static void compare_all(struct comparing *comparing)
{
	for (size_t i = 0; i < comparing->old.files.count; i++) {
		size_t new = comparing->pairing.new_of[i];

		if (new == NO_FILE)
			note(comparing, comparing->old.files.item[i].path, PACKAGE_ONLY_OLD, NULL);
		else
			compare_pair(comparing, &comparing->old.files.item[i], &comparing->new.files.item[new]);
	}
	for (size_t i = 0; i < comparing->new.files.count; i++)
		if (comparing->pairing.old_of[i] == NO_FILE)
			note(comparing, comparing->new.files.item[i].path, PACKAGE_ONLY_NEW, NULL);
}

static size_t count_verdicts(const struct package_report *report, enum package_verdict verdict)
{
	size_t count = 0;

	for (size_t i = 0; i < report->images.count; i++)
		count += report->images.item[i].verdict == verdict;
	return count;
}

/* A person who decides about the patch is to know what it does not bring. */
static void add_notes(struct comparing *comparing)
{
	for (size_t i = 0; i < comparing->report->images.count; i++)
		for (size_t j = 0; j < comparing->bundle->count && comparing->report->images.item[i].verdict == PACKAGE_EXCLUDED; j++)
			*array_add(&comparing->bundle->item[j].notes) =
				text_format("%s changed, too, and was left out by the user", comparing->report->images.item[i].path);
}

/* All get the one name, which speaks of the package that the first of them is from. */
static void name_together(const struct comparing *comparing)
{
	const struct diff_options *options = comparing->options;
	struct bundle *bundle = comparing->bundle;
	const struct patch *first = &bundle->item[0];
	const char *source = comparing->old.files.item[0].source, *what = *source ? source : first->image;
	char *name = options->name ? text_copy(options->name) : diff_name(what, first->old_version, first->new_version);
	char *description = options->description ? text_copy(options->description) :
			    text_format("%s from %s to %s", what, first->old_version, first->new_version);

	for (size_t i = 0; i < bundle->count; i++) {
		free(bundle->item[i].name);
		free(bundle->item[i].description);
		bundle->item[i].name = text_copy(name);
		bundle->item[i].description = text_copy(description);
	}
	free(name);
	free(description);
}

static enum status conclude(struct comparing *comparing)
{
	const struct package_report *report = comparing->report;
	const struct diff_options *options = comparing->options;

	for (size_t i = 0; i < options->exclude_count; i++)
		if (!comparing->excluded[i])
			return fail(comparing->error, "%s is to be excluded, but no image of that name changed", options->exclude[i]);
	if (count_verdicts(report, PACKAGE_REFUSED))
		return STATUS_REFUSED;
	if (!comparing->bundle->count)
		return error_add(comparing->error, STATUS_NOTHING, "none of %zu images differs in a way that matters to a running process: "
				 "there is nothing to do", report->images.count);
	add_notes(comparing);
	bundle_sort(comparing->bundle);
	if (comparing->bundle->count > 1)
		name_together(comparing);
	return STATUS_OK;
}

enum status diff_packages(const char *old_path, const char *new_path, const struct diff_options *options, struct bundle *bundle,
			  struct package_report *report, struct error *error)
{
	struct comparing comparing = { .options = options, .bundle = bundle, .report = report, .error = error };
	enum status status;

	*bundle = (struct bundle){ 0 };
	*report = (struct package_report){ 0 };
	comparing.excluded = memory_zeroed(options->exclude_count, sizeof(bool));
	status = packages_read(old_path, &comparing.old, error);
	if (status == STATUS_OK)
		status = packages_read(new_path, &comparing.new, error);
	if (status == STATUS_OK) {
		pairing_make(&comparing.old, &comparing.new, &comparing.pairing);
		find_renamed(&comparing);
		compare_all(&comparing);
		status = conclude(&comparing);
	}
	for (size_t i = 0; i < comparing.renamed.count; i++) {
		free(comparing.renamed.item[i].old_name);
		free(comparing.renamed.item[i].new_name);
	}
	array_free(&comparing.renamed);
	pairing_free(&comparing.pairing);
	free(comparing.excluded);
	packages_free(&comparing.old);
	packages_free(&comparing.new);
	return status;
}

void package_report_free(struct package_report *report)
{
	for (size_t i = 0; i < report->images.count; i++) {
		free(report->images.item[i].path);
		free(report->images.item[i].why);
	}
	array_free(&report->images);
}
