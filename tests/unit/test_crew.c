/* Jobs in child processes: one that crashes, hangs or says too much costs its own answer and no other. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#undef fail	/* of cmocka: error.h has another one */

#include "base/memory.h"
#include "process/crew.h"

#define JOBS 40

struct seen {
	enum crew_end end[JOBS];
	char *answer[JOBS];
	unsigned int times[JOBS];
	bool (*bad)(size_t job);
	void (*misbehave)(void);
};

static char *work(void *context, size_t job)
{
	const struct seen *seen = context;

	if (seen->bad && seen->bad(job))
		seen->misbehave();
	return text_format("answer %zu by %d", job, getpid());
}

static void take(void *context, size_t job, enum crew_end end, const char *answer)
{
	struct seen *seen = context;

	assert_in_range(job, 0, JOBS - 1);
	seen->times[job]++;
	seen->end[job] = end;
	free(seen->answer[job]);
	seen->answer[job] = text_copy(answer);
}

static bool every_seventh(size_t job)
{
	return job % 7 == 3;
}

static void crash(void)
{
	raise(SIGKILL);
}

static void leave(void)
{
	_exit(0);
}

static void hang(void)
{
	while (1)
		pause();
}

static void run(struct seen *seen, unsigned int children, unsigned int limit, bool (*cancelled)(void))
{
	const struct crew crew = {
		.work = work, .take = take, .context = seen, .children = children, .limit = limit, .cancelled = cancelled,
	};

	crew_run(&crew, JOBS);
	/* No child is left. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void check(struct seen *seen, enum crew_end bad)
{
	for (size_t i = 0; i < JOBS; i++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "answer %zu by ", i);
		assert_int_equal(seen->times[i], 1);
		if (seen->bad && seen->bad(i)) {
			assert_int_equal(seen->end[i], bad);
			assert_string_equal(seen->answer[i], "");
		} else {
			assert_int_equal(seen->end[i], CREW_DONE);
			assert_memory_equal(seen->answer[i], expected, strlen(expected));
		}
		free(seen->answer[i]);
		seen->answer[i] = NULL;
	}
}

static void test_all_done(void **state)
{
	for (unsigned int children = 0; children < 80; children += 9) {
		struct seen seen = { 0 };

		run(&seen, children, 10000, NULL);
		check(&seen, CREW_DONE);
	}
}

static void test_elsewhere(void **state)
{
	struct seen seen = { 0 };
	char own[32];

	snprintf(own, sizeof(own), " by %d", getpid());
	run(&seen, 2, 10000, NULL);
	for (size_t i = 0; i < JOBS; i++)
		assert_null(strstr(seen.answer[i], own));
	check(&seen, CREW_DONE);
}

static void test_crashes(void **state)
{
	struct seen seen = { .bad = every_seventh, .misbehave = crash };

	run(&seen, 3, 10000, NULL);
	check(&seen, CREW_CRASHED);
	seen = (struct seen){ .bad = every_seventh, .misbehave = leave };
	run(&seen, 1, 10000, NULL);
	check(&seen, CREW_CRASHED);
}

static void test_hangs(void **state)
{
	struct seen seen = { .bad = every_seventh, .misbehave = hang };

	run(&seen, 6, 300, NULL);
	check(&seen, CREW_LATE);
}

static bool at_once(void)
{
	return true;
}

static void test_cancelled(void **state)
{
	struct seen seen = { 0 };

	run(&seen, 2, 10000, at_once);
	for (size_t i = 0; i < JOBS; i++) {
		assert_int_equal(seen.times[i], 1);
		assert_int_equal(seen.end[i], CREW_CANCELLED);
		free(seen.answer[i]);
	}
}

static unsigned int asked;

static bool later(void)
{
	return ++asked > 3;
}

/* The children at work are told to end; what they do about it is theirs. */
static void test_cancelled_later(void **state)
{
	struct seen seen = { .bad = every_seventh, .misbehave = hang };
	size_t crashed = 0, cancelled = 0;

	asked = 0;
	run(&seen, 2, 10000, later);
	for (size_t i = 0; i < JOBS; i++) {
		assert_int_equal(seen.times[i], 1);
		crashed += seen.end[i] == CREW_CRASHED;
		cancelled += seen.end[i] == CREW_CANCELLED;
		free(seen.answer[i]);
	}
	assert_true(crashed > 0);
	assert_true(cancelled > 0);
}

static char *say_much(void *context, size_t job)
{
	char *text = memory_resize(NULL, 3000001, 1);

	memset(text, 'a' + (int)(job % 26), 3000000);
	text[3000000] = '\0';
	return text;
}

static void count_much(void *context, size_t job, enum crew_end end, const char *answer)
{
	assert_int_equal(end, CREW_DONE);
	assert_int_equal(strlen(answer), 3000000);
	assert_int_equal(answer[0], 'a' + (int)(job % 26));
	assert_int_equal(answer[2999999], 'a' + (int)(job % 26));
	++*(size_t *)context;
}

static void test_long_answers(void **state)
{
	size_t count = 0;
	const struct crew crew = { .work = say_much, .take = count_much, .context = &count, .children = 3, .limit = 20000 };

	crew_run(&crew, 7);
	assert_int_equal(count, 7);
	crew_run(&crew, 0);
	assert_int_equal(count, 7);
}

static void test_texts(void **state)
{
	const struct crew crew = { .limit = 1500 };
	char *late = crew_end_text(&crew, CREW_LATE), *done = crew_end_text(&crew, CREW_DONE);

	assert_string_equal(late, "took longer than 2 s, and was given up");
	assert_string_equal(done, "");
	free(late);
	free(done);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_done),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_crashes),
		cmocka_unit_test(test_hangs),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_cancelled_later),
		cmocka_unit_test(test_long_answers),
		cmocka_unit_test(test_texts),
	};

	alarm(100);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
