/*
 * origin.h: which package a file is from, as the package manager's database in the process's own file system says. (dpkg's:
 * dpkg-query(1), deb-src-control(5). Of others nothing is known.) What it says is a claim of whoever owns that file system.
 */
#ifndef STENT_LIVE_ORIGIN_H
#define STENT_LIVE_ORIGIN_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/memory.h"
#include "live/origin_log.h"
#include "process/root.h"

struct origin {
	dev_t device;		/* of the root directory */
	ino_t inode;
	char *path;		/* owned, as all texts here */
	char *source;		/* the name of the source package; "": not known */
	char *version;		/* of the package that is installed; "": not known, or its files are being replaced just now */
	struct origin_upgrades upgrades;	/* of that package */
};

/* What was asked before. Starts zeroed, and lives as long as stent, or its child that looks at processes (crew.h). */
struct origins {
	struct origin *item;
	size_t count, room;
};

/* Of the file that is there now. Valid until the next call. `path`: as the kernel names it to us, without what it says of deleted ones. */
const struct origin *origin_find(struct origins *origins, const struct process_root *root, const char *path) must_check;

/*
 * The version of the package that an earlier file at the same path was from, by the moment at which its last name was taken away.
 * NULL: some name still leads to it, or the log does not say that the package was replaced then.
 */
const char *origin_earlier_version(const struct origin *origin, const struct stat *earlier) must_check;

#endif
