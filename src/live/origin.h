/*
 * origin.h: which source package a file was made from, as the package manager's database in the process's own file system says. (dpkg's:
 * dpkg-query(1), deb-src-control(5). Of others nothing is known.) What it says is a claim of whoever owns that file system.
 */
#ifndef STENT_LIVE_ORIGIN_H
#define STENT_LIVE_ORIGIN_H

#include <sys/types.h>

#include "base/memory.h"
#include "process/root.h"

/* What was asked before. Starts zeroed, and lives as long as stent, or its child that looks at processes (crew.h). */
struct origins {
	struct origin {
		dev_t device;		/* of the root directory */
		ino_t inode;
		char *path, *source;	/* owned */
	} *item;
	size_t count, room;
};

/* The name of the source package, valid as long as *origins; "" when it is not known. `path`: as the kernel names the file to us, without what it says of deleted ones. */
const char *origin_find(struct origins *origins, const struct process_root *root, const char *path) must_check;

#endif
