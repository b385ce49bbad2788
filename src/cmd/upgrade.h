/*
 * upgrade.h: the parts of `stent upgrade`. What is known of a process and its images goes from part to part as JSON objects, because
 * children find it out (everywhere.h). A process is
 *
 *	{ pid, comm, service, images: [image, ...] }
 *
 * and an image that is not what its file system has, or holds a patch of stent upgrade's:
 *
 *	image, path		name; and where the new file is
 *	source			name of the source package, "" when that is not known
 *	start			where it is mapped, as a hexadecimal number
 *	old_build_id, new_build_id
 *	old_digest, new_digest	of the files: what tells pairs apart. Build-ids don't, because a file may claim any
 *	old_version, new_version  of the package that they are from, where both are known. They tell pairs apart, too: what the comparison makes
 *				of one file system's claims goes into no process with another one
 *	replaces		names of patches of it that are to be taken out
 *	by			name of the patch that has brought the new build already
 *	result, why		it is decided already: as an outcome (outcomes.h)
 *	left_out		the user does not want it patched
 *	pair			index into struct upgrade's pairs, where nothing is decided
 */
#ifndef STENT_CMD_UPGRADE_H
#define STENT_CMD_UPGRADE_H

#include <jansson.h>

#include "cmd/live_common.h"
#include "live/successor.h"
#include "patch/bundle.h"

#define UPGRADE_MARK "stent upgrade: "	/* how the descriptions of its patches begin */

/* Two builds of one image, and a process that an image of the old one can be had from. */
struct upgrade_source {
	pid_t pid;
	uint64_t start;
};

struct upgrade_pair {
	char *key;		/* digests of both; owned */
	char *image;		/* owned */
	char *old_version, *new_version;	/* "": not known; owned */
	ARRAY(struct upgrade_source) sources;
	bool compared;
	enum status status;	/* of the comparison: STATUS_OK, STATUS_NOTHING, STATUS_REFUSED or STATUS_ERROR */
	json_t *why;		/* lines */
	struct bundle bundle;	/* STATUS_OK */
	int file;		/* where a child puts the bundle's bytes, while they are compared */
};

struct names {
	const char **item;
	size_t count, room;
};

struct upgrade {
	/* What the user wants. */
	bool dry_run, json, replace;
	struct names only, except;	/* patterns (fnmatch(3)) of names or paths of images */
	struct live_options options;

	/* What is found. */
	size_t seen;
	json_t *unseen;			/* of the first look: as in struct everywhere */
	json_t *tried;			/* object: its names are the pids that have been looked at and had something to do */
	ARRAY(struct upgrade_pair) pairs;
	json_t *outcomes;
};

/* Look at all processes that are not in `tried`. Returns an array of processes in *found. STATUS_ERROR: they can't be listed. */
enum status upgrade_scan(struct upgrade *upgrade, json_t **found, struct error *error) must_check;

/* In a child: the two files of an image, as they were when it was looked at. STATUS_ERROR: they can't be read, or are others by now. */
enum status upgrade_read_pair(const struct upgrade_source *source, const char *key, struct image *old, struct image *new,
			      struct error *error) must_check;

/* Give each image that nothing is decided about a pair, and compare those that have not been compared. */
void upgrade_compare(struct upgrade *upgrade, json_t *processes);

/* Apply to each process what it needs, and add an outcome for each image in it. */
void upgrade_apply(struct upgrade *upgrade, json_t *processes);

/* Print what has come of it, as a table or as JSON. STATUS_ERROR: as cmd_print_json(). */
enum status upgrade_print(const struct upgrade *upgrade, struct error *error) must_check;

/* Decide about an image. `why` is an array, which stays the caller's. */
void upgrade_decide(json_t *image, enum status status, json_t *why);

#endif
