/* package_file.h: what package.c and package_folder.c share. */
#ifndef STENT_IMAGE_PACKAGE_FILE_H
#define STENT_IMAGE_PACKAGE_FILE_H

#include "base/buffer.h"
#include "image/package.h"

/* Bytes of a file as they come, kept only while it looks like a program or shared object. Starts zeroed. */
struct package_intake {
	struct buffer bytes;
	bool other;		/* it is something else */
};

/* Take more of the file. STATUS_ERROR: all together is too much. */
enum status package_intake_add(struct packages *packages, struct package_intake *intake, const void *bytes, size_t size,
			       const char *name, struct error *error) must_check;

/* The file has ended: keep it if it is one of those that are wanted. `path` is as the archive or the folder has it. */
void package_intake_end(struct packages *packages, struct package_intake *intake, const char *path, const char *source,
			const char *version);

/* package_deb.c: an open file, which stays open. Adds to *packages. */
enum status package_add_deb(const char *name, int file, struct packages *packages, struct error *error) must_check;

/* package_folder.c: the folder as a file system's root. Adds to *packages. */
enum status package_add_folder(const char *path, struct packages *packages, struct error *error) must_check;

#endif
