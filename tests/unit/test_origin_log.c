/* dpkg's log: which version a package had before it was replaced at a moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "live/origin_log.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define NOON ((int64_t)1797508800)	/* 2026-12-17 12:00:00 UTC */
#define HOUR 3600

static const char log_text[] =
	"2026-12-01 09:00:00 upgrade libx1:amd64 1.2.2-1 1.2.3-1\n"
	"2026-12-01 09:00:01 status installed libx1:amd64 1.2.3-1\n"
	"2026-12-17 12:00:00 startup archives unpack\n"
	"2026-12-17 12:00:00 upgrade libx1:amd64 1.2.3-1 1:1.2.4-1+deb12u1\n"
	"2026-12-17 12:00:00 upgrade libx1:i386 9.9.9 9.9.10\n"
	"2026-12-17 12:00:00 upgrade libx11:amd64 8.8.8 8.8.9\n"
	"2026-12-17 12:00:02 status installed libx1:amd64 1:1.2.4-1+deb12u1\n"
	"2026-12-17 12:05:00 upgrade libx1:amd64 1:1.2.4-1+deb12u1 1.2.3-1\n"
	"2026-12-17 12:20:00 install liby:amd64 <none> 1.0\n";

static void free_upgrades(struct origin_upgrades *upgrades)
{
	for (size_t i = 0; i < upgrades->count; i++)
		free(upgrades->item[i].old);
	array_free(upgrades);
}

/* The version before what was done `later` seconds after noon of that day, or "none". */
static void assert_before(const char *text, int64_t written, int64_t later, const char *version)
{
	struct origin_upgrades upgrades = { 0 };
	const char *found;

	origin_log_read(text, written, "libx1:amd64", &upgrades);
	found = origin_log_replaced(&upgrades, NOON + later);
	assert_string_equal(found ? found : "none", version);
	free_upgrades(&upgrades);
}

static void the_last_upgrade_counts(void **state)
{
	const int64_t written = NOON + 20 * 60;

	(void)state;
	assert_before(log_text, written, 0, "1.2.3-1");
	assert_before(log_text, written, 299, "1.2.3-1");
	assert_before(log_text, written, 300, "1:1.2.4-1+deb12u1");
	assert_before(log_text, written, 300 + HOUR, "1:1.2.4-1+deb12u1");
}

static void nothing_else_counts(void **state)
{
	(void)state;
	assert_before(log_text, NOON + 20 * 60, -1, "none");
	assert_before(log_text, NOON + 20 * 60, 301 + HOUR, "none");
	assert_before("", NOON, 0, "none");
	assert_before("\n\n2026-12-17 12:00:00", NOON, 0, "none");
	assert_before("2026-12-17 12:00:00 upgrade libx1:amd64 1.2.3", NOON, 0, "none");
	assert_before("2026-12-17 12:00:00 upgrade libx1:amd64 1.2.3\n", NOON, 0, "none");
	assert_before("2026-12-17 12:00:00 upgrade libx1:amd64\n", NOON, 0, "none");
	assert_before("2026-12-17 12:00:00 upgrade libx1:amd64 <none> 1.2.4\n", NOON, 0, "none");
	assert_before("2026-12-17 12:00:00 upgrade libx1:amd64 1.2/3 1.2.4\n", NOON, 0, "none");
	assert_before("2026-12-17 12:00:00 downgrade libx1:amd64 1.2.3 1.2.4\n", NOON, 0, "none");
	assert_before("2026-13-17 12:00:00 upgrade libx1:amd64 1.2.3 1.2.4\n", NOON, 0, "none");
	assert_before("upgrade libx1:amd64 1.2.3 1.2.4\n", NOON, 0, "none");
	assert_before("2026-12-17 12:00:00 upgrade libx1:amd64 1.2.3 1.2.4", NOON, 0, "1.2.3");
}

static void local_time_is_told_by_the_last_line(void **state)
{
	const int64_t end = NOON + 20 * 60;

	(void)state;
	assert_before(log_text, end - 14 * HOUR, -14 * HOUR, "1.2.3-1");	/* Kiritimati */
	assert_before(log_text, end - 14 * HOUR, 0, "none");
	assert_before(log_text, end + 12 * HOUR, 12 * HOUR + 301, "1:1.2.4-1+deb12u1");
	assert_before(log_text, end - 20700, -20700, "1.2.3-1");	/* 5:45 before it: Kathmandu */
	assert_before(log_text, end + 30, 0, "1.2.3-1");
	assert_before(log_text, end - 1, 0, "1.2.3-1");
	assert_before(log_text, end - 1 + 4 * HOUR, 4 * HOUR, "1.2.3-1");
}

static void other_times_are_nobodys(void **state)
{
	const int64_t end = NOON + 20 * 60;

	(void)state;
	assert_before(log_text, end + 31, 0, "none");
	assert_before(log_text, end - 2, 0, "none");
	assert_before(log_text, end + 16 * HOUR, 16 * HOUR, "none");
	assert_before(log_text, end - 16 * HOUR, -16 * HOUR, "none");
	assert_before(log_text, INT64_MAX, 0, "none");
	assert_before(log_text, INT64_MIN, 0, "none");
	assert_before(log_text, end, INT64_MAX - NOON, "none");
	assert_before("0000-01-01 00:00:00 upgrade libx1:amd64 1.2.3 1.2.4\n", -62167219200, INT64_MAX - NOON, "none");
	assert_before("0000-01-01 00:00:00 upgrade libx1:amd64 1.2.3 1.2.4\n", -62167219200, INT64_MIN + (int64_t)1, "none");
}

static void versions_are_told_from_other_words(void **state)
{
	char long_one[ORIGIN_VERSION_MAX + 2];

	(void)state;
	memset(long_one, '1', sizeof(long_one));
	assert_true(origin_is_version("1:2.6.12-1+deb12u3~bpo1", 23));
	assert_true(origin_is_version(long_one, ORIGIN_VERSION_MAX));
	assert_false(origin_is_version(long_one, ORIGIN_VERSION_MAX + 1));
	assert_false(origin_is_version("", 0));
	assert_false(origin_is_version("<none>", 6));
	assert_false(origin_is_version("v1.2", 4));
	assert_false(origin_is_version("1.2 3", 5));
	assert_false(origin_is_version("1\0002", 3));
	assert_false(origin_is_version("1.\033[2J", 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_upgrade_counts),
		cmocka_unit_test(nothing_else_counts),
		cmocka_unit_test(local_time_is_told_by_the_last_line),
		cmocka_unit_test(other_times_are_nobodys),
		cmocka_unit_test(versions_are_told_from_other_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
