/*
 * census.h: what `stent check` finds out about one file.
 */
#ifndef STENT_CMD_CENSUS_H
#define STENT_CMD_CENSUS_H

#include "image/image.h"
#include "program/program.h"
#include "unwind/validate.h"

/* A reason why functions can't be redirected, or why the frame of a redirected one is not proven. */
struct refusal {
	const char *why;	/* static */
	size_t count;
};

struct refusals {
	struct refusal *item;	/* most frequent first */
	size_t count, room;
};

struct census {
	struct image image;
	struct rows *rows;
	struct validation validation;
	struct program program;		/* without functions when it could not be analysed */
	size_t functions, redirectable;
	struct refusals refusals;
	size_t agreeing;		/* of those that can: have one frame in the entry and in its copy, and exact rows for it */
	struct refusals flagged;	/* the others of those: unwind/alternatives.h */
};

/* Take it. STATUS_ERROR when the file can't be read. census_free() in any case. */
enum status census_take(const char *path, struct census *census, struct error *error) must_check;
void census_free(struct census *census);

/* "name+0x10", or NULL when no function is known to hold the address. free() it. */
char *census_place(const struct census *census, uint64_t address) must_check;

/* check_json.c: append the census of one file to the JSON array. False without memory. */
struct json_t;
bool census_add_json(struct json_t *array, const char *path, const struct census *census) must_check;

#endif
