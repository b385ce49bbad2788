/* Many pieces of another process's memory at once: a forked child that waits has what the test has, at the same addresses. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/process.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define PAGE 4096u
#define PIECES 1500u	/* more than the kernel takes in one call (IOV_MAX) */

static uint8_t *pages;	/* writable, read-only, not even readable, not there */
static struct process process;
static pid_t child;

static int begin(void **state)
{
	struct error error = { 0 };

	(void)state;
	pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(pages != MAP_FAILED);
	for (size_t i = 0; i < 3 * PAGE; i++)
		pages[i] = (uint8_t)(i * 7);
	assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(mprotect(pages + 2 * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(munmap(pages + 3 * PAGE, PAGE), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (1)
			pause();
	}
	assert_int_equal(process_open(child, PROCESS_CHANGE, &process, &error), STATUS_OK);
	return 0;
}

static int end(void **state)
{
	(void)state;
	process_close(&process);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return munmap(pages, 3 * PAGE);
}

static struct process_bytes at(size_t offset, const char *text)
{
	return (struct process_bytes){ (uint64_t)(uintptr_t)pages + offset, text, strlen(text) };
}

static bool reads(size_t offset, const char *text)
{
	char found[16];

	assert_true(process_read(&process, (uint64_t)(uintptr_t)pages + offset, found, strlen(text)));
	return !memcmp(found, text, strlen(text));
}

/* Whatever the process itself may do there. */
static void test_everywhere(void **state)
{
	const struct process_bytes pieces[] = { at(10, "one"), at(PAGE + 20, "two"), at(2 * PAGE + 30, "three") };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(process_put_all(&process, pieces, 2, &error), STATUS_OK);
	assert_true(process_holds(&process, pieces, 2));
	assert_int_equal(process_put_all(&process, pieces, 3, &error), STATUS_OK);
	assert_true(reads(10, "one") && reads(PAGE + 20, "two") && reads(2 * PAGE + 30, "three"));
	/* (Nobody can be asked about the third this way.) */
	assert_false(process_holds(&process, pieces, 3));
}

static void test_behind_a_failure_nothing_is_written(void **state)
{
	const struct process_bytes pieces[] = { at(10, "one"), at(3 * PAGE, "two"), at(40, "three") };
	struct error error = { 0 };
	char address[32];

	(void)state;
	snprintf(address, sizeof(address), "%#lx", (unsigned long)pieces[1].address);
	assert_int_equal(process_put_all(&process, pieces, 3, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, address));
	assert_true(reads(10, "one"));
	assert_false(reads(40, "three"));
	error_clear(&error);
}

static void test_more_than_one_call_takes(void **state)
{
	static struct process_bytes pieces[PIECES];
	struct error error = { 0 };

	(void)state;
	for (size_t i = 0; i < PIECES; i++)
		pieces[i] = at(i * 2, i % 2 ? "a" : "b");
	assert_int_equal(process_put_all(&process, pieces, PIECES, &error), STATUS_OK);
	assert_true(process_holds(&process, pieces, PIECES));
	for (size_t i = 0; i < PIECES; i++)
		assert_true(reads(i * 2, i % 2 ? "a" : "b"));
	pieces[PIECES - 1].bytes = "c";
	assert_false(process_holds(&process, pieces, PIECES));
	pieces[PIECES - 1].bytes = "a";
	pieces[0].bytes = "c";
	assert_false(process_holds(&process, pieces, PIECES));
	assert_true(process_holds(&process, pieces, 0));
}

static enum status put(size_t offset, const char *text, struct error *error)
{
	return process_put(&process, (uint64_t)(uintptr_t)pages + offset, text, strlen(text), error);
}

/* Somebody else writes there. */
static void spoil(size_t offset)
{
	assert_true(process_write(&process, (uint64_t)(uintptr_t)pages + offset, "?", 1));
}

static void test_what_is_read_back_later_is_written_at_once(void **state)
{
	struct error error = { 0 };
	char address[32];

	(void)state;
	process_put_off(&process);
	assert_int_equal(put(10, "one", &error), STATUS_OK);
	assert_int_equal(put(PAGE + 20, "two", &error), STATUS_OK);
	assert_true(reads(10, "one") && reads(PAGE + 20, "two"));
	assert_int_equal(process_put_done(&process, &error), STATUS_OK);

	process_put_off(&process);
	assert_int_equal(put(10, "four", &error), STATUS_OK);
	assert_int_equal(put(30, "five", &error), STATUS_OK);
	spoil(13);
	assert_int_equal(process_put_done(&process, &error), STATUS_ERROR);
	snprintf(address, sizeof(address), "%#lx", (unsigned long)(uintptr_t)pages + 10);
	assert_non_null(strstr(error.text, address));
	error_clear(&error);

	/* It is over then. */
	spoil(10);
	assert_int_equal(put(30, "six", &error), STATUS_OK);
	assert_int_equal(process_put_done(&process, &error), STATUS_OK);
}

static void test_what_others_hide_is_read_back_before(void **state)
{
	struct error error = { 0 };

	(void)state;
	process_put_off(&process);
	assert_int_equal(put(10, "one", &error), STATUS_OK);
	assert_int_equal(put(10, "two", &error), STATUS_OK);
	assert_int_equal(put(12, "three", &error), STATUS_OK);
	assert_true(reads(10, "twthree"));
	assert_int_equal(process_put_done(&process, &error), STATUS_OK);

	process_put_off(&process);
	assert_int_equal(put(10, "one", &error), STATUS_OK);
	spoil(11);
	assert_int_equal(put(12, "three", &error), STATUS_ERROR);
	assert_false(reads(12, "three"));
	error_clear(&error);
	assert_int_equal(process_put_done(&process, &error), STATUS_OK);
}

static void test_more_than_are_kept(void **state)
{
	static struct process_bytes pieces[PIECES];
	struct error error = { 0 };

	(void)state;
	for (size_t i = 0; i < PIECES; i++)
		pieces[i] = at(100 + i * 2, i % 2 ? "a" : "b");
	process_put_off(&process);
	assert_int_equal(put(10, "one", &error), STATUS_OK);
	assert_int_equal(process_put_all(&process, pieces, PIECES, &error), STATUS_OK);
	for (size_t i = 0; i < PIECES; i++)
		assert_int_equal(put(100 + i * 2, "c", &error), STATUS_OK);
	spoil(100 + (PIECES - 1) * 2);
	assert_int_equal(process_put_done(&process, &error), STATUS_ERROR);
	error_clear(&error);
}

static void test_a_write_to_memory_that_is_gone_says_so(void **state)
{
	struct error error = { 0 };
	siginfo_t unused;

	(void)state;
	kill(child, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)child, &unused, WEXITED | WNOWAIT), 0);	/* end() reaps it */
	errno = EEXIST;
	assert_int_equal(put(10, "one", &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, strerror(ESRCH)));
	error_clear(&error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everywhere, begin, end),
		cmocka_unit_test_setup_teardown(test_behind_a_failure_nothing_is_written, begin, end),
		cmocka_unit_test_setup_teardown(test_more_than_one_call_takes, begin, end),
		cmocka_unit_test_setup_teardown(test_what_is_read_back_later_is_written_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_what_others_hide_is_read_back_before, begin, end),
		cmocka_unit_test_setup_teardown(test_more_than_are_kept, begin, end),
		cmocka_unit_test_setup_teardown(test_a_write_to_memory_that_is_gone_says_so, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
