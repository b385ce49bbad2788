/*
 * root.h: files as a process sees them, in its own root directory and mount namespace.
 *
 * Whoever owns that file system may be an attacker: the folders on the way may be links by now that lead anywhere, and the file
 * a device that does something when it is opened. It may also never answer: to be called in a child (crew.h).
 */
#ifndef STENT_PROCESS_ROOT_H
#define STENT_PROCESS_ROOT_H

#include "base/error.h"
#include "process/process.h"

struct process_root {
	int directory;		/* where names are looked up, O_PATH */
	char *prefix;		/* how the kernel names the root directory, to us: "/", or with chroot(2) "/srv/root"; owned */
	bool same_namespace;	/* as ours: names that are not below the prefix can be looked up in our own root */
};

/* STATUS_ERROR: the process has ended, or it is not permitted. process_root_close() in any case. */
enum status process_root_open(const struct process *process, struct process_root *root, struct error *error) must_check;
void process_root_close(struct process_root *root);

/*
 * Open for reading the regular file of that name, as the kernel writes it in a list of mappings (proc(5)). No link leads out of the root.
 * -1: there is none (nothing is added to the error), or it can't or must not be opened (a line is).
 */
int process_root_file(const struct process_root *root, const char *name, struct error *error) must_check;

/*
 * The same for what belongs to the file of that name: `other` is a name in the root directory that `name` is looked up in, its own or ours. `flags`:
 * O_DIRECTORY or 0. -1: there is none such.
 */
int process_root_beside(const struct process_root *root, const char *name, const char *other, int flags) must_check;

/* The name as it is in that root directory; part of `name`. */
const char *process_root_name(const struct process_root *root, const char *name) must_check;

#endif
