/*
 * library_cache.h: what the dynamic linker knows of libraries in /etc/ld.so.cache.
 *
 * Format: glibc, sysdeps/generic/dl-cache.h, struct cache_file_new ("glibc-ld.so.cache1.1", the one that ldconfig writes since 2.32). The
 * file may be an attacker's.
 */
#ifndef STENT_IMAGE_LIBRARY_CACHE_H
#define STENT_IMAGE_LIBRARY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct library_cache {
	const uint8_t *bytes;	/* not owned */
	size_t size, count;
};

struct library_entry {
	uint32_t kind;		/* as arch->library_kind */
	bool special;		/* for some processors only */
	const char *soname, *path;	/* in the cache's bytes */
};

/* False: the bytes are none, or have no room for as many entries as they say. */
bool library_cache_open(const void *bytes, size_t size, struct library_cache *cache) must_check;

/* Entry number `index`, below cache->count. False: its texts are not in the cache, or its path is not absolute. */
bool library_cache_entry(const struct library_cache *cache, size_t index, struct library_entry *entry) must_check;

#endif
