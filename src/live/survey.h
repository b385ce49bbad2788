/*
 * survey.h: everything about a process that can be learned while it runs: mappings, images, ledgers, unwind
 * tables. It ages: what a decision rests on is read again while all threads are stopped.
 */
#ifndef STENT_LIVE_SURVEY_H
#define STENT_LIVE_SURVEY_H

#include "base/error.h"
#include "image/image.h"
#include "live/ledger.h"
#include "patch/bundle.h"
#include "process/image.h"
#include "process/maps.h"
#include "process/process.h"
#include "unwind/rows_cache.h"
#include "unwind/walk.h"

/* Code of one executable mapping, as struct unwind_module wants it. */
struct survey_code {
	uint8_t *text;		/* owned */
	ARRAY(struct range) altered;
};

/* A function that unwinders ask for tables, which finders can stand before (finders.h). */
struct survey_finder {
	struct range image;	/* that it is in */
	uint64_t entry;
	struct entry_plan plan;
	uint8_t bytes[ARCH_ENTRY_MAX];	/* at the entry, in the file */
};

/* A makecontext(3). What it writes to the top of each context's stack stays there as long as the context lives; then one of the same words is there. */
struct context_maker {
	struct range code;
	struct range words;	/* code that ends a context: its start is what the context's function returns to; what is called there returns into it */
	uint64_t behind;	/* the instruction that follows when makecontext() has written it; 0: not known */
};

struct survey {
	const struct process *process;
	struct maps maps;
	struct mapped_images images;
	struct ledgers ledgers;
	size_t damaged;		/* ledgers that can't be read */
	ARRAY(struct survey_code) codes;
	ARRAY(struct range) restorers;	/* code that signal handlers return to */
	uint64_t search;	/* bytes of memory that may be searched for such contexts: the user's to say */
	char *switches;		/* code that can leave a context suspended (a coroutine), or NULL; owned */
	bool made_contexts;	/* it makes all of its contexts by makecontext(3), which is one of these, */
	ARRAY(struct context_maker) makers;
	bool unknown_maker;	/* or one of which nothing is known */
	/* Known after survey_unwind(): */
	ARRAY(struct unwind_module) modules;	/* sorted */
	ARRAY(struct survey_finder) finders;
	bool throws;		/* some code can unwind stacks */
	char *blind;		/* an image with an unwinder that can't be told of new code, or NULL; owned */
	char *asks;		/* an image with one that asks for a function which is not among `finders`, or NULL; owned */
};

/* Read mappings, images and ledgers. STATUS_ERROR: the process is gone. Free with survey_free() in any case. */
enum status survey_read(const struct process *process, struct survey *survey, struct error *error) must_check;
void survey_free(struct survey *survey);

/* Validated unwind data of all images and slices, for stack walks: slow for an image that was never seen before. */
void survey_unwind(struct survey *survey);

/* Part of survey_unwind(): look for code that switches stacks in an image. */
void survey_note_switches(struct survey *survey, const struct mapped_image *mapped, const struct image *image,
			  const struct code_rows *code);

/* The file of a mapped image. False when it can't be read, or is another one. image_close() in any case. */
bool survey_read_image(const struct survey *survey, const struct mapped_image *mapped, struct image *image) must_check;

/* Some image in the process is this build. */
bool survey_maps_build(const struct survey *survey, const struct build_id *id) must_check;

/* A patch, and the image in the process that it is for. */
struct target {
	const struct patch *patch;
	const struct mapped_image *image;
};

struct targets {
	struct target *item;
	size_t count, room;
	ARRAY(char *) skipped;	/* a line for each patch without an image here; owned */
};

/*
 * The images that the patches are for: by build-id, wherever they are. Of several patches, those whose image the process does not
 * map, or runs in the new build already, are skipped. STATUS_REFUSED: none is left, or one is mapped more than once, or is of another
 * kind than the patch says, or an image of that name is there in a build that the patch knows nothing of, or what runs is
 * not its code (translator.h). STATUS_NOTHING:
 * the process runs the new build already, or none of the patches redirects a function. Free with targets_free() in any case.
 */
enum status survey_find_targets(const struct survey *survey, const struct bundle *bundle, struct targets *targets,
				struct error *error) must_check;
void targets_free(struct targets *targets);

/* The functions to be redirected are what the patch takes them for, byte by byte. STATUS_REFUSED names those that are not. */
enum status survey_check_sites(const struct survey *survey, const struct targets *targets, struct error *error) must_check;

#endif
