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

/* In a process of its own, which has no timer yet. The kernel counts timers as pending signals. */
static bool is_on_with(rlim_t soft, rlim_t hard)
{
	const struct rlimit limit = { soft, hard };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		bool set = setrlimit(RLIMIT_SIGPENDING, &limit) == 0;

		tick_start();
		_exit(set ? tick_is_on() : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 2);
	return WEXITSTATUS(status) == 1;
}

/* True where who may no more raises it all the same. */
static bool may_raise(void)
{
	const struct rlimit none = { 0, 0 }, some = { 1, 1 };
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(setrlimit(RLIMIT_SIGPENDING, &none) == 0 && setrlimit(RLIMIT_SIGPENDING, &some) == 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status) == 1;
}

static void test_says_when_there_is_no_timer(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	assert_true(is_on_with(0, limit.rlim_max));
	assert_int_equal(is_on_with(0, 0), may_raise());
}

/* Who has begun is not left without one. */
static void test_keeps_its_timer(void **state)
{
	struct rlimit limit, none = { 0 };

	(void)state;
	tick_start();
	tick_stop();
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	none.rlim_max = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	tick_start();
	assert_true(tick_is_on());
	tick_stop();
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &none), 0);
	assert_int_equal(none.rlim_cur, 0);
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupts_again_and_again),
		cmocka_unit_test(test_leaves_nothing_behind),
		cmocka_unit_test(test_leaves_a_call),
		cmocka_unit_test(test_says_when_there_is_no_timer),
		cmocka_unit_test(test_keeps_its_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
