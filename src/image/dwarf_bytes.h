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

/* DW_EH_PE_*, how addresses are encoded: LSB Core 5.0, 10.5.1 "DWARF Exception Header Encoding". */
enum {
	PE_ABSPTR = 0x00,
	PE_ULEB128 = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB128 = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_FORMAT = 0x0f,	/* mask */
	PE_PCREL = 0x10,
	PE_BASE = 0x70,		/* mask */
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff,
};

/* The number itself, of the encoding's format, without its base; a format that is none is bad. */
uint64_t dwarf_read_encoded(struct dwarf_cursor *cursor, uint8_t encoding);

/* Bytes of a number of a fixed size; 0 for other formats. */
size_t dwarf_encoded_size(uint8_t encoding);

#endif
