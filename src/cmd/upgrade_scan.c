/*
 * upgrade_scan.c: which processes have mapped images that are others on disk by now.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cmd/everywhere.h"
#include "cmd/outcomes.h"
#include "cmd/upgrade.h"
#include "live/origin.h"
#include "live/successor.h"

#define LIMIT 30000u	/* milliseconds for one process, whose replaced files are read as a whole */

struct scan {
	const struct upgrade *upgrade;
	struct known_files known;	/* each child has its own */
	struct origins origins;
};

void upgrade_decide(json_t *image, enum status status, json_t *why)
{
	json_object_set_new(image, "result", json_string(outcome_name(status)));
	json_object_set(image, "why", why);
}

static void decide_by(json_t *image, enum status status, struct error *error)
{
	json_t *why = everywhere_lines(error);

	upgrade_decide(image, status, why);
	json_decref(why);
}

/* The name is what follows the last slash: of "nginx", "/usr/sbin/nginx" and "libssl.so*" all three are meant. */
static bool matches(const struct names *patterns, const char *image, const char *path)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < patterns->count; i++)
		if (!fnmatch(patterns->item[i], image, 0) || !fnmatch(patterns->item[i], path, 0) ||
		    (slash && !fnmatch(patterns->item[i], slash + 1, 0)))
			return true;
	return false;
}

static bool is_wanted(const struct upgrade *upgrade, const char *image, const char *path)
{
	return (!upgrade->only.count || matches(&upgrade->only, image, path)) && !matches(&upgrade->except, image, path);
}

static bool is_of_upgrade(const struct ledger *ledger)
{
	return !strncmp(ledger->description, UPGRADE_MARK, strlen(UPGRADE_MARK));
}

/* What a patch in force knows of the image; NULL: it is not on it. */
static const struct ledger_image *find_on(const struct ledger *ledger, const struct mapped_image *mapped)
{
	const struct ledger_image *image = ledger->state == LEDGER_ACTIVE ? ledger_find_image(ledger, &mapped->id, mapped->bias) : NULL;

	return image && !image->lost ? image : NULL;
}

/* The new build is in the process already, as a patch. (Its ledger says so: a process that forges one deceives nobody else.) */
static const struct ledger *find_done(const struct survey *survey, const struct mapped_image *mapped, const struct build_id *new_id)
{
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger_image *on = find_on(&survey->ledgers.item[i], mapped);

		if (on && build_id_equal(&on->new_id, new_id))
			return &survey->ledgers.item[i];
	}
	return NULL;
}

/* Earlier patches of the image: those of stent upgrade are replaced, others are somebody's who may still want them. */
static void check_patches(const struct scan *scan, const struct survey *survey, const struct mapped_image *mapped, json_t *image)
{
	json_t *replaced = json_array();

	json_object_set_new(image, "replaces", replaced);
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];
		struct error error = { 0 };

		if (!find_on(ledger, mapped))
			continue;
		json_array_append_new(replaced, json_string(ledger->name));
		if (is_of_upgrade(ledger) || scan->upgrade->replace)
			continue;
		(void)refuse(&error, "patch %s of %s is in it, which stent upgrade has not made: revert it, or let it be taken out by --replace",
			     ledger->name, mapped->name);
		decide_by(image, STATUS_REFUSED, &error);
		return;
	}
}

static void print_digest(const struct rows_digest *digest, char text[2 * ROWS_FILE_DIGEST + 1])
{
	for (size_t i = 0; i < ROWS_FILE_DIGEST; i++)
		snprintf(text + 2 * i, 3, "%02x", digest->bytes[i]);
}

static void set_digest(json_t *image, const char *name, const struct rows_digest *digest)
{
	char text[2 * ROWS_FILE_DIGEST + 1];

	print_digest(digest, text);
	json_object_set_new(image, name, json_string(text));
}

static void set_build_id(json_t *image, const char *name, const struct build_id *id)
{
	char text[2 * BUILD_ID_MAX + 5];

	json_object_set_new(image, name, json_string(build_id_text(id, text)));
}

/* Which versions of the package the two builds are of: both or none. */
static void set_versions(struct scan *scan, const struct process_root *root, int old, const struct successor *successor, json_t *image)
{
	const struct origin *origin = origin_find(&scan->origins, root, successor->path);
	struct stat about;
	const char *earlier = fstat(old, &about) == 0 ? origin_earlier_version(origin, &about) : NULL;

	if (!earlier || !*origin->version)
		return;
	json_object_set_new(image, "old_version", json_string(earlier));
	json_object_set_new(image, "new_version", json_string(origin->version));
}

/* Digests of both files, and their versions. What can't be compared can only be restarted: that is decided here. */
static void read_files(struct scan *scan, const struct survey *survey, const struct process_root *root, const struct mapped_image *mapped,
		       const struct successor *successor, json_t *image)
{
	struct error error = { 0 };
	int old = successor_open_mapped(survey, mapped, &error);
	struct rows_digest digest;
	bool read = old >= 0 && known_files_digest(&scan->known, old, successor->path, &digest, &error) == STATUS_OK;

	if (read) {
		set_digest(image, "old_digest", &digest);
		read = known_files_digest(&scan->known, successor->file, successor->path, &digest, &error) == STATUS_OK;
	}
	if (read) {
		set_digest(image, "new_digest", &digest);
		set_versions(scan, root, old, successor, image);
	} else {
		decide_by(image, STATUS_REFUSED, &error);
	}
	if (old >= 0)
		close(old);
}

static json_t *make_image(const struct mapped_image *mapped, const char *path)
{
	json_t *image = json_object();
	char start[24], *printable = utf8_make_printable(text_copy(path));

	snprintf(start, sizeof(start), "%" PRIx64, mapped->span.start);
	json_object_set_new(image, "image", json_string(mapped->name));
	json_object_set_new(image, "path", json_string(printable));
	json_object_set_new(image, "start", json_string(start));
	set_build_id(image, "old_build_id", &mapped->id);
	free(printable);
	return image;
}

/* The file system has what is mapped: then nothing is to be done, unless the process runs another build by a patch. */
static json_t *describe_same(const struct survey *survey, const struct mapped_image *mapped, const struct successor *successor)
{
	for (size_t i = 0; i < survey->ledgers.count; i++) {
		const struct ledger *ledger = &survey->ledgers.item[i];
		const struct ledger_image *on = find_on(ledger, mapped);
		struct error error = { 0 };
		json_t *image;

		if (!on || !is_of_upgrade(ledger) || build_id_equal(&on->new_id, &mapped->id))
			continue;
		image = make_image(mapped, successor->path);
		set_build_id(image, "new_build_id", &mapped->id);
		(void)refuse(&error, "the old build is on disk again: revert patch %s", ledger->name);
		decide_by(image, STATUS_REFUSED, &error);
		return image;
	}
	return NULL;
}

/* Folders for files of which nobody expects that they stay: programs unpack libraries there, and delete them once they are mapped. */
static bool is_passing(const char *name)
{
	static const char *const folders[] = { "/tmp/", "/var/tmp/", "/dev/", "/run/", "/memfd:" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (!strncmp(name, folders[i], strlen(folders[i])))
			return true;
	return false;
}

/* Others may rely on what took its place under a name that is not known: a library of another version's name. NULL: it does not matter. */
static json_t *describe_gone(const struct mapped_image *mapped, const struct process_root *root, const struct successor *successor)
{
	struct error error = { 0 };
	json_t *image;

	if (!successor->deleted || is_passing(process_root_name(root, successor->path)))
		return NULL;
	image = make_image(mapped, successor->path);
	(void)refuse(&error, "the file is gone, and there is no other of that name");
	decide_by(image, STATUS_REFUSED, &error);
	return image;
}

/* `again`: also when it has the new build by a patch, because that patch will be replaced. */
static json_t *describe_new(struct scan *scan, const struct survey *survey, const struct process_root *root,
			    const struct mapped_image *mapped, const struct successor *successor, bool again)
{
	json_t *image = make_image(mapped, successor->path);
	const struct ledger *done = again ? NULL : find_done(survey, mapped, &successor->id);

	set_build_id(image, "new_build_id", &successor->id);
	if (done) {
		struct error error = { 0 };

		(void)error_add(&error, STATUS_NOTHING, "patch %s has brought it already", done->name);
		decide_by(image, STATUS_NOTHING, &error);
		json_object_set_new(image, "by", json_string(done->name));
		return image;
	}
	if (!is_wanted(scan->upgrade, mapped->name, successor->path))
		return image;
	check_patches(scan, survey, mapped, image);
	if (!json_object_get(image, "result"))
		read_files(scan, survey, root, mapped, successor, image);
	return image;
}

/* What there is to say of an image, with the path of its new file; or NULL. */
static json_t *look_at_image(struct scan *scan, const struct survey *survey, const struct process_root *root,
			     const struct mapped_image *mapped, bool again, char **path)
{
	struct successor successor;
	struct error error = { 0 };
	json_t *image = NULL;

	switch (successor_find(survey, root, mapped, &scan->known, &successor, &error)) {
	case SUCCESSOR_SAME:
		image = successor.path ? describe_same(survey, mapped, &successor) : NULL;
		break;
	case SUCCESSOR_NEW:
		image = describe_new(scan, survey, root, mapped, &successor, again);
		break;
	case SUCCESSOR_UNKNOWN:
		/* A file that no name leads to any more has been replaced, or will be missed. Of another one nobody says so. */
		image = make_image(mapped, successor.path);
		decide_by(image, successor.deleted ? STATUS_REFUSED : STATUS_NOTHING, &error);
		break;
	case SUCCESSOR_NONE:
		image = describe_gone(mapped, root, &successor);
		break;
	}
	if (image && !outcome_is(image, STATUS_NOTHING) && !is_wanted(scan->upgrade, mapped->name, successor.path)) {
		json_object_set_new(image, "left_out", json_true());
		decide_by(image, STATUS_REFUSED, &error);
	}
	if (image) {
		*path = successor.path;
		successor.path = NULL;
	}
	error_clear(&error);
	successor_close(&successor);
	return image;
}

/* The service of systemd that the process belongs to: the last part of its control group (systemd.slice(5)). */
static void set_service(const struct process *process, json_t *answer)
{
	char *text = process_file(process, "cgroup", NULL), *at = text ? strstr(text, "0::/") : NULL, *slash;

	if (at) {
		at[strcspn(at, "\n")] = '\0';
		slash = strrchr(at, '/');
		if (strlen(slash) > strlen("/.service") && !strcmp(slash + strlen(slash) - strlen(".service"), ".service"))
			json_object_set_new(answer, "service", json_string(utf8_make_printable(slash + 1)));
	}
	free(text);
}

/* Which of several images may belong together. */
static void set_sources(struct scan *scan, const struct process_root *root, char *const *paths, json_t *images)
{
	json_t *image;

	for (size_t i = 0; json_array_size(images) > 1 && (image = json_array_get(images, i)); i++)
		json_object_set_new(image, "source", json_string(origin_find(&scan->origins, root, paths[i])->source));
}

/* Is the patch that has brought this image's new build to be replaced, for another image that it is for, too? */
static bool loses_patch(const json_t *images, const json_t *image)
{
	const char *by = everywhere_text(image, "by");
	const json_t *other, *name;

	for (size_t i = 0; *by && (other = json_array_get(images, i)); i++)
		for (size_t j = 0; (name = json_array_get(json_object_get(other, "replaces"), j)); j++)
			if (!strcmp(json_string_value(name), by))
				return true;
	return false;
}

/* All images of a process that there is something to say of. */
static json_t *look_at_images(struct scan *scan, const struct survey *survey, const struct process_root *root)
{
	ARRAY(char *) paths = { 0 };	/* of the new files, as the kernel names them */
	ARRAY(const struct mapped_image *) mapped = { 0 };
	json_t *images = json_array(), *image;

	for (size_t i = 0; i < survey->images.count; i++) {
		char *path = NULL;

		image = look_at_image(scan, survey, root, &survey->images.item[i], false, &path);
		if (!image)
			continue;
		json_array_append_new(images, image);
		*array_add(&mapped) = &survey->images.item[i];
		*array_add(&paths) = path;
	}
	for (size_t i = 0; (image = json_array_get(images, i)); i++) {
		char *path = NULL;
		json_t *other = loses_patch(images, image) ? look_at_image(scan, survey, root, mapped.item[i], true, &path) : NULL;

		if (other)
			json_array_set_new(images, i, other);
		free(path);
	}
	set_sources(scan, root, paths.item, images);
	for (size_t i = 0; i < paths.count; i++)
		free(paths.item[i]);
	array_free(&paths);
	array_free(&mapped);
	return images;
}

/* In a child. */
static void look_at(void *context, const struct process *process, struct survey *survey, json_t *answer)
{
	struct scan *scan = context;
	json_t *images;
	struct process_root root;
	struct error error = { 0 };
	char name[16];

	snprintf(name, sizeof(name), "%d", process->pid);
	if (json_object_get(scan->upgrade->tried, name))
		return;
	if (process_root_open(process, &root, &error) != STATUS_OK) {
		if (process_alive(process))
			json_object_set_new(answer, "why", everywhere_lines(&error));
		error_clear(&error);
		process_root_close(&root);
		return;
	}
	images = look_at_images(scan, survey, &root);
	process_root_close(&root);
	if (json_array_size(images)) {
		json_object_set(answer, "images", images);
		set_service(process, answer);
	}
	json_decref(images);
}

enum status upgrade_scan(struct upgrade *upgrade, json_t **found, struct error *error)
{
	struct scan scan = { .upgrade = upgrade };
	struct everywhere everywhere = {
		.look = look_at,
		.context = &scan,
		.limit = LIMIT,
		.cancelled = upgrade->options.cancelled,
		.progress = true,
	};
	enum status status = everywhere_look(&everywhere, error);

	*found = json_incref(everywhere.found);
	if (!upgrade->unseen) {
		upgrade->unseen = json_incref(everywhere.unseen);
		upgrade->seen = everywhere.seen;
	}
	everywhere_free(&everywhere);
	return status;
}

/* The image of a process that is mapped there. */
static const struct mapped_image *find_mapped(const struct survey *survey, uint64_t start)
{
	for (size_t i = 0; i < survey->images.count; i++)
		if (survey->images.item[i].span.start == start)
			return &survey->images.item[i];
	return NULL;
}

static bool has_key(const struct image *old, const struct image *new, const char *key)
{
	struct rows_digest old_digest = rows_file_digest(old->file, old->file_size);
	struct rows_digest new_digest = rows_file_digest(new->file, new->file_size);
	char text[4 * ROWS_FILE_DIGEST + 1];

	print_digest(&old_digest, text);
	print_digest(&new_digest, text + (ptrdiff_t)2 * ROWS_FILE_DIGEST);
	return !strcmp(text, key);
}

static enum status read_both(const struct survey *survey, const struct process_root *root, uint64_t start, struct image *old,
			     struct image *new, struct error *error)
{
	const struct mapped_image *mapped = find_mapped(survey, start);
	struct known_files known = { 0 };
	struct successor successor = { .file = -1 };
	enum status status = STATUS_ERROR;
	int file = -1;

	if (mapped && successor_find(survey, root, mapped, &known, &successor, error) == SUCCESSOR_NEW)
		file = successor_open_mapped(survey, mapped, error);
	if (file >= 0) {
		status = image_open_file(file, successor.path, old, error);
		close(file);
	}
	if (status == STATUS_OK)
		status = image_open_file(successor.file, successor.path, new, error);
	successor_close(&successor);
	array_free(&known);
	return status;
}

enum status upgrade_read_pair(const struct upgrade_source *source, const char *key, struct image *old, struct image *new,
			      struct error *error)
{
	struct process process;
	struct survey survey;
	struct process_root root = { .directory = -1 };
	enum status status = STATUS_ERROR;

	*old = *new = (struct image){ 0 };
	if (machine_look(source->pid, &process, &survey, error) == MACHINE_SEEN &&
	    process_root_open(&process, &root, error) == STATUS_OK)
		status = read_both(&survey, &root, source->start, old, new, error);
	if (status == STATUS_OK && !has_key(old, new, key))
		status = fail(error, "%s: the file has been changed again since it was looked at", new->name);
	process_root_close(&root);
	survey_free(&survey);
	process_close(&process);
	return status;
}
