#include "unwind/rows_cache.h"

#include <sodium/core.h>
#include <stdlib.h>
#include <unistd.h>

#include "unwind/rows_folder.h"
#include "unwind/validate.h"

struct entry {
	struct rows_digest of;
	struct code_rows *code;
};

struct rows_cache {
	ARRAY(struct entry) entries;	/* few: the images of some processes */
	int folder;		/* -1: memory only */
	struct rows_cache_counts counts;
};

struct rows_cache *rows_cache_open(const char *folder)
{
	struct rows_cache *cache = memory_zeroed(1, sizeof(*cache));
	/* It chooses the fastest BLAKE2b for this machine. One that can't be set up leaves files alone. */
	bool usable = sodium_init() >= 0 && folder && *folder;

	cache->folder = usable ? rows_folder_open(folder) : -1;
	return cache;
}

void rows_cache_close(struct rows_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->entries.count; i++)
		code_rows_free(cache->entries.item[i].code);
	array_free(&cache->entries);
	if (cache->folder >= 0)
		close(cache->folder);
	free(cache);
}

static struct code_rows *load(const struct rows_cache *cache, const struct image *image, const struct rows_digest *of)
{
	struct code_rows *code = NULL;
	uint8_t *bytes;
	size_t size;

	if (cache->folder < 0 || !image->id.size)
		return NULL;
	bytes = rows_folder_read(cache->folder, &image->id, &size);
	if (bytes)
		code = rows_file_decode(bytes, size, of, image->span);
	free(bytes);
	return code;
}

static void store(struct rows_cache *cache, const struct image *image, const struct rows_digest *of, const struct code_rows *code)
{
	uint8_t *bytes;
	size_t size;

	if (cache->folder < 0 || !image->id.size)
		return;
	bytes = rows_file_encode(code, of, &size);
	if (bytes && rows_folder_write(cache->folder, &image->id, bytes, size))
		cache->counts.written++;
	free(bytes);
}

static struct code_rows *make(const struct image *image)
{
	struct code_rows *code = memory_zeroed(1, sizeof(*code));
	struct validation validation;

	code->rows = rows_build(&image->eh_frame, image->span);
	validate_image(image, code->rows, &validation);
	code->switches.item = validation.switches.item;
	code->switches.count = validation.switches.count;
	code->switches.room = validation.switches.room;
	validation.switches.item = NULL;
	validation.switches.count = validation.switches.room = 0;
	validation_free(&validation);
	return code;
}

const struct code_rows *rows_cache_get(struct rows_cache *cache, const struct image *image)
{
	struct rows_digest of = rows_file_digest(image->file, image->file_size);
	struct code_rows *code;

	for (size_t i = 0; i < cache->entries.count; i++) {
		if (!memcmp(&cache->entries.item[i].of, &of, sizeof(of))) {
			cache->counts.memory++;
			return cache->entries.item[i].code;
		}
	}
	code = load(cache, image, &of);
	if (code) {
		cache->counts.disk++;
	} else {
		code = make(image);
		cache->counts.built++;
		store(cache, image, &of, code);
	}
	*array_add(&cache->entries) = (struct entry){ of, code };
	return code;
}

struct rows_cache_counts rows_cache_counts(const struct rows_cache *cache)
{
	return cache->counts;
}

/* A program with file capabilities gets no folder from its user: secure_getenv(3). */
char *rows_cache_folder(void)
{
	const char *own = secure_getenv("STENT_ROWS_CACHE"), *caches = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");

	if (own)
		return *own ? text_copy(own) : NULL;
	if (geteuid() == 0)
		return text_copy("/var/cache/stent");
	/* "If an implementation encounters a relative path it should ignore it" (XDG Base Directory Specification 0.8) */
	if (caches && *caches == '/')
		return text_format("%s/stent", caches);
	return home && *home == '/' ? text_format("%s/.cache/stent", home) : NULL;
}
