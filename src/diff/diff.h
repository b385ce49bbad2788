/*
 * diff.h: from two builds of one image to a patch.
 *
 * Soundness rests on one condition (docs/design.md): a function is left alone only if old and new code
 * are the same bytes but for references, and every reference leads to the matched item: a
 * matched function, the same import, the same variable, constant data of the same content. Whatever
 * the matching gets wrong makes more functions count as changed, never fewer.
 */
#ifndef STENT_DIFF_DIFF_H
#define STENT_DIFF_DIFF_H

#include "base/error.h"
#include "image/image.h"
#include "patch/patch.h"

/* A library that has another soname in the new packages than in the old ones. */
struct renamed_library {
	char *old_name, *new_name;	/* owned */
};

struct diff_options {
	const char *name;		/* of the patch, or NULL: made from image and versions */
	const char *description;	/* or NULL */
	const char *old_version, *new_version;	/* or NULL: the first bytes of the build-ids */
	bool allow_layout;		/* take displacement-only changes for ordinary ones */
	const char *const *allow_data;	/* variables whose changed initial values are to be left as they are in the process: names as
					 * the refusal prints them, or "all" */
	size_t allow_data_count;
	const char *const *new_data;	/* variables of the new build that are to be taken for new ones: names as the refusal prints them */
	size_t new_data_count;
	const char *const *exclude;	/* of packages: images that are to be left as they are, by path, file name or soname */
	size_t exclude_count;
	const struct renamed_library *renamed;	/* libraries that are patched together with this image */
	size_t renamed_count;
	bool keep_lines;		/* redirect functions too in which only line numbers changed */
	bool debug_info;		/* look for debug information (image/debug.h) to name and explain things with */
};

/*
 * Compare two files and fill in *patch (to be freed with patch_free() in any case).
 * STATUS_NOTHING: identical, or no function differs. STATUS_REFUSED: unrelated, or a change that cannot be
 * made in a running process; each reason is a line. STATUS_ERROR: unreadable input.
 */
enum status diff_images(const char *old_path, const char *new_path, const struct diff_options *options,
			struct patch *patch, struct error *error) must_check;

/* The same for images that image_open() or image_open_bytes() has read. They are not needed any more afterwards. */
enum status diff_opened(struct image *old, struct image *new, const struct diff_options *options,
			struct patch *patch, struct error *error) must_check;

/* The name that a patch of that image or package has unless the user gives it another: only what patch names may contain. free() it. */
char *diff_name(const char *what, const char *old_version, const char *new_version) must_check;

/* The same for a patch between two images of which no versions are given. free() it. */
char *diff_name_of(const struct image *old, const struct image *new) must_check;

#endif
