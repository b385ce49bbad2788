/*
 * packages.h: from two sets of packages to the patches of all images in them that changed.
 */
#ifndef STENT_DIFF_PACKAGES_H
#define STENT_DIFF_PACKAGES_H

#include "diff/diff.h"
#include "patch/bundle.h"

enum package_verdict {
	PACKAGE_CHANGED,	/* it has a patch */
	PACKAGE_SAME,		/* the same build */
	PACKAGE_NOTHING,	/* another build, but a running process would not notice */
	PACKAGE_REFUSED,	/* it changed in a way that can't be brought into a process, or can't be read */
	PACKAGE_EXCLUDED,	/* the user wants it left alone */
	PACKAGE_ONLY_OLD,
	PACKAGE_ONLY_NEW,
};

/* What has become of one image. */
struct package_image {
	char *path;		/* in the old package, or the new one when it is only there; owned */
	enum package_verdict verdict;
	char *why;		/* lines; owned; or NULL */
};

struct package_report {
	ARRAY(struct package_image) images;
};

/*
 * Compare what packages_read() makes of both paths, image by image: those of one path, or of a path in which only the package's own version
 * differs, or of one soname. STATUS_OK: *bundle has a patch for each image that changed. STATUS_REFUSED: one at least could not be
 * done, and was not excluded; the lines say why. STATUS_NOTHING: none is to be patched. STATUS_ERROR: unreadable, or an
 * image to be excluded is not there. Free both with bundle_free() and package_report_free() in any case.
 */
enum status diff_packages(const char *old_path, const char *new_path, const struct diff_options *options, struct bundle *bundle,
			  struct package_report *report, struct error *error) must_check;
void package_report_free(struct package_report *report);

#endif
