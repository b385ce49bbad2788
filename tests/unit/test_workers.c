/* Each piece is done once, whoever does it; nobody is at it any more when workers_run() returns; and signals are not theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/workers.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define PIECES 5000u

struct job {
	atomic_uint next, on, calls;
	atomic_uint caller[WORKERS_MAX];	/* calls by each */
	unsigned char done[PIECES];
	unsigned int pieces;
	bool slow;		/* until all of them have come */
	unsigned int count;
};

static void work(void *context, unsigned int worker)
{
	struct job *job = context;

	job->on++;
	job->calls++;
	assert_true(worker < job->count);
	job->caller[worker]++;
	for (unsigned int piece; (piece = job->next++) < job->pieces;)
		job->done[piece]++;
	while (job->slow && job->calls < job->count)
		usleep(100);
	job->on--;
}

/* True: the caller did all alone, though there are others. */
static bool run(struct workers *workers, unsigned int pieces, bool slow)
{
	struct job job = { .pieces = pieces, .slow = slow, .count = workers_count(workers) };
	bool alone;

	workers_run(workers, work, &job);
	assert_int_equal(job.on, 0);
	assert_int_equal(job.caller[0], 1);
	for (unsigned int i = 1; i < job.count; i++)
		assert_true(job.caller[i] <= 1 && (!slow || job.caller[i] == 1));
	for (unsigned int i = 0; i < PIECES; i++)
		assert_int_equal(job.done[i], i < pieces);
	alone = job.calls == 1;
	/* Who is late does not begin with what is no more. */
	memset(&job, 0x55, sizeof(job));
	usleep(200);
	for (size_t i = 0; i < sizeof(job); i++)
		assert_int_equal(((unsigned char *)&job)[i], 0x55);
	return alone;
}

static void test_each_piece_once(void **state)
{
	struct workers *workers = workers_start();

	(void)state;
	assert_in_range(workers_count(workers), 1, WORKERS_MAX);
	for (unsigned int round = 0; round < 300; round++)
		run(workers, round * 37 % PIECES, false);
	for (unsigned int round = 0; round < 20; round++)
		run(workers, PIECES, true);
	workers_stop(workers);
}

static void bind_all(const cpu_set_t *set)
{
	DIR *tasks = opendir("/proc/self/task");

	assert_non_null(tasks);
	for (struct dirent *entry; (entry = readdir(tasks));)
		if (*entry->d_name != '.')
			assert_int_equal(sched_setaffinity(atoi(entry->d_name), sizeof(*set), set), 0);
	closedir(tasks);
}

/* On one processor, where the caller takes precedence: nobody else comes to it before all is done, and then nobody begins. */
static void test_late(void **state)
{
	struct workers *workers = workers_start();
	const struct sched_param above = { .sched_priority = sched_get_priority_min(SCHED_FIFO) + 1 }, none = { 0 };
	cpu_set_t before, one;
	unsigned int late = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &before)) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
		}
	bind_all(&one);
	if (sched_setscheduler(0, SCHED_FIFO, &above)) {
		workers_stop(workers);
		skip();
	}
	for (unsigned int round = 0; round < 20; round++)
		late += run(workers, 10, false);
	sched_setscheduler(0, SCHED_OTHER, &none);
	sched_setaffinity(0, sizeof(before), &before);
	workers_stop(workers);
	assert_true(late > 0);
}

static void test_as_many_as_processors(void **state)
{
	struct workers *workers = workers_start();
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	(void)state;
	assert_true(workers_count(workers) <= (unsigned long)processors);
	if (processors > 1)
		assert_true(workers_count(workers) > 1);
	workers_stop(workers);
	workers_stop(NULL);
}

static void test_end_without_work(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 50; round++)
		workers_stop(workers_start());
}

/* A signal that the caller holds back stays with the process. */
static void test_signals(void **state)
{
	struct workers *workers;
	sigset_t set, before, pending;

	(void)state;
	workers = workers_start();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &before);
	assert_false(sigismember(&before, SIGUSR1));
	kill(getpid(), SIGUSR1);	/* would end the process if any thread took it */
	run(workers, PIECES, true);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1));
	signal(SIGUSR1, SIG_IGN);
	sigprocmask(SIG_SETMASK, &before, NULL);
	workers_stop(workers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_piece_once),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_as_many_as_processors),
		cmocka_unit_test(test_end_without_work),
		cmocka_unit_test(test_signals),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
