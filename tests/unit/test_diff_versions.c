/* Which differences between two texts only say that the version is another one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "diff/versions.h"

#undef fail	/* cmocka has one, too */

#include <cmocka.h>

struct texts {
	const char *old, *new;
};

static bool differ(const char *old_version, const char *new_version, struct texts texts)
{
	struct diff_options options = { .old_version = old_version, .new_version = new_version };
	struct release release = { 0 };

	return versions_differ(&options, texts.old, texts.new, &release);
}

static void test_revisions(void **unused)
{
	static const struct texts versions[] = {
		{ "2.6.12-1+deb12u3", "2.6.12-1+deb12u4" },
		{ "9.18.49-1~deb12u1-Debian", "9.18.49-1~deb12u3-Debian" },
		{ "1.0-2", "1.0-2+deb12u1" },
		{ "1.0-2+b1", "1.0-2+deb12u1" },
		{ "+deb3.1+deb12u1", "+deb3.1+deb12u2" },
		{ "v1.0-2+deb12u9 (Debian)", "v1.0-2+deb12u10 (Debian)" },
		{ "Server/1.0-2+deb12u1 of somebody", "Server/1.0-2+deb12u2 of somebody" },
		{ " version 1.0-2+deb12u1, released 2025/10/03", " version 1.0-2+deb12u2, released 2026/10/17" },
		{ "8.2.32-1~deb12u1", "8.2.35-1~deb12u1" },
	};

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++)
		assert_true(differ(NULL, NULL, versions[i]));
}

static void test_others(void **unused)
{
	static const struct texts others[] = {
		{ "1.0", "1.2" },
		{ "2.6.1", "2.6.2" },
		{ "10.0.0.0/8", "10.0.0.0/16" },
		{ "allow", "deny" },
		{ "1.0-2+deb12u1 allow", "1.0-2+deb12u2 deny" },
		{ "1.0-2+deb12u1", "1.0-2+deb12u2 " },
		{ "1.0-2+deb12u1", "" },
		{ "1.0-2+deb12u2", "1.0-2" },
		{ "1.0-3", "1.0-2+deb12u1" },
		{ "1.0-2+b", "1.0-2+deb12u1" },
		{ "1.0-2+deb12u", "1.0-2+deb12u2" },
		{ "1.0-2+debu1", "1.0-2+debu2" },
		{ "1.0-2+deb12u1-Debian", "1.0-2+deb12u2-Other" },
		{ "allow+deb12u1", "deny+deb12u2" },
		{ "1.0-2+deb12u1.so", "1.0-2+deb12u2.so" },
		{ "/usr/lib/1.0-2+deb12u1", "/usr/lib/1.0-2+deb12u2" },
		{ "1.0-2+deb12u1/plugins", "1.0-2+deb12u2/plugins" },
		{ "in /1.0-2+deb12u1", "in /1.0-2+deb12u2" },
		{ "2025/10/03", "2026/10/17" },
		{ "until 2025-10-03 or 2025-10-04 in 1.0-2+deb12u1", "until 2026-10-03 or 2026-11-04 in 1.0-2+deb12u2" },
		{ "1.0-2+deb12u1 2025/10/03", "1.0-2+deb12u2 2026/13/17" },
		{ "Wed Oct 19 15:59:32 UTC 2022", "never" },
		{ "Tue Oct 19 15:59:32 UTC 2022", "Wed Sep 30 06:33:54 UTC 2026" },
		{ "Oct 19 2022", "Sep 30 2026" },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(differ(NULL, NULL, others[i]));
}

static void test_package(void **unused)
{
	assert_true(differ("2.6.1", "2.6.2", (struct texts){ "2.6.1", "2.6.2" }));
	assert_true(differ("1:2.6.1-3", "1:2.6.2-1", (struct texts){ "at 2.6.1", "at 2.6.2" }));
	assert_true(differ("2.6.1-3", "2.6.2-1", (struct texts){ "2.6.1-3", "2.6.2-1" }));
	assert_false(differ("2.6.1", "2.6.2", (struct texts){ "2.6.1", "2.6.3" }));
	assert_false(differ("2.6.1", "2.6.2", (struct texts){ "2.6.0", "2.6.2" }));
	assert_false(differ("2.6.1-3", "2.6.2-1", (struct texts){ "2.6.1-3", "2.6.2" }));
	assert_false(differ("1.0", "1.2", (struct texts){ "1.0", "1.2" }));
	assert_false(differ("2.6.1", NULL, (struct texts){ "2.6.1", "2.6.2" }));
}

static void test_dates(void **unused)
{
	struct diff_options options = { 0 };
	struct release release = { 0 };

	assert_false(versions_differ(&options, "2025/10/03", "2026/10/17", &release));
	assert_true(versions_differ(&options, "1.0-2+deb12u1 of 2025/10/03", "1.0-2+deb12u2 of 2026/10/17", &release));
	assert_true(versions_differ(&options, "2025/10/03", "2026/10/17", &release));
	assert_false(versions_differ(&options, "2025/10/03", "2026/10/18", &release));
	assert_false(versions_differ(&options, "2025/10/02", "2026/10/17", &release));
	assert_true(versions_differ(&options, "Wed Oct 19 15:59:32 UTC 2022", "Wed Sep 30 06:33:54 UTC 2026", &release));
	assert_true(versions_differ(&options, "Wed Oct 19 15:59:32 2022", "Wed Sep 30 06:33:54 2026", &release));
}

static bool numbers_differ(const char *old_version, const char *new_version, uint32_t old, uint32_t new)
{
	struct diff_options options = { .old_version = old_version, .new_version = new_version };

	return versions_numbers_differ(&options, old, new);
}

static void test_numbers(void **unused)
{
	assert_true(numbers_differ("1:10.11.18-0+deb12u1", "1:10.11.19-0+deb12u1", 101118, 101119));
	assert_true(numbers_differ("1:10.11.18-0+deb12u1", "1:10.11.19-0+deb12u1", 101118 << 8, 101119 << 8));
	assert_true(numbers_differ("8.2.32-1~deb12u1", "8.2.36-1~deb12u1", 80232, 80236));
	assert_true(numbers_differ("2.9.14+dfsg-1", "2.10.3", 20914, 21003));
	assert_false(numbers_differ("8.2.32-1", "8.2.36-1", 80232, 80235));
	assert_false(numbers_differ("8.2.32-1", "8.2.36-1", 80232 << 8, 80236));
	assert_false(numbers_differ("8.2.32-1", "8.2.36-1", UINT32_C(80232) << 4, UINT32_C(80236) << 4));
	assert_false(numbers_differ("8.2.32-1", "8.2.32-2", 80232, 80232));
	assert_false(numbers_differ("8.2-1", "8.3-1", 802, 803));
	assert_false(numbers_differ("8.2.32.1-1", "8.2.36.1-1", 80232, 80236));
	assert_false(numbers_differ("2022.10.3-1", "2022.10.4-1", 20221003, 20221004));
	assert_false(numbers_differ(NULL, "8.2.36-1", 80232, 80236));
	assert_false(numbers_differ("", "8.2.36-1", 0, 80236));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_revisions),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_package),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
