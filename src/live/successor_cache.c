#include "live/successor_cache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "image/library_cache.h"
#include "patch/file_open.h"

#define CACHE "/etc/ld.so.cache"
#define CACHE_MAX (16u << 20)
#define FOLDERS_MAX 64u		/* different ones in a row that are looked at; ldconfig sorts by soname, and has a few in all */

struct folder {
	dev_t device;
	ino_t inode;
};

/* The folder of a file, by its name in the root directory that `name` is looked up in. */
static bool find_folder(const struct process_root *root, const char *name, const char *path, size_t length, struct folder *folder)
{
	char *text = text_format("%.*s", length ? (int)length : 1, path);
	int opened = process_root_beside(root, name, text, O_DIRECTORY);
	struct stat about;
	bool found = opened >= 0 && fstat(opened, &about) == 0;

	if (found)
		*folder = (struct folder){ about.st_dev, about.st_ino };
	if (opened >= 0)
		close(opened);
	free(text);
	return found;
}

static size_t folder_length(const char *path)
{
	return (size_t)(strrchr(path, '/') - path);
}

/* Does the cache have a library of that folder? The same folder may have several names (/lib is /usr/lib). */
static bool has_folder(const struct library_cache *cache, const struct process_root *root, const char *name)
{
	const char *own = process_root_name(root, name), *last = NULL;
	struct folder wanted, folder;
	unsigned int looked = 0;

	if (!strchr(own, '/') || !find_folder(root, name, own, folder_length(own), &wanted))
		return false;
	for (size_t i = 0; i < cache->count && looked < FOLDERS_MAX; i++) {
		struct library_entry entry;
		size_t length;

		if (!library_cache_entry(cache, i, &entry))
			continue;
		length = folder_length(entry.path);
		if (last && folder_length(last) == length && !memcmp(last, entry.path, length))
			continue;
		last = entry.path;
		looked++;
		if (find_folder(root, name, entry.path, length, &folder) && folder.device == wanted.device && folder.inode == wanted.inode)
			return true;
	}
	return false;
}

static const char *find_soname(const struct library_cache *cache, const char *soname, uint32_t kind)
{
	struct library_entry entry;

	for (size_t i = 0; i < cache->count; i++)
		if (library_cache_entry(cache, i, &entry) && entry.kind == kind && !entry.special && !strcmp(entry.soname, soname))
			return entry.path;
	return NULL;
}

char *successor_in_cache(const struct process_root *root, const char *name, const char *soname, const struct arch *arch)
{
	int file = process_root_beside(root, name, CACHE, 0);
	struct library_cache cache;
	struct error unused = { 0 };
	uint8_t *bytes = NULL;
	const char *path = NULL;
	char *found = NULL;
	size_t size;

	if (file < 0)
		return NULL;
	if (file_read_open(file, CACHE, CACHE_MAX, &bytes, &size, &unused) == STATUS_OK && library_cache_open(bytes, size, &cache) &&
	    has_folder(&cache, root, name))
		path = find_soname(&cache, soname, arch->library_kind);
	/* What is before the name in that root directory is how the kernel names the root directory itself. */
	if (path)
		found = text_format("%.*s%s", (int)(process_root_name(root, name) - name), name, path);
	error_clear(&unused);
	free(bytes);
	close(file);
	return found;
}
