/* rows_folder.h: the rows cache's folder: files named by build-id that nobody else can have written. */
#ifndef STENT_UNWIND_ROWS_FOLDER_H
#define STENT_UNWIND_ROWS_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/build_id.h"

/* A descriptor of the folder, which is made if it is missing. -1: it can't be used, or others can write there. */
int rows_folder_open(const char *path) must_check;

/* Files in a folder. When there are more the oldest go. */
#define ROWS_FOLDER_FILES 512

/* All bytes of the image's file, *size of them; free() them. NULL: there is none that can be trusted,
 * of at most ROWS_FILE_MAX bytes. */
uint8_t *rows_folder_read(int folder, const struct build_id *id, size_t *size) must_check;

/* Replace the image's file in one step, and delete the oldest files when there are too many. False: all is as before. */
bool rows_folder_write(int folder, const struct build_id *id, const uint8_t *bytes, size_t size) must_check;

#endif
