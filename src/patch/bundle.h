/*
 * bundle.h: what a patch file holds: a patch for one image, or one for each of several that belong together.
 *
 * A process gets all of it in one transition, under one name. Images that it does not map are left out.
 */
#ifndef STENT_PATCH_BUNDLE_H
#define STENT_PATCH_BUNDLE_H

#include "patch/patch.h"

/* Of several patches, all have the same name, description and tool, and no two are for the same old image. */
struct bundle {
	struct patch *item;
	size_t count, room;
};

#define BUNDLE_MAX 1000		/* patches */

/* Bring the patches into the one order that the format knows. */
void bundle_sort(struct bundle *bundle);

/* Write the file; replaces an existing one only when it is complete (rename). */
enum status bundle_write(const struct bundle *bundle, const char *path, struct error *error) must_check;

/*
 * Read and verify a file: STATUS_ERROR with the reason for one that is damaged in any way (length, offsets, counts,
 * overlaps, addresses outside of their segments), not a patch, or of another format version.
 * Free with bundle_free(), also after a failure.
 */
enum status bundle_read(const char *path, struct bundle *bundle, struct error *error) must_check;

/* The same, after the check has said STATUS_OK of the file's bytes: nothing is done with them before. */
typedef enum status bundle_check(void *context, const uint8_t *bytes, size_t size, struct error *error);
enum status bundle_read_checked(const char *path, bundle_check *check, void *context, struct bundle *bundle,
				struct error *error) must_check;
enum status bundle_parse(const uint8_t *bytes, size_t size, struct bundle *bundle, struct error *error) must_check;

/* Does it hold what docs/format.md asks, each of its patches included? */
enum status bundle_verify(const struct bundle *bundle, struct error *error) must_check;

/* The file of a verified bundle: free() it. *size: its bytes. */
uint8_t *bundle_encode(const struct bundle *bundle, size_t *size) must_check;

void bundle_free(struct bundle *bundle);

#endif
