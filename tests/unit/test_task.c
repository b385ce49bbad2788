/* Whether a process has a thread that lives: from a folder as /proc/PID is, with what the kernel's can't be made to show at will. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/process.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#include "files.h"

static char folder[] = "/tmp/stent-test.XXXXXX";
static struct process made_up = { .pid = 100 };

static void put(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/task/%s", folder, name);
	file_write_text(path, text);
}

static void put_thread(int tid, char state)
{
	char path[128], name[64], text[256];

	snprintf(path, sizeof(path), "%s/task/%d", folder, tid);
	(void)!mkdir(path, 0700);
	snprintf(name, sizeof(name), "%d/status", tid);
	put(name, "Name:\tmade up\nSigPnd:\t0\n");
	snprintf(name, sizeof(name), "%d/stat", tid);
	snprintf(text, sizeof(text), "%d (made up) %c 1 1 1 0 -1 0 0 0\n", tid, state);
	put(name, text);
}

static void remove_thread(int tid)
{
	static const char *const names[] = { "/status", "/stat", "" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/task/%d%s", folder, tid, names[i]);
		remove(path);
	}
}

static void test_living(void **state)
{
	put_thread(100, 'S');
	assert_int_equal(process_living_task(&made_up), 100);
	put_thread(100, 'Z');
	assert_int_equal(process_living_task(&made_up), 0);
	assert_false(process_alive(&made_up));
	put_thread(101, 'R');
	assert_int_equal(process_living_task(&made_up), 101);
	assert_true(process_alive(&made_up));
	remove_thread(101);
	remove_thread(100);
}

/* The last of the list has ended meanwhile, each time: who follows is not in it. */
static void test_cut(void **state)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/task/102", folder);
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(process_living_task(&made_up), -1);
	assert_true(process_alive(&made_up));
	assert_int_equal(unlink(path), 0);
}

/* The list can't be made. */
static void test_no_descriptor(void **state)
{
	struct rlimit limit, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 3, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	pid_t living = process_living_task(&made_up);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(living, -1);
}

static void test_gone(void **state)
{
	const struct process gone = { .pid = 100, .directory = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC) };

	assert_int_equal(process_living_task(&gone), 0);
	close(gone.directory);
}

static int make_folder(void **state)
{
	char path[128];

	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/task", folder);
	made_up.directory = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return made_up.directory < 0 || mkdir(path, 0700);
}

static int remove_folder(void **state)
{
	char path[128];

	close(made_up.directory);
	snprintf(path, sizeof(path), "%s/task", folder);
	return rmdir(path) || rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_living),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_no_descriptor),
		cmocka_unit_test(test_gone),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
