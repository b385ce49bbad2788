/*
 * files.h: whole files, written and read. Each fails the test when that fails. Included behind <cmocka.h>.
 */
#ifndef STENT_TESTS_FILES_H
#define STENT_TESTS_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

static inline void file_write(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static inline void file_write_text(const char *path, const char *text)
{
	file_write(path, text, strlen(text));
}

/* Its bytes, and a zero behind them; *size is without that. free() them. */
static inline uint8_t *file_read(const char *path, size_t *size)
{
	FILE *file = fopen(path, "re");
	struct stat status;
	uint8_t *bytes;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &status), 0);
	*size = (size_t)status.st_size;
	bytes = memory_zeroed(*size + 1, 1);
	assert_int_equal(fread(bytes, 1, *size, file), *size);
	assert_int_equal(fclose(file), 0);
	return bytes;
}

/* Of one that is not empty. */
static inline char *file_read_text(const char *path)
{
	size_t size;
	char *text = (char *)file_read(path, &size);

	assert_true(size > 0);
	return text;
}

#endif
