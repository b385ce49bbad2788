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

uint64_t dwarf_read_encoded(struct dwarf_cursor *cursor, uint8_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR: case PE_UDATA8: case PE_SDATA8:
		return dwarf_read64(cursor);
	case PE_UDATA4:
		return dwarf_read32(cursor);
	case PE_SDATA4:
		return (uint64_t)(int64_t)(int32_t)dwarf_read32(cursor);
	case PE_UDATA2:
		return dwarf_read16(cursor);
	case PE_SDATA2:
		return (uint64_t)(int64_t)(int16_t)dwarf_read16(cursor);
	case PE_ULEB128:
		return dwarf_read_uleb(cursor);
	case PE_SLEB128:
		return (uint64_t)dwarf_read_sleb(cursor);
	}
	cursor->bad = true;
	return 0;
}

size_t dwarf_encoded_size(uint8_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR: case PE_UDATA8: case PE_SDATA8:
		return 8;
	case PE_UDATA4: case PE_SDATA4:
		return 4;
	case PE_UDATA2: case PE_SDATA2:
		return 2;
	}
	return 0;
}
