/* Births: who was made by a process, by those, and so on, and nobody else. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/births.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define MANY 5000	/* more than there is room for */

static void begin(struct births *births)
{
	if (!births_begin(births)) {
		print_message("no perf events of processors are to be had\n");
		skip();
	}
	births_forget(births);
	births_divide(births);
}

static void ends_well(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* It has ended when this returns. */
static pid_t make_child(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	ends_well(pid);
	return pid;
}

static pid_t *grandchild;	/* in memory that all share */

/* A child makes a child. */
static pid_t make_two(void)
{
	pid_t pid = fork();

	if (!pid) {
		*grandchild = make_child();
		_exit(0);
	}
	ends_well(pid);
	return pid;
}

static bool has(const struct family *family, pid_t pid)
{
	for (size_t i = 0; i < family->pids.count; i++)
		if (family->pids.item[i] == pid)
			return true;
	return false;
}

static void who_was_made_is_listed(void **state)
{
	struct family family = { 0 };
	struct births births;
	pid_t child;

	(void)state;
	begin(&births);
	child = make_two();
	assert_true(births_list(&births, getpid(), &family));
	assert_int_equal(family.pids.count, 2);
	assert_true(has(&family, child));
	assert_true(has(&family, *grandchild));
	array_free(&family.pids);
	/* Asked again it says the same. */
	assert_true(births_list(&births, getpid(), &family));
	assert_int_equal(family.pids.count, 2);
	array_free(&family.pids);
	births_end(&births);
}

static void who_was_made_by_others_is_not_listed(void **state)
{
	struct family family = { 0 };
	struct births births;

	(void)state;
	begin(&births);
	make_two();
	assert_true(births_list(&births, getppid(), &family));
	assert_int_equal(family.pids.count, 0);
	births_end(&births);
}

/* Its number was another one's when it was made: whom that one had made is not known. */
static void of_one_that_was_made_nothing_is_known(void **state)
{
	struct family family = { 0 };
	struct births births;

	(void)state;
	begin(&births);
	assert_false(births_list(&births, make_child(), &family));
	array_free(&family.pids);
	births_end(&births);
}

static void *do_nothing(void *unused)
{
	return unused;
}

static void threads_are_not_listed(void **state)
{
	struct family family = { 0 };
	struct births births;
	pthread_t thread;

	(void)state;
	begin(&births);
	assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
	pthread_join(thread, NULL);
	assert_true(births_list(&births, getpid(), &family));
	assert_int_equal(family.pids.count, 0);
	births_end(&births);
}

static void *make_in_thread(void *child)
{
	*(pid_t *)child = make_child();
	return NULL;
}

static void who_was_made_by_a_thread_is_listed(void **state)
{
	struct family family = { 0 };
	struct births births;
	pthread_t thread;
	pid_t child = 0;

	(void)state;
	begin(&births);
	assert_int_equal(pthread_create(&thread, NULL, make_in_thread, &child), 0);
	pthread_join(thread, NULL);
	assert_true(births_list(&births, getpid(), &family));
	assert_int_equal(family.pids.count, 1);
	assert_true(has(&family, child));
	array_free(&family.pids);
	births_end(&births);
}

static void who_was_forgotten_is_not_listed(void **state)
{
	struct family family = { 0 };
	struct births births;
	pid_t child;

	(void)state;
	begin(&births);
	make_two();
	births_forget(&births);
	child = make_child();
	assert_true(births_list(&births, getpid(), &family));
	assert_int_equal(family.pids.count, 1);
	assert_true(has(&family, child));
	array_free(&family.pids);
	births_end(&births);
}

/* Whoever has made them. */
static void who_was_made_in_the_first_span_is_listed(void **state)
{
	struct family family = { 0 };
	struct births births;
	pid_t child, later;

	(void)state;
	begin(&births);
	births_forget(&births);
	child = make_child();
	births_divide(&births);
	later = make_child();
	assert_true(births_list(&births, 1, &family));
	assert_true(has(&family, child));
	assert_false(has(&family, later));
	array_free(&family.pids);
	births_end(&births);
}

/* Nothing is said then until that is forgotten; and from there on the rings are written from their beginning. */
static void too_many_are_not_known(void **state)
{
	struct family family = { 0 };
	struct births births;
	size_t unknown = 0;
	pid_t child;

	(void)state;
	begin(&births);
	for (int i = 0; i < MANY; i++)
		make_child();
	assert_false(births_list(&births, 1, &family));
	for (int i = 0; i < MANY; i++) {
		births_forget(&births);
		child = make_child();
		array_free(&family.pids);
		/* (The kernel says once in each ring that something was lost.) */
		if (!births_list(&births, getpid(), &family)) {
			assert_true(unknown++ < births.spans.count);
			continue;
		}
		assert_int_equal(family.pids.count, 1);
		assert_true(has(&family, child));
	}
	array_free(&family.pids);
	births_end(&births);
}

static void too_large_a_family_is_not_known(void **state)
{
	struct family family = { 0 };
	struct births births;

	(void)state;
	begin(&births);
	for (int i = 0; i < 100; i++)
		make_child();
	assert_false(births_list(&births, getpid(), &family));
	array_free(&family.pids);
	births_end(&births);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_was_made_is_listed),
		cmocka_unit_test(who_was_made_by_others_is_not_listed),
		cmocka_unit_test(of_one_that_was_made_nothing_is_known),
		cmocka_unit_test(threads_are_not_listed),
		cmocka_unit_test(who_was_made_by_a_thread_is_listed),
		cmocka_unit_test(who_was_forgotten_is_not_listed),
		cmocka_unit_test(who_was_made_in_the_first_span_is_listed),
		cmocka_unit_test(too_many_are_not_known),
		cmocka_unit_test(too_large_a_family_is_not_known),
	};

	grandchild = mmap(NULL, sizeof(*grandchild), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (grandchild == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
