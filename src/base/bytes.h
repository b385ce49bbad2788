/*
 * bytes.h: unaligned little-endian loads and stores, and the shared range type.
 *
 * stent reads images and target memory of little-endian machines only (x86-64 now); a big-endian
 * instruction set will bring its own byte order in struct arch.
 */
#ifndef STENT_BASE_BYTES_H
#define STENT_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Half-open: start is inside, end is not. */
struct range {
	uint64_t start, end;
};

static inline bool range_holds(struct range range, uint64_t address)
{
	return address >= range.start && address < range.end;
}

static inline uint16_t load16(const void *from)
{
	uint16_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint32_t load32(const void *from)
{
	uint32_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint64_t load64(const void *from)
{
	uint64_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

static inline void store32(void *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

static inline void store64(void *to, uint64_t value)
{
	memcpy(to, &value, sizeof(value));
}

#endif
