/* file.h: small files as a whole: patches, signatures, keys. */
#ifndef STENT_PATCH_FILE_H
#define STENT_PATCH_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Read a regular file of at most `limit` bytes; a NUL follows behind them. free() *bytes, also after a failure. STATUS_ERROR names
 * the path. Never waits for a named pipe.
 */
enum status file_read(const char *path, uint64_t limit, uint8_t **bytes, size_t *size, struct error *error) must_check;

/* Write a file; an existing one is replaced only when the new one is complete (rename). STATUS_ERROR names the path. */
enum status file_write(const char *path, const uint8_t *bytes, size_t size, struct error *error) must_check;

/*
 * Folders and files that decide what stent may do. None of them may be a symbolic link; they must belong to root or `owner` (give 0
 * for root alone), and no one else may be able to write to them. STATUS_NOTHING: there is none; STATUS_REFUSED: it is not so.
 */
enum status trusted_folder_open(const char *path, uid_t owner, int *folder, struct error *error) must_check;

/* A file in such a folder, as file_read(). `path` is the folder's, for messages. */
enum status trusted_file_read(int folder, const char *path, const char *name, uid_t owner, uint64_t limit, uint8_t **bytes,
			      size_t *size, struct error *error) must_check;

#endif
