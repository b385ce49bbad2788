/* versions.h: texts and numbers that say which version of the package they are from. */
#ifndef STENT_DIFF_VERSIONS_H
#define STENT_DIFF_VERSIONS_H

#include "diff/diff.h"

#define DATE_SIZE 10	/* "2026-10-17" */

/* The dates of two versions, as far as texts have said. Starts zeroed. */
struct release {
	char old_date[DATE_SIZE], new_date[DATE_SIZE];
};

/*
 * Do two texts that differ do so in nothing but the package's version? Where one has the date beside the version, *release gets it; another that
 * has only a date counts once that is known. (So of several texts, all have to be asked before a no is an answer.) Of the
 * options, only the versions are looked at, which may be NULL.
 */
bool versions_differ(const struct diff_options *options, const char *old, const char *new, struct release *release);

/* The same of two numbers, for packages whose versions have three parts: 101118, or that with a byte of zeros behind it (as in plugins of MariaDB), for 10.11.18. */
bool versions_numbers_differ(const struct diff_options *options, uint32_t old, uint32_t new);

#endif
