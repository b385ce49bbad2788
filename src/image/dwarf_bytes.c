#include "image/dwarf_bytes.h"

uint64_t dwarf_read_uleb(struct dwarf_cursor *cursor)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = dwarf_read8(cursor);
		uint64_t bits = byte & 0x7f;

		if (cursor->bad || (shift == 63 && bits > 1))
			break;
		value |= bits << shift;
		if (!(byte & 0x80))
			return value;
	}
	cursor->bad = true;
	return 0;
}

int64_t dwarf_read_sleb(struct dwarf_cursor *cursor)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = dwarf_read8(cursor);
		uint64_t bits = byte & 0x7f;

		/* Of the tenth byte one bit counts, and the rest must be its copies. */
		if (cursor->bad || (shift == 63 && bits != 0 && bits != 0x7f))
			break;
		value |= bits << shift;
		if (byte & 0x80)
			continue;
		if ((byte & 0x40) && shift + 7 < 64)
			value |= UINT64_MAX << (shift + 7);
		return (int64_t)value;
	}
	cursor->bad = true;
	return 0;
}
