/* successor_cache.h: where the dynamic linker of a process's file system finds a library by its soname. */
#ifndef STENT_LIVE_SUCCESSOR_CACHE_H
#define STENT_LIVE_SUCCESSOR_CACHE_H

#include "arch/arch.h"
#include "process/root.h"

/*
 * The library of that soname in /etc/ld.so.cache, in the root directory that `name` (as the kernel names a mapped file) is looked up in: its
 * name, as the kernel would have it; free() it. NULL: there is none; or the folder of `name` is none of those that the cache was made of, so
 * that its libraries were not found by way of it. The file system may be an attacker's, and what is there need not be a library.
 */
char *successor_in_cache(const struct process_root *root, const char *name, const char *soname, const struct arch *arch) must_check;

#endif
