/*
 * test_base.c: errors collect lines, arrays grow, formatted text has its full length.
 */
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"

/* Before cmocka.h, which has a fail() of its own. */
static enum status fail_with(struct error *error, int number)
{
	return fail(error, "pid %d is gone", number);
}

static enum status refuse_with(struct error *error, const char *name)
{
	return refuse(error, "function %s is busy", name);
}

#include <cmocka.h>

static void test_error_lines(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(fail_with(&error, 12), STATUS_ERROR);
	assert_string_equal(error.text, "pid 12 is gone");
	assert_int_equal(refuse_with(&error, "f"), STATUS_REFUSED);
	assert_int_equal(error_add(&error, STATUS_GAVE_UP, "%s", ""), STATUS_GAVE_UP);
	assert_string_equal(error.text, "pid 12 is gone\nfunction f is busy\n");
	assert_int_equal(error.length, strlen(error.text));
	error_clear(&error);
	assert_null(error.text);
	assert_int_equal(error.length, 0);
	error_clear(&error);
	assert_int_equal(error_add(&error, STATUS_GAVE_UP, "%s", ""), STATUS_GAVE_UP);
	assert_string_equal(error.text, "");
	error_clear(&error);
}

/* Only what is said twice running: who counts lines counts different things. */
static void test_error_said_again(void **state)
{
	struct error error = { 0 };

	fail_with(&error, 12);
	fail_with(&error, 12);
	assert_string_equal(error.text, "pid 12 is gone");
	fail_with(&error, 1);
	fail_with(&error, 1);
	fail_with(&error, 12);
	assert_string_equal(error.text, "pid 12 is gone\npid 1 is gone\npid 12 is gone");
	assert_int_equal(error.length, strlen(error.text));
	error_clear(&error);
}

static void test_error_dropped(void **state)
{
	(void)state;
	assert_int_equal(fail_with(NULL, 1), STATUS_ERROR);
	assert_int_equal(refuse_with(NULL, "f"), STATUS_REFUSED);
}

/* The statuses are the exit codes that users' scripts rely on. */
static void test_exit_codes(void **state)
{
	(void)state;
	assert_int_equal(STATUS_OK, 0);
	assert_int_equal(STATUS_ERROR, 1);
	assert_int_equal(STATUS_REFUSED, 2);
	assert_int_equal(STATUS_NOTHING, 3);
	assert_int_equal(STATUS_GAVE_UP, 4);
}

static void test_array(void **state)
{
	ARRAY(struct range) ranges = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		*array_add(&ranges) = (struct range){ i, i + 1 };
	assert_int_equal(ranges.count, 1000);
	assert_true(ranges.room >= 1000);
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(ranges.item[i].start, i);
		assert_int_equal(ranges.item[i].end, i + 1);
	}
	array_free(&ranges);
	assert_null(ranges.item);
	assert_int_equal(ranges.count, 0);
	assert_int_equal(ranges.room, 0);
}

static void test_memory(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3 };
	uint8_t *zeroed = memory_zeroed(3, 5), *copy = memory_copy(bytes, sizeof(bytes));
	void *empty = memory_zeroed(0, 0), *none = memory_copy(NULL, 0);

	(void)state;
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(zeroed[i], 0);
	zeroed = memory_resize(zeroed, 4, 5);
	assert_int_equal(zeroed[14], 0);
	assert_memory_equal(copy, bytes, sizeof(bytes));
	assert_non_null(empty);
	assert_non_null(none);
	free(zeroed);
	free(copy);
	free(empty);
	free(none);
}

/* Sizes whose product wraps end the program with exit code 1, in a child here. */
static int exit_code_of(void (*run)(void))
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		close(STDERR_FILENO);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* volatile: the compiler would warn of such sizes otherwise */
static volatile size_t half = SIZE_MAX / 2 + 1;

static void zero_too_much(void)
{
	free(memory_zeroed(half, 2));
}

static void resize_too_much(void)
{
	free(memory_resize(NULL, half, 2));
}

static void grow_too_much(void)
{
	size_t room = half;

	free(memory_grow(NULL, &room, 1));
}

static void test_memory_overflow(void **state)
{
	(void)state;
	assert_int_equal(exit_code_of(zero_too_much), STATUS_ERROR);
	assert_int_equal(exit_code_of(resize_too_much), STATUS_ERROR);
	assert_int_equal(exit_code_of(grow_too_much), STATUS_ERROR);
}

static void test_text(void **state)
{
	char *text = text_format("%s-%d", "a", 5), *copy = text_copy(text), *wide = text_format("%5000d", 7);

	(void)state;
	assert_string_equal(text, "a-5");
	assert_string_equal(copy, "a-5");
	assert_ptr_not_equal(copy, text);
	assert_int_equal(strlen(wide), 5000);
	assert_int_equal(wide[4999], '7');
	free(text);
	free(copy);
	free(wide);
}

static void test_bytes(void **state)
{
	uint8_t bytes[16] = { 0, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88 };

	(void)state;
	assert_int_equal(load16(bytes + 1), 0x0201);
	assert_int_equal(load32(bytes + 1), 0x04030201);
	assert_true(load64(bytes + 1) == 0x8807060504030201);
	store32(bytes + 9, 0xa1b2c3d4);
	assert_int_equal(bytes[9], 0xd4);
	assert_int_equal(bytes[12], 0xa1);
	assert_int_equal(bytes[13], 0);
	store64(bytes + 3, 0x1122334455667788);
	assert_int_equal(bytes[2], 0x02);
	assert_int_equal(bytes[3], 0x88);
	assert_int_equal(bytes[10], 0x11);
}

static void test_range(void **state)
{
	struct range range = { 10, 20 }, empty = { 10, 10 };

	(void)state;
	assert_false(range_holds(range, 9));
	assert_true(range_holds(range, 10));
	assert_true(range_holds(range, 19));
	assert_false(range_holds(range, 20));
	assert_false(range_holds(empty, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_lines),
		cmocka_unit_test(test_error_said_again),
		cmocka_unit_test(test_error_dropped),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_array),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_overflow),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_range),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
