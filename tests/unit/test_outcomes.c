/* What is told of one process among many: the part of its pause in which it was searched for suspended coroutines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <unistd.h>

#include "cmd/outcomes.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static void check_text(uint64_t paused, uint64_t ns, const char *why, bool always, const char *expected)
{
	char *text = outcome_search_text(paused, ns, 3 << 19, why, always);

	if (expected)
		assert_string_equal(text, expected);
	else
		assert_null(text);
	free(text);
}

/* From a quarter of the pause on; always, if that is wanted; never, where nothing was searched. */
static void test_text(void **state)
{
	const char *text = "1.00 ms of that, 1.5 MiB, for suspended coroutines: it switches";

	(void)state;
	check_text(4000000, 1000000, "it switches", false, text);
	check_text(1000000, 1000000, "it switches", false, text);
	check_text(4000004, 1000000, "it switches", false, NULL);
	check_text(4000004, 1000000, "it switches", true, text);
	check_text(4000000, 0, NULL, true, NULL);
	check_text(0, 0, NULL, false, NULL);
}

static void test_object(void **state)
{
	struct process process = { .pid = 7, .comm = "seven" };
	char why[] = "it switches";
	struct live_report report = { .paused = 50, .reclaiming = 5, .searching = 30, .searched = 4096, .searched_for = why, .threads = 2 };
	struct error error = { 0 };
	const json_t *search;
	json_t *outcome = outcome_make(&process, STATUS_OK, &report, &error);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(outcome, "paused_ns")), 55);
	search = json_object_get(outcome, "search");
	assert_int_equal(json_object_size(search), 3);
	assert_int_equal(json_integer_value(json_object_get(search, "ns")), 30);
	assert_int_equal(json_integer_value(json_object_get(search, "bytes")), 4096);
	assert_string_equal(json_string_value(json_object_get(search, "why")), "it switches");
	json_decref(outcome);

	report.searched_for = NULL;
	outcome = outcome_make(&process, STATUS_OK, &report, &error);
	assert_null(json_object_get(outcome, "search"));
	json_decref(outcome);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_object),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
