/* digest.h: FNV-1a, 64 bits: tells contents apart that were not made to collide. */
#ifndef STENT_LIVE_DIGEST_H
#define STENT_LIVE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DIGEST_START 0xcbf29ce484222325u

static inline uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		digest = (digest ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
	return digest;
}

static inline uint64_t digest_number(uint64_t digest, uint64_t number)
{
	return digest_bytes(digest, &number, sizeof(number));
}

/* Of the executable mappings of files (what a JIT compiler makes is none): where they are, and what is mapped there. */
struct maps;
uint64_t digest_code_files(const struct maps *maps) must_check;

#endif
