/*
 * upgrade_compare.c: from images that have been replaced to patches: each pair of builds is compared once.
 *
 * The files are others' and may mean harm, so each pair has a child of its own, which gives up its rights before it looks into them, and
 * hands back the bytes of a patch, which are verified as those of a file are.
 */
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/everywhere.h"
#include "cmd/outcomes.h"
#include "cmd/progress_bar.h"
#include "cmd/upgrade.h"
#include "diff/diff.h"
#include "process/crew.h"

#define LIMIT 600000u			/* milliseconds for one pair; libcrypto takes two seconds */
#define MEMORY_MAX ((rlim_t)16 << 30)	/* bytes of address space for one */
#define NOBODY 65534u			/* base-passwd's user and group with no files */

struct comparing {
	struct upgrade *upgrade;
	ARRAY(size_t) pairs;	/* those that are to be compared: indices */
	struct crew crew;
	struct progress_bar bar;
};

/* What fails here is a second line of defence less, and nothing else. */
static void give_up_rights(void)
{
	const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };

	setrlimit(RLIMIT_AS, &memory);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (geteuid() == 0 && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
	    setresuid(NOBODY, NOBODY, NOBODY) == 0)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t count = write(file, bytes, size);

		if (count <= 0)
			return false;
		bytes += count;
		size -= (size_t)count;
	}
	return true;
}

/* The first process that still has what was found there. */
static enum status read_pair(const struct upgrade_pair *pair, struct image *old, struct image *new, struct error *error)
{
	enum status status = STATUS_ERROR;

	for (size_t i = 0; i < pair->sources.count && status != STATUS_OK; i++) {
		struct error why = { 0 };

		status = upgrade_read_pair(&pair->sources.item[i], pair->key, old, new, &why);
		if (status != STATUS_OK) {
			image_close(old);
			image_close(new);
		}
		if (status != STATUS_OK && i + 1 == pair->sources.count)
			(void)fail(error, "%s", why.text ? why.text : "no process is left that has mapped it");
		error_clear(&why);
	}
	return status;
}

static enum status compare_pair(const struct upgrade_pair *pair, struct error *error)
{
	struct image old = { 0 }, new = { 0 };
	struct bundle bundle = { 0 };
	char *name = NULL, *description = NULL;
	enum status status = read_pair(pair, &old, &new, error);

	give_up_rights();
	if (status == STATUS_OK) {
		struct diff_options options = { 0 };

		/* Versions are claims, and may be known of one process and not of another: the name is the same in both. */
		name = diff_name_of(&old, &new);
		description = text_format(UPGRADE_MARK "the new build of %s", old.name);
		options.name = name;
		options.description = description;
		options.old_version = *pair->old_version ? pair->old_version : NULL;
		options.new_version = *pair->new_version ? pair->new_version : NULL;
		status = diff_opened(&old, &new, &options, array_add(&bundle), error);
	}
	if (status == STATUS_OK)
		status = bundle_verify(&bundle, error);
	if (status == STATUS_OK) {
		size_t size;
		uint8_t *bytes = bundle_encode(&bundle, &size);

		if (!write_all(pair->file, bytes, size))
			status = fail(error, "there is no memory for the patch");
		free(bytes);
	}
	free(description);
	free(name);
	bundle_free(&bundle);
	image_close(&old);
	image_close(&new);
	return status;
}

/* In a child. */
static char *compare(void *context, size_t job)
{
	const struct comparing *comparing = context;
	struct error error = { 0 };
	enum status status = compare_pair(&comparing->upgrade->pairs.item[comparing->pairs.item[job]], &error);
	json_t *answer = json_object();
	char *text;

	json_object_set_new(answer, "status", json_integer(status));
	json_object_set_new(answer, "why", everywhere_lines(&error));
	text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	return text ? text : text_copy("");
}

/* The bytes that the child has written: it can't reach them any more. */
static enum status read_bundle(struct upgrade_pair *pair, struct error *error)
{
	off_t size = lseek(pair->file, 0, SEEK_END);
	uint8_t *bytes = size > 0 ? memory_zeroed((size_t)size, 1) : NULL;
	enum status status;

	if (!bytes || pread(pair->file, bytes, (size_t)size, 0) != size)
		status = fail(error, "its patch can't be read");
	else
		status = bundle_parse(bytes, (size_t)size, &pair->bundle, error);
	free(bytes);
	return status;
}

static void take_answer(void *context, size_t job, enum crew_end end, const char *text)
{
	struct comparing *comparing = context;
	struct upgrade_pair *pair = &comparing->upgrade->pairs.item[comparing->pairs.item[job]];
	json_t *answer = end == CREW_DONE ? json_loads(text, 0, NULL) : NULL;
	json_int_t status = answer ? json_integer_value(json_object_get(answer, "status")) : -1;
	struct error error = { 0 };

	pair->compared = true;
	pair->status = status >= STATUS_OK && status <= STATUS_NOTHING ? (enum status)status : STATUS_ERROR;
	if (!answer) {
		char *why = crew_end_text(&comparing->crew, end);

		pair->status = fail(&error, "%s: the comparison of the two builds %s", pair->image, why);
		free(why);
	} else if (pair->status == STATUS_OK) {
		pair->status = read_bundle(pair, &error);
	}
	pair->why = error.text ? everywhere_lines(&error) : json_incref(json_object_get(answer, "why"));
	error_clear(&error);
	json_decref(answer);
	close(pair->file);
	progress_bar_step(&comparing->bar);
}

static bool is_pair(const struct upgrade_pair *pair, const char *key, const json_t *image)
{
	return !strcmp(pair->key, key) && !strcmp(pair->old_version, everywhere_text(image, "old_version")) &&
	       !strcmp(pair->new_version, everywhere_text(image, "new_version"));
}

/* The pair of an image, new if it is the first. */
static size_t find_pair(struct upgrade *upgrade, const json_t *image)
{
	char *key = text_format("%s%s", everywhere_text(image, "old_digest"), everywhere_text(image, "new_digest"));

	for (size_t i = 0; i < upgrade->pairs.count; i++)
		if (is_pair(&upgrade->pairs.item[i], key, image)) {
			free(key);
			return i;
		}
	*array_add(&upgrade->pairs) = (struct upgrade_pair){
		.key = key,
		.image = text_copy(everywhere_text(image, "image")),
		.old_version = text_copy(everywhere_text(image, "old_version")),
		.new_version = text_copy(everywhere_text(image, "new_version")),
		.file = -1,
	};
	return upgrade->pairs.count - 1;
}

static void add_source(struct upgrade *upgrade, const json_t *process, json_t *image)
{
	size_t index = find_pair(upgrade, image);

	*array_add(&upgrade->pairs.item[index].sources) = (struct upgrade_source){
		.pid = (pid_t)json_integer_value(json_object_get(process, "pid")),
		.start = strtoull(everywhere_text(image, "start"), NULL, 16),
	};
	json_object_set_new(image, "pair", json_integer((json_int_t)index));
}

static void find_pairs(struct upgrade *upgrade, const json_t *processes)
{
	const json_t *process;

	for (size_t i = 0; (process = json_array_get(processes, i)); i++) {
		json_t *image;

		for (size_t j = 0; (image = json_array_get(json_object_get(process, "images"), j)); j++)
			if (!json_object_get(image, "result"))
				add_source(upgrade, process, image);
	}
}

void upgrade_compare(struct upgrade *upgrade, json_t *processes)
{
	struct comparing comparing = { .upgrade = upgrade };

	find_pairs(upgrade, processes);
	for (size_t i = 0; i < upgrade->pairs.count; i++) {
		struct upgrade_pair *pair = &upgrade->pairs.item[i];

		if (pair->compared)
			continue;
		pair->file = memfd_create("stent-patch", MFD_CLOEXEC);
		*array_add(&comparing.pairs) = i;
	}
	comparing.crew = (struct crew){
		.work = compare,
		.take = take_answer,
		.context = &comparing,
		.limit = LIMIT,
		.fresh = true,
		.cancelled = upgrade->options.cancelled,
	};
	progress_bar_start(&comparing.bar, "builds compared", comparing.pairs.count);
	crew_run(&comparing.crew, comparing.pairs.count);
	progress_bar_end(&comparing.bar);
	array_free(&comparing.pairs);
}
