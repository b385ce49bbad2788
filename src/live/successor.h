/*
 * successor.h: the file that a program would map in the place of an image if it were started now.
 *
 * What the process has mapped its memory says (its build-id), and what is there now the file system of the process says. Both files are
 * read through descriptors that are opened once, and of what is read the digest is taken: a build-id is only a claim, and two
 * files that claim the same one need not be the same.
 */
#ifndef STENT_LIVE_SUCCESSOR_H
#define STENT_LIVE_SUCCESSOR_H

#include <sys/stat.h>

#include "live/survey.h"
#include "process/root.h"
#include "unwind/rows_file.h"

/* Files that were read before, recognised by everything that changes when somebody writes to one. */
struct known_file {
	struct stat about;
	struct build_id id;
	bool digested;
	struct rows_digest digest;
	bool named;
	char soname[128];	/* when `named`; empty: it has none, or a longer one */
};

struct known_files {
	struct known_file *item;
	size_t count, room;
};

enum successor_kind {
	SUCCESSOR_SAME,		/* the build that is mapped */
	SUCCESSOR_NEW,		/* another build */
	SUCCESSOR_NONE,		/* no file is there */
	SUCCESSOR_UNKNOWN,	/* it can't be told; the error says why */
};

struct successor {
	char *path;		/* as the kernel names it, to us, without what it says of deleted files; owned */
	bool deleted;		/* the kernel says that no name leads to the file that is mapped */
	int file;		/* SUCCESSOR_NEW: open for reading; else -1 */
	struct build_id id;	/* SUCCESSOR_NEW: of the file */
};

/*
 * Look for it: at the name that the image was mapped by; and at the image's soname in the same folder, where that name leads to no
 * file or to the same build (a library whose file name has its version in it); and where the file that is mapped has gone, and neither
 * name leads to one, where the dynamic linker's cache has that soname (successor_cache.h). successor_close() in any case.
 */
enum successor_kind successor_find(const struct survey *survey, const struct process_root *root, const struct mapped_image *mapped,
				   struct known_files *known, struct successor *successor, struct error *error) must_check;
void successor_close(struct successor *successor);

/* The file that is mapped, open for reading, also when no name leads to it any more. -1: the error says why, also when the
 * file says that it is another build than memory does. */
int successor_open_mapped(const struct survey *survey, const struct mapped_image *mapped, struct error *error) must_check;

/* The digest of an open file. `name`: for messages. STATUS_ERROR: it is no image that can be compared with another one (image_open()). */
enum status known_files_digest(struct known_files *known, int file, const char *name, struct rows_digest *digest,
			       struct error *error) must_check;

#endif
