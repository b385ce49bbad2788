/*
 * versions.c: does a text say nothing else than which version of the package it is from?
 *
 * Programs keep their version in variables. That a running process goes on saying the old one harms nobody. But "1.0" that became "1.2" may as
 * well be a protocol that is no longer allowed. So a version is what only a version can be: one with the revision of a stable update
 * ("+deb12u3", Debian Developer's Reference 5.8.5.4), or, with three numbers at least, the one that the package is known to have. A date
 * is the version's where it stands in one text with it. So is a number made of the three (101118 for 10.11.18). A moment, to the second and with its day of the week, is that of the build where it is all
 * there is. Names of files have versions in them, too; those lead somewhere, and don't count.
 */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "diff/versions.h"

/* A stretch of a text. */
struct span {
	const char *start;
	size_t size;
};

static bool same_span(struct span a, struct span b)
{
	return a.size == b.size && memcmp(a.start, b.start, a.size) == 0;
}

static bool is_digit(char c)
{
	return isdigit((unsigned char)c);
}

/* Versions consist of these (Debian Policy 5.6.12), but for the epoch, which no program names. */
static bool is_version_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr(".+~-", c));
}

static struct span token_at(const char *text)
{
	struct span token = { .start = text };

	while (is_version_char(text[token.size]))
		token.size++;
	return token;
}

static bool two_digits(const char *at, int last)
{
	return is_digit(at[0]) && is_digit(at[1]) && (at[0] - '0') * 10 + at[1] - '0' >= 1 && (at[0] - '0') * 10 + at[1] - '0' <= last;
}

/* Is there a date, 2026-10-17 or 2026/10/17? */
static bool is_date(const char *at)
{
	for (int i = 0; i < 4; i++)
		if (!is_digit(at[i]))
			return false;
	return (at[4] == '-' || at[4] == '/') && two_digits(at + 5, 12) && at[7] == at[4] && two_digits(at + 8, 31) && !is_version_char(at[DATE_SIZE]);
}

/* As date(1) and asctime(3) write it in English: "Wed Oct 19 15:59:32 UTC 2022". */
static bool is_moment(const char *text)
{
	static const char *const forms[] = { "%a %b %d %H:%M:%S UTC %Y", "%a %b %d %H:%M:%S %Y" };

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		struct tm tm = { 0 }, right;
		const char *end = strptime(text, forms[i], &tm);

		right = tm;
		if (end && !*end && timegm(&right) != -1 && right.tm_wday == tm.tm_wday && right.tm_mday == tm.tm_mday)
			return true;
	}
	return false;
}

static size_t digits_at(const char *at, const char *end)
{
	size_t count = 0;

	while (at + count < end && is_digit(at[count]))
		count++;
	return count;
}

/* Bytes of "+deb12u3" or "~deb12u3" at the start of [at, end); 0 when there is none. */
static size_t revision_size(const char *at, const char *end)
{
	size_t release, update;

	if (end - at < 4 || (*at != '+' && *at != '~') || memcmp(at + 1, "deb", 3) != 0)
		return 0;
	release = digits_at(at + 4, end);
	if (!release || at + 4 + release == end || at[4 + release] != 'u')
		return 0;
	update = digits_at(at + 5 + release, end);
	return update ? 5 + release + update : 0;
}

/* A version as a text has it: what stands before the stable update's revision, that revision, and what a vendor adds ("-Debian"). */
struct version {
	struct span upstream, revision, vendor;
};

static bool is_vendor(struct span vendor)
{
	return !vendor.size || (*vendor.start == '-' && !memchr(vendor.start, '.', vendor.size));
}

/* By the last revision in it: "1.0-1+deb11u1~deb12u1". False: there is none, or the rest is nothing that a version consists of. */
static bool split(struct span token, struct version *version)
{
	const char *end = token.start + token.size;
	struct span revision = { 0 };

	for (const char *at = token.start; at < end; at++) {
		size_t size = revision_size(at, end);

		if (size)
			revision = (struct span){ at, size };
	}
	if (!revision.size)
		return false;
	version->revision = revision;
	version->upstream = (struct span){ token.start, (size_t)(revision.start - token.start) };
	version->vendor = (struct span){ revision.start + revision.size, (size_t)(end - revision.start) - revision.size };
	return is_vendor(version->vendor) && (is_digit(*token.start) || *token.start == '+' || *token.start == '~' ||
					      (*token.start == 'v' && is_digit(token.start[1])));
}

/* Is the token what the new one's was before the first stable update? With "+b2" where it was only built again. */
static bool is_first(struct span token, const struct version *version)
{
	struct span rest;
	size_t both = version->upstream.size + version->vendor.size;

	if (token.size < both || memcmp(token.start, version->upstream.start, version->upstream.size) != 0 ||
	    memcmp(token.start + token.size - version->vendor.size, version->vendor.start, version->vendor.size) != 0)
		return false;
	rest = (struct span){ token.start + version->upstream.size, token.size - both };
	return !rest.size || (rest.size > 2 && memcmp(rest.start, "+b", 2) == 0 &&
			      digits_at(rest.start + 2, rest.start + rest.size) == rest.size - 2);
}

static bool tokens_by_revision(struct span old, struct span new)
{
	struct version a, b;

	if (!split(new, &b))
		return false;
	return split(old, &a) ? same_span(a.vendor, b.vendor) : is_first(old, &b);
}

/* The version of a package without its epoch; empty: not known, or not telling enough. */
static struct span package_version(const char *version)
{
	const char *colon = version ? strchr(version, ':') : NULL;
	const char *start = colon ? colon + 1 : version;
	int dots = 0;

	for (const char *at = start; at && *at && *at != '-'; at++)
		dots += *at == '.' && is_digit(at[1]);
	return dots >= 2 ? (struct span){ start, strlen(start) } : (struct span){ 0 };
}

static struct span without_revision(struct span version)
{
	const char *end = version.start + version.size;

	while (end > version.start && *--end != '-')
		;
	return *end == '-' ? (struct span){ version.start, (size_t)(end - version.start) } : version;
}

static bool tokens_by_package(const struct diff_options *options, struct span old, struct span new)
{
	struct span a = package_version(options->old_version), b = package_version(options->new_version);

	if (!a.size || !b.size)
		return false;
	return (same_span(old, a) && same_span(new, b)) || (same_span(old, without_revision(a)) && same_span(new, without_revision(b)));
}

/* "/usr/lib/x", "./x", and what goes on with a slash. */
static bool is_path(const char *text, struct span token)
{
	return *text == '/' || *text == '.' || token.start[token.size] == '/' || (token.start - text >= 2 && token.start[-1] == '/' &&
	       !isalnum((unsigned char)token.start[-2]));
}

bool versions_differ(const struct diff_options *options, const char *old, const char *new, struct release *release)
{
	const char *a = old, *b = new, *old_date = NULL, *new_date = NULL;
	bool found = false;

	if (is_moment(old) && is_moment(new))
		return true;
	while (*a || *b) {
		struct span x = token_at(a), y = token_at(b);

		if ((a == old || !is_version_char(a[-1])) && is_date(a) && is_date(b)) {
			if (old_date && (memcmp(old_date, a, DATE_SIZE) != 0 || memcmp(new_date, b, DATE_SIZE) != 0))
				return false;
			old_date = a;
			new_date = b;
			a += DATE_SIZE;
			b += DATE_SIZE;
			continue;
		}
		if (!x.size || !y.size) {
			if (*a++ != *b++)
				return false;
			continue;
		}
		if (!same_span(x, y)) {
			if ((!tokens_by_revision(x, y) && !tokens_by_package(options, x, y)) || is_path(old, x) || is_path(new, y))
				return false;
			found = true;
		}
		a += x.size;
		b += y.size;
	}
	if (found && old_date) {
		memcpy(release->old_date, old_date, DATE_SIZE);
		memcpy(release->new_date, new_date, DATE_SIZE);
	}
	if (!found && old_date)
		return *release->old_date && memcmp(release->old_date, old_date, DATE_SIZE) == 0 && memcmp(release->new_date, new_date, DATE_SIZE) == 0;
	return found;
}

/* 101118 of "1:10.11.18-0+deb12u1", as MYSQL_VERSION_ID, PHP_VERSION_ID and their kin are made. 0: the version has not three numbers that fit. */
static uint64_t number_of(const char *version)
{
	struct span whole = package_version(version), upstream = whole.size ? without_revision(whole) : whole;
	const char *at = upstream.start, *end = at + upstream.size;
	uint64_t number = 0;

	for (int part = 0; part < 3; part++) {
		size_t digits = digits_at(at, end);

		if (!digits || digits > 2 || (part < 2 && (at + digits == end || at[digits] != '.')))
			return 0;
		number *= 100;
		number += digits == 2 ? (uint64_t)(at[0] - '0') * 10 + (uint64_t)(at[1] - '0') : (uint64_t)(at[0] - '0');
		at += digits + (part < 2);
	}
	return at < end && (is_digit(*at) || *at == '.') ? 0 : number;
}

bool versions_numbers_differ(const struct diff_options *options, uint32_t old, uint32_t new)
{
	uint64_t a = number_of(options->old_version), b = number_of(options->new_version);

	return a && b && a != b && ((old == a && new == b) || (old == a << 8 && new == b << 8));
}
