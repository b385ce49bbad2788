/*
 * scan.h: the fast, conservative answer to "is any of this code on this thread's stack?"
 *
 * Any word that could be an address inside the ranges counts, whether it follows a call or not, so a
 * stack that passes is free of the code whatever its unwind data is worth. Words are looked for at
 * every 8-byte aligned address from the bottom of the red zone to the end of the stack, and in every
 * general register.
 */
#ifndef STENT_UNWIND_SCAN_H
#define STENT_UNWIND_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define SCAN_MIDDLES 4

/* Ranges sorted by start, merged where they touch, with a bounding range for the first test. */
struct scan_set {
	struct range *range;	/* owned */
	size_t count;
	struct range bounds;
	uint32_t middle[SCAN_MIDDLES];	/* bits 24 to 55 of all addresses in the set, */
	size_t middles;			/* or 0: there are more */
};

/* Copy, sort and merge. An address equal to a range's *end* counts too (a return address behind a
 * final call of a noreturn function), so ends are stored one larger. Free with scan_set_free(). */
void scan_set_build(struct scan_set *set, const struct range *ranges, size_t count);
void scan_set_free(struct scan_set *set);

bool scan_set_holds(const struct scan_set *set, uint64_t address);

/* First word of words[] that lies in the set: its index, or `count` when there is none. */
size_t scan_words(const struct scan_set *set, const uint64_t *words, size_t count);

/* First word that lies in one of two sets, in one pass. */
size_t scan_words_either(const struct scan_set *one, const struct scan_set *other, const uint64_t *words, size_t count);

/* First byte of bytes[] from which on 8 bytes, aligned or not, are a word that lies in the set: its index, or `count` when there is none. */
size_t scan_bytes(const struct scan_set *set, const uint8_t *bytes, size_t count);

#endif
