/*
 * origin_log.h: when a package was replaced by another version of it, as dpkg's log says (dpkg(1), --log):
 *
 *	2026-10-17 10:48:59 upgrade NAME:ARCHITECTURE OLD-VERSION NEW-VERSION
 */
#ifndef STENT_LIVE_ORIGIN_LOG_H
#define STENT_LIVE_ORIGIN_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

#define ORIGIN_VERSION_MAX 100	/* characters of a version; longer ones are nobody's */

struct origin_upgrades {
	struct origin_upgrade {
		int64_t at;	/* when it began, in seconds since 1970 */
		char *old;	/* version; owned */
	} *item;
	size_t count, room;
};

/*
 * Add those of a package ("NAME:ARCHITECTURE") that a log speaks of. `written`: when the log was written to last, in seconds since 1970. The log
 * itself has the local time of who wrote it, so its last line tells by how much that differs; where it differs by what no place's does, nothing is added.
 */
void origin_log_read(const char *text, int64_t written, const char *package, struct origin_upgrades *upgrades);

/* What is a version to dpkg (deb-version(7)), of which there are `length` characters. */
bool origin_is_version(const char *text, size_t length);

/* The version that was there before the last one that began before that moment, but not long before. NULL: there is none. */
const char *origin_log_replaced(const struct origin_upgrades *upgrades, int64_t moment) must_check;

#endif
