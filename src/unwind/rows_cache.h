/*
 * rows_cache.h: validated rows of images, made once: kept in memory, and in files for the next time.
 *
 * Rows are kept under the digest of *all* bytes of the image's file. A build-id would not do: it is a note that any file can
 * carry, and a process may map a hostile file with the build-id of its C library. It only names the file in the
 * cache, so the worst that such an image does there is to make the two take turns. (Digest and rows come from the same bytes, which
 * image_read() has copied: that the file is changed in between makes no difference.)
 *
 * Why a file of the cache can be trusted, though no one can see from rows that ROW_EXACT is true:
 * - Against people: it is used only if folder and file belong to the user that stent runs as, nobody else may write to them, and
 *   neither is a symbolic link; all of that is asked of the open descriptors. Who can write there could as well replace stent.
 * - Against damage (a full disk, a crash before the data was on the disk, a flipped bit): BLAKE2b over everything.
 * - Against mix-ups: the image's digest is in the file.
 * - Against age: so is STENT_ROWS_VERSION, a digest of the source code that makes rows and verdicts. Another stent's rows
 *   are made again.
 * - And the form of each row is checked, so that no file makes a reader go out of bounds.
 * Anything else is not an error: the rows are made, and the file is replaced if it can be.
 */
#ifndef STENT_UNWIND_ROWS_CACHE_H
#define STENT_UNWIND_ROWS_CACHE_H

#include "image/image.h"
#include "unwind/rows_file.h"

struct rows_cache;

/* How often rows came from where. */
struct rows_cache_counts {
	size_t memory, disk, built;
	size_t written;		/* files */
};

/*
 * `folder`: where the files are; it is made when it does not exist, with its parents. NULL, "" or a folder that can't be
 * used or trusted: memory only. Never NULL. Several caches, of one or many processes, may use one folder at once.
 */
struct rows_cache *rows_cache_open(const char *folder) must_check;

/* Takes NULL. All rows that the cache gave are gone then. */
void rows_cache_close(struct rows_cache *cache);

/*
 * The rows of the image, validated: from memory, else from its file, else made and kept. Never NULL; the cache's own, and
 * valid until it is closed, after the image is closed too. An image without a build-id has no file.
 */
const struct code_rows *rows_cache_get(struct rows_cache *cache, const struct image *image);

struct rows_cache_counts rows_cache_counts(const struct rows_cache *cache);

/*
 * The folder that rows_cache_open() is to have: $STENT_ROWS_CACHE (empty: none), else /var/cache/stent for root, else
 * $XDG_CACHE_HOME/stent, else $HOME/.cache/stent. NULL for none; free() it.
 */
char *rows_cache_folder(void) must_check;

#endif
