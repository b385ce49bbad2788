#include "live/origin_log.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STAMP "%Y-%m-%d %H:%M:%S "
#define QUARTER 900		/* seconds; local times differ from UTC by a multiple of it */
#define DIFFERENCE_MAX (15 * 3600)	/* and by no more than this (14 hours in Kiritimati) */
#define DELAY_MAX 30		/* seconds from the time in a line to that of the file */
#define UNPACKING_MAX 3600	/* seconds that one package takes */

bool origin_is_version(const char *text, size_t length)
{
	if (!length || length > ORIGIN_VERSION_MAX || !isdigit((unsigned char)*text))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && !(text[i] && strchr(".+-~:", text[i])))
			return false;
	return true;
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end && end[1] ? end + 1 : NULL;
}

/* The time at the start of a line, as if it were UTC; *rest is what follows. False: there is none. */
static bool read_stamp(const char *line, int64_t *stamp, const char **rest)
{
	struct tm tm = { 0 };

	*rest = strptime(line, STAMP, &tm);
	if (*rest)
		*stamp = (int64_t)timegm(&tm);
	return *rest;
}

/* How much later it is in the log than in UTC, in seconds. */
static bool read_difference(const char *text, int64_t written, int64_t *difference)
{
	int64_t last = 0, later;
	bool any = false;

	for (const char *line = text; line; line = next_line(line)) {
		const char *rest;
		int64_t stamp;

		if (!read_stamp(line, &stamp, &rest))
			continue;
		last = stamp;
		any = true;
	}
	if (!any || __builtin_sub_overflow(last, written, &later) || later < -DIFFERENCE_MAX || later > DIFFERENCE_MAX)
		return false;
	*difference = (later + DIFFERENCE_MAX + DELAY_MAX) / QUARTER * QUARTER - DIFFERENCE_MAX;
	return later >= *difference - DELAY_MAX && later <= *difference + 1;	/* file systems' clocks are some milliseconds behind */
}

/* Behind the word and its blank, where the text begins with it; else NULL. */
static const char *skip_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	return !strncmp(text, word, length) && text[length] == ' ' ? text + length + 1 : NULL;
}

void origin_log_read(const char *text, int64_t written, const char *package, struct origin_upgrades *upgrades)
{
	int64_t difference, stamp;

	if (!read_difference(text, written, &difference))
		return;
	for (const char *line = text; line; line = next_line(line)) {
		const char *at, *old = NULL;
		size_t length;

		if (read_stamp(line, &stamp, &at) && (at = skip_word(at, "upgrade")))
			old = skip_word(at, package);
		length = old ? strcspn(old, " \n") : 0;
		if (length && old[length] == ' ' && origin_is_version(old, length))
			*array_add(upgrades) = (struct origin_upgrade){ stamp - difference, text_format("%.*s", (int)length, old) };
	}
}

const char *origin_log_replaced(const struct origin_upgrades *upgrades, int64_t moment)
{
	const struct origin_upgrade *last = NULL;

	for (size_t i = 0; i < upgrades->count; i++)
		if (upgrades->item[i].at <= moment && (!last || upgrades->item[i].at >= last->at))
			last = &upgrades->item[i];
	/* (Whatever a file system says of a time: nothing here overflows.) */
	return last && (uint64_t)moment - (uint64_t)last->at <= UNPACKING_MAX ? last->old : NULL;
}
