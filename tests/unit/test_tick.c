/* A wait that blocks is interrupted, and afterwards nothing is left of that. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/tick.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static pid_t start_sleeper(void)
{
	pid_t child = fork();

	if (!child) {
		sleep(10);
		_exit(0);
	}
	assert_true(child > 0);
	return child;
}

static void end_sleeper(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_interrupts_again_and_again(void **state)
{
	pid_t child = start_sleeper();
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);	/* as while threads are stopped */
	tick_start();
	assert_true(tick_is_on());
	for (int i = 0; i < 3; i++) {
		assert_int_equal(waitpid(child, NULL, 0), -1);
		assert_int_equal(errno, EINTR);
	}
	tick_stop();
	assert_false(tick_is_on());
	end_sleeper(child);
}

static void test_leaves_nothing_behind(void **state)
{
	const struct timespec nap = { 0, 30000000 };
	struct sigaction before, after;
	sigset_t mask_before, mask_after;

	sigemptyset(&mask_before);
	sigaddset(&mask_before, SIGRTMIN);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
	sigaction(SIGRTMIN, NULL, &before);
	tick_start();
	tick_start();
	tick_stop();
	assert_true(tick_is_on());
	assert_int_equal(nanosleep(&nap, NULL), -1);
	tick_stop();
	assert_int_equal(nanosleep(&nap, NULL), 0);
	sigaction(SIGRTMIN, NULL, &after);
	assert_ptr_equal(after.sa_handler, before.sa_handler);
	sigprocmask(SIG_SETMASK, NULL, &mask_after);
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		assert_int_equal(sigismember(&mask_after, signal), sigismember(&mask_before, signal));
	sigpending(&mask_after);
	assert_int_equal(sigismember(&mask_after, SIGRTMIN), 0);
}

static long wait_for_byte(int descriptor)
{
	char byte;

	/* As the kernel does with some calls. */
	while (1)
		if (read(descriptor, &byte, 1) == 1)
			return byte;
}

/* And goes on with ticks behind it. */
static void test_leaves_a_call(void **state)
{
	int ends[2];
	long byte = 0;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	assert_int_equal(pipe(ends), 0);
	tick_start();
	for (int i = 0; i < 3; i++)
		assert_false(tick_bounded(wait_for_byte, ends[0], &byte));
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_true(tick_bounded(wait_for_byte, ends[0], &byte));
	assert_int_equal(byte, 'x');
	assert_int_equal(read(ends[0], &byte, 1), -1);
	assert_int_equal(errno, EINTR);
	tick_stop();
	close(ends[0]);
	close(ends[1]);
}

/* The kernel counts timers as pending signals. */
static void test_says_when_there_is_no_timer(void **state)
{
	struct rlimit limit, none = { 0 };

	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	none.rlim_max = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	tick_start();
	assert_false(tick_is_on());
	tick_stop();
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	tick_start();
	assert_true(tick_is_on());
	tick_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupts_again_and_again),
		cmocka_unit_test(test_leaves_nothing_behind),
		cmocka_unit_test(test_leaves_a_call),
		cmocka_unit_test(test_says_when_there_is_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
