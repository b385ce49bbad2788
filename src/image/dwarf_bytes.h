/*
 * dwarf_bytes.h: read DWARF's variable-length numbers and fixed fields from bytes that may be hostile.
 *
 * A cursor never reads at or behind its end. A read that would, or a number that does not fit in 64
 * bits, marks the cursor bad, gives 0, and makes all later reads give 0, so that a parser may read a
 * whole record and ask once. Numbers are little-endian (base/bytes.h).
 */
#ifndef STENT_IMAGE_DWARF_BYTES_H
#define STENT_IMAGE_DWARF_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct dwarf_cursor {
	const uint8_t *at, *end;
	bool bad;
};

static inline size_t dwarf_left(const struct dwarf_cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* The next `size` bytes, passed over; NULL (and bad) when there are not so many. */
static inline const uint8_t *dwarf_read_block(struct dwarf_cursor *cursor, uint64_t size)
{
	const uint8_t *block = cursor->at;

	if (cursor->bad || size > dwarf_left(cursor)) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += size;
	return block;
}

static inline uint8_t dwarf_read8(struct dwarf_cursor *cursor)
{
	const uint8_t *block = dwarf_read_block(cursor, 1);

	return block ? *block : 0;
}

static inline uint16_t dwarf_read16(struct dwarf_cursor *cursor)
{
	const uint8_t *block = dwarf_read_block(cursor, 2);

	return block ? load16(block) : 0;
}

static inline uint32_t dwarf_read32(struct dwarf_cursor *cursor)
{
	const uint8_t *block = dwarf_read_block(cursor, 4);

	return block ? load32(block) : 0;
}

static inline uint64_t dwarf_read64(struct dwarf_cursor *cursor)
{
	const uint8_t *block = dwarf_read_block(cursor, 8);

	return block ? load64(block) : 0;
}

/* LEB128 (DWARF 5, 7.6). More than ten bytes, or bits beyond the 64th, are bad: no producer writes them. */
uint64_t dwarf_read_uleb(struct dwarf_cursor *cursor);
int64_t dwarf_read_sleb(struct dwarf_cursor *cursor);

#endif
