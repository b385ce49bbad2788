/* Tripwires: whoever comes to the place is seen, whenever and wherever it came to be, and nobody else. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/contexts.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static __attribute__((noinline)) void place(void)
{
	__asm__ volatile("" : : : "memory");
}

static __attribute__((noinline)) void elsewhere(void)
{
	__asm__ volatile("nop" : : : "memory");
}

static const uint64_t nowhere = 64;	/* an address that nobody can have */

static void set(struct tripwire *wire)
{
	const uint64_t places[] = { nowhere, (uint64_t)(uintptr_t)place };

	if (!tripwire_set(places, 2, wire)) {
		print_message("no breakpoints of processors are to be had\n");
		skip();
	}
	assert_true(tripwire_untouched(wire));
}

/* In a child that calls the function; in a thread of its own if it is told so. */
static void *call(void *function)
{
	((void (*)(void))(uintptr_t)function)();
	return NULL;
}

static void ends_well(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void run_child(void (*function)(void), bool in_thread)
{
	pthread_t thread;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!in_thread)
			function();
		else if (pthread_create(&thread, NULL, call, (void *)(uintptr_t)function) || pthread_join(thread, NULL))
			_exit(1);
		_exit(0);
	}
	ends_well(pid);
}

static void one_who_does_not_come_there_is_not_seen(void **state)
{
	struct tripwire wire;

	(void)state;
	set(&wire);
	for (int i = 0; i < 20; i++)
		run_child(elsewhere, i % 2);
	assert_true(tripwire_untouched(&wire));
	assert_true(tripwire_check(&wire));
	tripwire_remove(&wire);
}

static void who_comes_there_is_seen(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct tripwire wire;

		set(&wire);
		run_child(place, i % 2);
		assert_false(tripwire_untouched(&wire));
		assert_true(tripwire_check(&wire));	/* that is another question */
		tripwire_remove(&wire);
	}
}

static int started[2], told[2];

static void *wait_and_call(void *unused)
{
	char byte;

	if (write(started[1], "", 1) == 1 && read(told[0], &byte, 1) == 1)
		place();
	return unused;
}

static void one_who_was_there_before_is_seen(void **state)
{
	struct tripwire wire;
	pthread_t thread;
	char byte;

	(void)state;
	assert_int_equal(pipe(started), 0);
	assert_int_equal(pipe(told), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_and_call, NULL), 0);
	assert_int_equal(read(started[0], &byte, 1), 1);
	set(&wire);
	assert_int_equal(write(told[1], "", 1), 1);
	pthread_join(thread, NULL);
	assert_false(tripwire_untouched(&wire));
	assert_false(tripwire_holds(&wire));
	tripwire_remove(&wire);
}

/* More often than there is room for records. */
static void many_times_are_seen_as_one(void **state)
{
	struct tripwire wire;

	(void)state;
	set(&wire);
	for (int i = 0; i < 2000; i++)
		place();
	assert_false(tripwire_untouched(&wire));
	tripwire_remove(&wire);
}

/* Its time goes on from one check to the next. */
static void it_says_when_it_was_whole(void **state)
{
	struct tripwire wire;
	uint64_t before;

	(void)state;
	set(&wire);
	before = wire.rings.whole;
	assert_true(before != 0);
	assert_true(tripwire_holds(&wire) && wire.rings.whole == before);
	usleep(15000);
	assert_true(tripwire_holds(&wire) && wire.rings.whole > before);
	/* A processor that is not in the list any more, or one that is new. */
	before = wire.rings.whole;
	wire.rings.processors[0] ^= 1;
	assert_false(tripwire_holds(&wire));
	assert_false(tripwire_check(&wire));
	assert_true(wire.rings.whole == before);
	tripwire_remove(&wire);
}

static void as_many_as_there_are(void **state)
{
	struct tripwire wires[8];
	int count = 0;

	(void)state;
	set(&wires[0]);	/* skips the test if there are none */
	for (count = 1; count < 8; count++) {
		const uint64_t at = (uint64_t)(uintptr_t)place;

		if (!tripwire_set(&at, 1, &wires[count]))
			break;
	}
	assert_true(count < 8);
	assert_int_equal(wires[count].rings.events.count, 0);
	while (count--)
		tripwire_remove(&wires[count]);
	set(&wires[0]);
	tripwire_remove(&wires[0]);
}

/* In a child that is forked from the one that has set it, as workers are. */
static pid_t start_worker(void (*work)(const struct tripwire *wire), const struct tripwire *wire)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		work(wire);
		_exit(0);
	}
	return pid;
}

static void join_and_see(const struct tripwire *other)
{
	struct tripwire wire;

	if (!tripwire_join(other, &wire) || !tripwire_untouched(&wire) || !tripwire_holds(&wire))
		_exit(1);
	run_child(elsewhere, true);
	if (!tripwire_untouched(&wire))
		_exit(2);
	run_child(place, true);
	if (tripwire_untouched(&wire))
		_exit(3);
	tripwire_remove(&wire);
}

static void join_what_is_touched(const struct tripwire *other)
{
	struct tripwire wire;

	if (tripwire_join(other, &wire))
		_exit(1);
	tripwire_remove(&wire);
}

static void who_joins_sees_what_was_before_and_comes_after(void **state)
{
	struct tripwire wire;

	(void)state;
	set(&wire);
	ends_well(start_worker(join_and_see, &wire));
	assert_false(tripwire_untouched(&wire));
	ends_well(start_worker(join_what_is_touched, &wire));
	assert_true(tripwire_check(&wire));
	tripwire_remove(&wire);
}

static void wait_and_join(const struct tripwire *other)
{
	char byte;

	if (read(told[0], &byte, 1) != 1)
		_exit(2);
	join_what_is_touched(other);
}

/* What was seen is known to nobody's pages then. */
static void who_joins_sees_what_all_others_have_forgotten(void **state)
{
	struct tripwire wire;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(told), 0);
	set(&wire);
	pid = start_worker(wait_and_join, &wire);
	place();
	tripwire_remove(&wire);
	assert_int_equal(write(told[1], "", 1), 1);
	ends_well(pid);
}

static void who_joins_takes_no_breakpoint_and_stays(void **state)
{
	const uint64_t at = (uint64_t)(uintptr_t)place;
	struct tripwire wires[8], joined[8];
	int count = 1;

	(void)state;
	set(&wires[0]);
	while (count < 8 && tripwire_set(&at, 1, &wires[count]))
		count++;
	assert_int_equal(errno, ENOSPC);
	for (int i = 0; i < 8; i++)
		assert_true(tripwire_join(&wires[0], &joined[i]));
	while (count--)
		tripwire_remove(&wires[count]);
	assert_true(tripwire_untouched(&joined[7]) && tripwire_check(&joined[7]));
	place();
	for (int i = 0; i < 8; i++) {
		assert_false(tripwire_untouched(&joined[i]));
		tripwire_remove(&joined[i]);
	}
}

/* Where its pages are in the process that has set it, this one may have something else. */
static void remove_what_is_inherited(const struct tripwire *other)
{
	struct tripwire wire = *other;
	char *page = (char *)other->rings.events.item[0].page;

	if (mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != page)
		_exit(1);
	tripwire_remove(&wire);
	*page = 1;	/* or it is killed */
}

static void a_child_has_none_of_its_pages(void **state)
{
	struct tripwire wire;

	(void)state;
	set(&wire);
	ends_well(start_worker(remove_what_is_inherited, &wire));
	assert_true(tripwire_untouched(&wire) && tripwire_check(&wire));
	tripwire_remove(&wire);
}

static void none_can_be_joined_that_was_never_set(void **state)
{
	struct tripwire none = { 0 }, wire;

	(void)state;
	assert_false(tripwire_join(&none, &wire));
	tripwire_remove(&wire);
}

/* (Nothing was set: there is nothing to take away, and descriptor 0 is somebody's.) */
static void one_that_was_never_set_closes_nothing(void **state)
{
	(void)state;
	contexts_free(contexts_new(&(struct live_options){ 0 }));
	assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

static void it_takes_no_more_than_half_of_all_descriptors(void **state)
{
	const uint64_t at = (uint64_t)(uintptr_t)place;
	struct rlimit before, few;
	struct tripwire wire;
	int lowest = dup(0);

	(void)state;
	set(&wire);
	tripwire_remove(&wire);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)lowest + 3;	/* it needs the list of processors, and at least one more */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_false(tripwire_set(&at, 1, &wire));
	assert_int_equal(dup(0), lowest);
	close(lowest);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	set(&wire);
	tripwire_remove(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_who_does_not_come_there_is_not_seen),
		cmocka_unit_test(who_comes_there_is_seen),
		cmocka_unit_test(one_who_was_there_before_is_seen),
		cmocka_unit_test(many_times_are_seen_as_one),
		cmocka_unit_test(it_says_when_it_was_whole),
		cmocka_unit_test(as_many_as_there_are),
		cmocka_unit_test(who_joins_sees_what_was_before_and_comes_after),
		cmocka_unit_test(who_joins_sees_what_all_others_have_forgotten),
		cmocka_unit_test(who_joins_takes_no_breakpoint_and_stays),
		cmocka_unit_test(a_child_has_none_of_its_pages),
		cmocka_unit_test(none_can_be_joined_that_was_never_set),
		cmocka_unit_test(one_that_was_never_set_closes_nothing),
		cmocka_unit_test(it_takes_no_more_than_half_of_all_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
