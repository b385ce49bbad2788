/* file_open.h: what file.c and trusted.c share. */
#ifndef STENT_PATCH_FILE_OPEN_H
#define STENT_PATCH_FILE_OPEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* file_read() from an open descriptor, which stays the caller's. */
enum status file_read_open(int fd, const char *path, uint64_t limit, uint8_t **bytes, size_t *size, struct error *error) must_check;

#endif
