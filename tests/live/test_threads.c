/* threads_stop() leaves no thread running, however fast the process makes new ones; and one stent at a time has a process. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/sharing.h"
#include "process/threads.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define STOPS 200
#define LIVING 40	/* threads at a time, about */
#define SUCCESSORS 6

static void *run_briefly(void *unused)
{
	const struct timespec nap = { 0, 4000000 };

	nanosleep(&nap, NULL);
	return unused;
}

static void *run_creator(void *unused)
{
	const struct timespec nap = { 0, 4000000 / LIVING };
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	while (1) {
		pthread_create(&thread, &attributes, run_briefly, NULL);
		nanosleep(&nap, NULL);
	}
	return unused;
}

static pthread_attr_t detached;

/* Ends as soon as it has made its successor. The kernel's list of threads ends at one that ends just then. */
static void *run_successor(void *work)
{
	pthread_t thread;

	for (volatile long i = 0; i < (long)work; i++)
		;
	if (pthread_create(&thread, &detached, run_successor, (void *)((long)work * 7 % 3001)))
		abort();
	return NULL;
}

static void creators(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, run_creator, NULL);
	run_creator(NULL);
}

static void successors(void)
{
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (long i = 0; i < SUCCESSORS; i++)
		run_successor((void *)(100 * i + 17));
	while (1)
		pause();
}

static pid_t start_victim(void (*run)(void))
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
	}
	assert_true(child > 0);
	return child;
}

/* Neither stopped by ptrace nor ended. */
static size_t count_running(const struct process *process)
{
	struct tids tids = { 0 };
	struct task task;
	size_t running = 0;

	assert_true(process_tids(process, &tids));
	assert_true(tids.count > 0);
	for (size_t i = 0; i < tids.count; i++)
		if (process_task(process, tids.item[i], &task) && task.state != 't' && !task_ended(&task))
			running++;
	array_free(&tids);
	return running;
}

static void stop_often(void (*run)(void))
{
	pid_t victim = start_victim(run);
	struct threads threads = { 0 };
	size_t running = 0, created = 0, before = 0;
	struct error error = { 0 };
	struct process process;

	assert_int_equal(process_open(victim, PROCESS_CHANGE, &process, &error), STATUS_OK);
	for (int i = 0; i < STOPS || (!created && i < 10 * STOPS); i++) {
		const struct timespec nap = { 0, 1000000 + i % 10 * 100000 };
		struct tids tids = { 0 };

		assert_true(process_tids(&process, &tids));
		before = tids.count;
		array_free(&tids);
		assert_int_equal(threads_stop(&process, 5000, &threads, &error), STATUS_OK);
		running += count_running(&process);
		created += threads.count > before;
		threads_release(&process, &threads);
		nanosleep(&nap, NULL);
	}
	threads_free(&threads);
	process_close(&process);
	kill(victim, SIGKILL);
	assert_int_equal(waitpid(victim, NULL, 0), victim);
	assert_int_equal(running, 0);
	assert_true(created > 0);	/* or this has tested nothing */
}

static void test_stops_all(void **state)
{
	stop_often(creators);
}

static void test_stops_successors(void **state)
{
	stop_often(successors);
}

static void *wait_long(void *unused)
{
	sleep(60);
	return unused;
}

/* What can't be looked at is not taken for not there. */
static void test_no_descriptor(void **state)
{
	pid_t victim = start_victim(creators), other = fork();	/* (a task that was made since the last look, if there was one) */
	struct rlimit limit, none;
	struct threads threads = { 0 };
	struct tids tids = { 0 };
	struct error error = { 0 };
	struct process process;

	if (!other)
		_exit(0);
	assert_int_equal(process_open(victim, PROCESS_CHANGE, &process, &error), STATUS_OK);
	assert_int_equal(sharing_process(&process), 0);
	assert_int_equal(waitpid(other, NULL, 0), other);
	other = fork();
	if (!other)
		_exit(0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	assert_int_equal(sharing_process(&process), -1);
	assert_false(process_tids(&process, &tids));
	assert_int_equal(threads_stop(&process, 100, &threads, &error), STATUS_ERROR);
	threads_release(&process, &threads);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_true(process_tids(&process, &tids));
	assert_true(tids.count > 0);
	array_free(&tids);
	threads_free(&threads);
	error_clear(&error);
	process_close(&process);
	kill(victim, SIGKILL);
	assert_int_equal(waitpid(victim, NULL, 0), victim);
	assert_int_equal(waitpid(other, NULL, 0), other);
}

static int told;	/* where a victim reads */

/* A victim whose threads wait for a byte (is_told()); it comes from what is written to *tell. */
static pid_t start_told(void (*run)(void), int *tell)
{
	int ends[2];
	pid_t victim;

	assert_int_equal(pipe(ends), 0);
	told = ends[0];
	victim = start_victim(run);
	close(ends[0]);
	*tell = ends[1];
	return victim;
}

static bool is_told(void)
{
	char byte;

	return read(told, &byte, 1) == 1;
}

/* The first thread ends when it is told to. */
static void leave_when_told(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, wait_long, NULL);
	if (is_told())
		pthread_exit(NULL);
	_exit(1);
}

static bool first_has_ended(const struct process *process)
{
	struct task task;

	return process_task(process, process->pid, &task) && task_ended(&task);
}

/* Also when the first thread, by whose number the process goes, ends between the two. */
static void test_one_at_a_time(void **state)
{
	struct process one, other;
	struct error error = { 0 };
	int tell;
	pid_t victim = start_told(leave_when_told, &tell);

	assert_int_equal(process_open(victim, PROCESS_CHANGE, &one, &error), STATUS_OK);
	assert_int_equal(process_open(victim, PROCESS_CHANGE, &other, &error), STATUS_REFUSED);
	process_close(&other);
	assert_int_equal(write(tell, "", 1), 1);
	for (int i = 0; i < 500 && !first_has_ended(&one); i++)
		usleep(10000);
	assert_true(first_has_ended(&one));
	assert_int_equal(process_open(victim, PROCESS_CHANGE, &other, &error), STATUS_REFUSED);
	process_close(&other);
	assert_int_equal(process_open(victim, PROCESS_LOOK, &other, &error), STATUS_OK);
	process_close(&other);
	process_close(&one);
	assert_int_equal(process_open(victim, PROCESS_CHANGE, &one, &error), STATUS_OK);
	process_close(&one);
	error_clear(&error);
	close(tell);
	kill(victim, SIGKILL);
	assert_int_equal(waitpid(victim, NULL, 0), victim);
}

static void *run_executing(void *unused)
{
	if (is_told())
		execl("/bin/sleep", "sleep", "60", NULL);
	return unused;
}

/* A thread that waits, one that calls exec when it is told to, and the first. */
static void execute_when_told(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, wait_long, NULL);
	pthread_create(&thread, NULL, run_executing, NULL);
	wait_long(NULL);
	_exit(1);
}

static bool has_three_threads(const struct process *process, struct tids *tids)
{
	array_free(tids);
	return process_tids(process, tids) && tids->count == 3;
}

static bool is_zombie(const struct process *process, pid_t tid)
{
	struct task task;

	return process_task(process, tid, &task) && task.state == 'Z';
}

static bool has_executed(pid_t pid)
{
	char comm[COMM_MAX];

	return !strcmp(process_comm_of(pid, comm), "sleep");
}

/* Up to 2 s. */
static bool executes(pid_t pid)
{
	for (int i = 0; i < 200 && !has_executed(pid); i++)
		usleep(10000);
	return has_executed(pid);
}

enum reaper { RELEASE, SEIZE, STOP };

/*
 * exec of one thread waits for another, which has been killed for that and is ours: it is given up. And the thread that is in exec can't be
 * seized: that is not waited for. (Both go on for ever where it's done wrong.)
 */
static void exec_with_one_held(enum reaper reaper)
{
	struct threads threads = { 0 };
	struct error error = { 0 };
	struct thread held, executing;
	struct tids tids = { 0 };
	struct process process;
	int tell;
	pid_t victim = start_told(execute_when_told, &tell);

	assert_int_equal(process_open(victim, PROCESS_CHANGE, &process, &error), STATUS_OK);
	for (int i = 0; i < 500 && !has_three_threads(&process, &tids); i++)
		usleep(10000);
	assert_int_equal(tids.count, 3);
	window_open();
	assert_int_equal(thread_seize(&process, tids.item[1], &held, &error), STATUS_OK);
	thread_interrupt(&held);
	assert_true(thread_wait(&process, &held, 1000));
	assert_int_equal(held.state, THREAD_STOPPED);
	assert_int_equal(write(tell, "", 1), 1);
	for (int i = 0; i < 500 && !is_zombie(&process, tids.item[1]); i++)
		usleep(10000);
	assert_true(is_zombie(&process, tids.item[1]));
	assert_int_equal(thread_seize(&process, tids.item[2], &executing, &error), STATUS_GAVE_UP);
	assert_int_equal(executing.state, THREAD_RELEASED);
	assert_null(error.text);
	assert_false(has_executed(victim));	/* or this has tested nothing */
	if (reaper == RELEASE) {
		thread_release(&process, &held);
	} else if (reaper == SEIZE) {
		assert_int_equal(thread_seize(&process, tids.item[1], &held, &error), STATUS_OK);
		assert_int_equal(held.state, THREAD_ENDED);
	} else {
		(void)!threads_stop(&process, 100, &threads, &error);
		threads_release(&process, &threads);
		threads_free(&threads);
	}
	assert_true(executes(victim));
	window_close();
	array_free(&tids);
	error_clear(&error);
	process_close(&process);
	close(tell);
	kill(victim, SIGKILL);
	assert_int_equal(waitpid(victim, NULL, 0), victim);
}

static void test_exec_release(void **state)
{
	exec_with_one_held(RELEASE);
}

static void test_exec_seize(void **state)
{
	exec_with_one_held(SEIZE);
}

static void test_exec_stop(void **state)
{
	exec_with_one_held(STOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_stops_all), cmocka_unit_test(test_stops_successors),
					     cmocka_unit_test(test_one_at_a_time),
					     cmocka_unit_test(test_no_descriptor),
					     cmocka_unit_test(test_exec_release),
					     cmocka_unit_test(test_exec_seize),
					     cmocka_unit_test(test_exec_stop) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
