/*
 * package.h: the ELF files of Debian packages (deb(5)), or of a folder that packages were unpacked into.
 *
 * A package may come from anywhere: nothing of it is written to a disk, no name in it is ever opened, and what it may take of
 * memory and time is bounded.
 */
#ifndef STENT_IMAGE_PACKAGE_H
#define STENT_IMAGE_PACKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"

/* A program or shared object: an ELF file of the type ET_EXEC or ET_DYN. */
struct package_file {
	char *path;		/* below the root of the file system, without a leading slash; owned */
	char *source, *version;	/* name of its source package, and its version; "" when they are not known; owned */
	uint8_t *bytes;		/* owned */
	size_t size;
};

struct packages {
	ARRAY(struct package_file) files;	/* sorted by path, each path once */
	uint64_t elf_total, total;	/* bytes so far: of the files above, of all */
};

#define PACKAGES_ELF_MAX (UINT64_C(1) << 30)	/* bytes of ELF files in all packages of one side, which are kept in memory */
#define PACKAGES_TOTAL_MAX (UINT64_C(4) << 30)	/* bytes that all data may unpack to */

/* Is the path a folder, or a file that begins like a .deb? (An ELF file is neither.) */
bool packages_expected(const char *path) must_check;

/*
 * Read one .deb; or of a folder the .deb files in it, when there are any; or else the folder as a file system's root. Links are not
 * followed, and detached debug information (usr/lib/debug) is left out. STATUS_ERROR: unreadable, damaged, too large, or a path is there twice.
 * Free with packages_free() in any case.
 */
enum status packages_read(const char *path, struct packages *packages, struct error *error) must_check;
void packages_free(struct packages *packages);

/* A .deb in memory; `name` is for messages. As packages_read(); adds to *packages, not sorted. */
enum status packages_add_bytes(const char *name, const uint8_t *bytes, size_t size, struct packages *packages,
			       struct error *error) must_check;

#endif
