#include "diff/pairing.h"

#include <stdlib.h>
#include <string.h>

#include "image/image.h"

/* By what a file is recognised in the other set. free() it; NULL: by nothing. */
typedef char *make_key(const struct package_file *file);

struct key {
	char *text;
	size_t file;
};

struct keys {
	struct key *item;
	size_t count, room;
};

static char *path_key(const struct package_file *file)
{
	return text_copy(file->path);
}

/* Put "@" in the place of every `part`. Takes `text`. */
static char *replace(char *text, const char *part)
{
	size_t length = strlen(part);
	char *at = text, *changed;

	/* Shorter ones stand in names for other reasons. */
	while (length >= 3 && (at = strstr(at, part))) {
		size_t offset = (size_t)(at - text) + 1;

		changed = text_format("%.*s@%s", (int)(at - text), text, at + length);
		free(text);
		text = changed;
		at = text + offset;
	}
	return text;
}

/* The path without its package's version (without epoch, deb-version(7)), and without a /usr that has been merged. */
static char *versionless_key(const struct package_file *file)
{
	const char *colon = strchr(file->version, ':');
	char *version = text_copy(colon ? colon + 1 : file->version), *dash;
	char *key = text_copy(file->path + (strncmp(file->path, "usr/", 4) ? 0 : 4));

	key = replace(key, version);
	dash = strrchr(version, '-');
	if (dash)
		*dash = '\0';
	key = replace(key, version);
	free(version);
	return key;
}

char *pairing_soname(const struct package_file *file)
{
	struct error unused = { 0 };
	char *soname = NULL;
	struct image image;

	if (image_read_bytes(file->path, memory_copy(file->bytes, file->size), file->size, &image, &unused) == STATUS_OK && image.library)
		soname = text_copy(image.name);
	image_close(&image);
	error_clear(&unused);
	return soname;
}

static int compare_keys(const void *one, const void *other)
{
	return strcmp(((const struct key *)one)->text, ((const struct key *)other)->text);
}

/* Of the files without a counterpart, sorted. */
static void collect(const struct packages *packages, const size_t *counterpart, make_key *make, struct keys *keys)
{
	for (size_t i = 0; i < packages->files.count; i++) {
		char *text = counterpart[i] == NO_FILE ? make(&packages->files.item[i]) : NULL;

		if (text)
			*array_add(keys) = (struct key){ text, i };
	}
	if (keys->count)
		qsort(keys->item, keys->count, sizeof(*keys->item), compare_keys);
}

static void free_keys(struct keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		free(keys->item[i].text);
	array_free(keys);
}

static size_t count_same(const struct keys *keys, size_t first)
{
	size_t next = first + 1;

	while (next < keys->count && !compare_keys(&keys->item[first], &keys->item[next]))
		next++;
	return next - first;
}

/* Files whose key no other file of their set has. */
static void pair_by(const struct packages *old, const struct packages *new, make_key *make, struct pairing *pairing)
{
	struct keys olds = { 0 }, news = { 0 };
	size_t i = 0, j = 0;

	collect(old, pairing->new_of, make, &olds);
	collect(new, pairing->old_of, make, &news);
	while (i < olds.count && j < news.count) {
		size_t old_same = count_same(&olds, i), new_same = count_same(&news, j);
		int order = compare_keys(&olds.item[i], &news.item[j]);

		if (!order && old_same == 1 && new_same == 1) {
			pairing->new_of[olds.item[i].file] = news.item[j].file;
			pairing->old_of[news.item[j].file] = olds.item[i].file;
		}
		i += order <= 0 ? old_same : 0;
		j += order >= 0 ? new_same : 0;
	}
	free_keys(&olds);
	free_keys(&news);
}

static size_t *no_counterparts(size_t count)
{
	size_t *counterpart = memory_zeroed(count, sizeof(*counterpart));

	for (size_t i = 0; i < count; i++)
		counterpart[i] = NO_FILE;
	return counterpart;
}

void pairing_make(const struct packages *old, const struct packages *new, struct pairing *pairing)
{
	pairing->new_of = no_counterparts(old->files.count);
	pairing->old_of = no_counterparts(new->files.count);
	pair_by(old, new, path_key, pairing);
	pair_by(old, new, versionless_key, pairing);
	pair_by(old, new, pairing_soname, pairing);
}

void pairing_free(struct pairing *pairing)
{
	free(pairing->new_of);
	free(pairing->old_of);
}
