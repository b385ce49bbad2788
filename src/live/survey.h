/*
 * survey.h: everything about a process that can be learned while it runs: mappings, images, ledgers, unwind
 * tables. It ages: what a decision rests on is read again while all threads are stopped.
 */
#ifndef STENT_LIVE_SURVEY_H
#define STENT_LIVE_SURVEY_H

#include "base/error.h"
#include "live/ledger.h"
#include "patch/patch.h"
#include "process/image.h"
#include "process/maps.h"
#include "process/process.h"
#include "unwind/walk.h"

/* Unwind data of one image, or of a slice. */
struct survey_table {
	uint8_t *bytes;		/* the section; owned */
	struct unwind_table *table;	/* owned */
};

struct survey {
	const struct process *process;
	struct maps maps;
	struct mapped_images images;
	struct ledgers ledgers;
	size_t damaged;		/* ledgers that can't be read */
	ARRAY(struct survey_table) tables;
	ARRAY(struct range) restorers;	/* code that signal handlers return to */
	ARRAY(struct unwind_module) modules;	/* sorted; empty before survey_unwind() */
};

/* Read mappings, images and ledgers. STATUS_ERROR: the process is gone. Free with survey_free() in any case. */
enum status survey_read(const struct process *process, struct survey *survey, struct error *error) must_check;
void survey_free(struct survey *survey);

/* Index the unwind data of all images and slices, for stack walks. */
void survey_unwind(struct survey *survey);

/*
 * The image that a patch is for: by build-id, wherever it is. STATUS_REFUSED: there is none, or more than one, or it is of
 * another kind than the patch says. STATUS_NOTHING: the process runs the new build already.
 */
enum status survey_find_image(const struct survey *survey, const struct patch *patch,
			      const struct mapped_image **image, struct error *error) must_check;

/* The functions to be redirected are what the patch takes them for, byte by byte. STATUS_REFUSED names those that are not. */
enum status survey_check_sites(const struct survey *survey, const struct patch *patch, const struct mapped_image *image,
			       struct error *error) must_check;

#endif
