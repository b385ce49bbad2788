/*
 * rows_file.h: validated rows of one image as bytes, to be kept in a file (docs/format.md, "The rows cache").
 *
 * Decoding trusts nothing: what it returns has the form of what rows_build() and validate_image() make, whatever the bytes.
 * That the verdicts are *true* the form can't tell. For that see rows_cache.h.
 */
#ifndef STENT_UNWIND_ROWS_FILE_H
#define STENT_UNWIND_ROWS_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"
#include "unwind/rows.h"

/* What is known of an image's code. */
struct code_rows {
	struct rows *rows;	/* validated */
	ARRAY(uint64_t) switches;	/* link-time addresses of instructions that switch stacks; sorted, none twice */
};

/* Takes NULL. */
void code_rows_free(struct code_rows *code);

/* BLAKE2b-256 of all bytes of the image's file. */
#define ROWS_FILE_DIGEST 32
struct rows_digest {
	uint8_t bytes[ROWS_FILE_DIGEST];
};

struct rows_digest rows_file_digest(const void *bytes, size_t size) must_check;

/* No file is larger. It bounds what a reader allocates; the largest images (200 MB of text) need a third of it. */
#define ROWS_FILE_MAX ((size_t)256 << 20)

/* The smallest one: no rows but that of the text's end. */
#define ROWS_FILE_MIN ((size_t)140)

/*
 * The file's bytes, *size of them; free() them. `of`: digest of the image's file. NULL for rows that are not kept: those of
 * a damaged section, and too many of them.
 */
uint8_t *rows_file_encode(const struct code_rows *code, const struct rows_digest *of, size_t *size) must_check;

/*
 * Read it again. NULL unless every byte is as it was written, by this version of stent, for an image whose file has this
 * digest and whose code is `text`. Free with code_rows_free().
 */
struct code_rows *rows_file_decode(const uint8_t *bytes, size_t size, const struct rows_digest *of, struct range text) must_check;

/* Write the checksum of all other bytes into a file of at least ROWS_FILE_MIN bytes. */
void rows_file_seal(uint8_t *bytes, size_t size);

#endif
