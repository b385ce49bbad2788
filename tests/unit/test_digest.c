/* The digest of executable mappings changes when other code is mapped, and only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/digest.h"
#include "process/maps.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static uint64_t digest_of(const char *text)
{
	struct maps maps = { 0 };
	uint64_t digest;

	assert_true(maps_parse(text_copy(text), &maps));
	digest = digest_code_files(&maps);
	maps_free(&maps);
	return digest;
}

#define DATA "20000-30000 rw-p 00010000 fe:01 4242 /lib/one.so\n"

static void test_changes(void **state)
{
	uint64_t digest = digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA);

	(void)state;
	assert_int_equal(digest, digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n"));
	assert_int_equal(digest, digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/renamed.so\n" DATA));
	assert_int_not_equal(digest, digest_of("11000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA));
	assert_int_not_equal(digest, digest_of("10000-1f000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA));
	/* Another library, or another part of the same, at the same place. */
	assert_int_not_equal(digest, digest_of("10000-20000 r-xp 00001000 fe:01 4243 /lib/one.so\n" DATA));
	assert_int_not_equal(digest, digest_of("10000-20000 r-xp 00001000 fe:02 4242 /lib/one.so\n" DATA));
	assert_int_not_equal(digest, digest_of("10000-20000 r-xp 00002000 fe:01 4242 /lib/one.so\n" DATA));
	assert_int_not_equal(digest, digest_of(DATA));
}

/* Whether the kernel is asked for all mappings or for one after the other. */
static void test_of_a_process(void **state)
{
	struct error error = { 0 };
	struct process process;
	struct maps maps, look;
	pid_t child = fork();

	(void)state;
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(1);
	}
	assert_int_equal(process_open(child, PROCESS_LOOK, &process, &error), STATUS_OK);
	assert_int_equal(maps_read(&process, &maps, &error), STATUS_OK);
	assert_int_equal(maps_look(&process, &look, &error), STATUS_OK);
	assert_int_equal(digest_code_files(&maps), digest_code_files(&look));
	assert_int_not_equal(digest_code_files(&maps), DIGEST_START);
	maps_free(&maps);
	maps_free(&look);
	process_close(&process);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* What a JIT compiler maps is of no file. */
static void test_files(void **state)
{
	(void)state;
	assert_int_equal(digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA "40000-50000 r-xp 00000000 00:00 0\n"),
			 digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_of_a_process),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
