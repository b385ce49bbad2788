#include "image/library_cache.h"

#include <string.h>

#include "base/bytes.h"

static const char magic[20] = { 'g', 'l', 'i', 'b', 'c', '-', 'l', 'd', '.', 's', 'o', '.', 'c', 'a', 'c', 'h', 'e', '1', '.', '1' };

enum {
	COUNT_AT = 20,	/* number of entries */
	ENTRIES_AT = 48,
	ENTRY_SIZE = 24,	/* flags, and where soname and path are in the file (4 bytes each); osversion; hwcap (8) */
	SONAME_AT = 4,
	PATH_AT = 8,
	HWCAP_AT = 16,
};

bool library_cache_open(const void *bytes, size_t size, struct library_cache *cache)
{
	*cache = (struct library_cache){ .bytes = bytes, .size = size };
	if (size < ENTRIES_AT || memcmp(bytes, magic, sizeof(magic)) != 0)
		return false;
	cache->count = load32(cache->bytes + COUNT_AT);
	return cache->count <= (size - ENTRIES_AT) / ENTRY_SIZE;
}

/* The text at that offset, or NULL: it does not end within the file. */
static const char *text_at(const struct library_cache *cache, uint32_t offset)
{
	return offset < cache->size && memchr(cache->bytes + offset, '\0', cache->size - offset) ? (const char *)cache->bytes + offset : NULL;
}

bool library_cache_entry(const struct library_cache *cache, size_t index, struct library_entry *entry)
{
	const uint8_t *bytes = cache->bytes + ENTRIES_AT + index * ENTRY_SIZE;

	*entry = (struct library_entry){
		.kind = load32(bytes),
		.special = load32(bytes + HWCAP_AT) || load32(bytes + HWCAP_AT + sizeof(uint32_t)),
		.soname = text_at(cache, load32(bytes + SONAME_AT)),
		.path = text_at(cache, load32(bytes + PATH_AT)),
	};
	return entry->soname && entry->path && entry->path[0] == '/';
}
