/* A look at threads while others are still on their way to a stop frees none that is inside, and most of those that are not. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/stacks.h"
#include "live/survey.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define THREADS 200

/* The code that is asked for: each section has a function, whose bounds the linker knows. */
extern const uint8_t __start_held[], __stop_held[], __start_kept[], __stop_kept[];

enum where { OUTSIDE, HELD, KEPT, WHERES };

static struct {
	_Atomic int ready;
	_Atomic enum where of[1 << 22];	/* by tid */
} *board;

static volatile int sink;

static void wait_long(enum where where)
{
	board->of[syscall(SYS_gettid)] = where;
	board->ready++;
	pause();
}

__attribute__((noinline, section("held"))) static void hold(void)
{
	wait_long(HELD);
	sink = 1;
}

__attribute__((noinline, section("kept"))) static void keep(void)
{
	wait_long(KEPT);
	sink = 2;
}

static void *run(void *where)
{
	switch ((enum where)(intptr_t)where) {
	case HELD:
		hold();
		break;
	case KEPT:
		keep();
		break;
	default:
		wait_long(OUTSIDE);
	}
	return NULL;
}

static pid_t start_victim(void)
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (intptr_t i = 0; i < THREADS; i++) {
			pthread_t thread;

			/* The first ones, of which one is walked, are outside: it shows for the others where stacks begin. */
			if (pthread_create(&thread, NULL, run, (void *)(i < 50 ? OUTSIDE : i % WHERES)))
				_exit(1);
		}
		hold();
	}
	assert_true(child > 0);
	for (int i = 0; i < 1000 && board->ready < THREADS + 1; i++)
		usleep(10000);
	assert_int_equal(board->ready, THREADS + 1);
	return child;
}

struct looks {
	struct survey survey;
	struct stack_check one, other;
	struct maps maps;
	uint8_t quiet[THREADS + 1];
};

static void look(void *context, const struct threads *threads, size_t first, size_t count)
{
	struct looks *looks = context;

	assert_true(first + count <= sizeof(looks->quiet));
	stacks_peek(&looks->one, &looks->other, &looks->maps, threads->item + first, count, looks->quiet + first);
}

static void make_check(struct looks *looks, const uint8_t *start, const uint8_t *stop, struct stack_check *check)
{
	*check = (struct stack_check){ .survey = &looks->survey, .arch = arch_by_machine(62) };
	stack_check_add(check, (struct range){ (uint64_t)start, (uint64_t)stop }, "it");
	stack_check_ready(check);
}

static void test_peek(void **state)
{
	struct looks *looks = calloc(1, sizeof(*looks));
	struct threads threads = { .look = look, .context = looks };
	struct error error = { 0 };
	struct process process;
	size_t free_of_both = 0;
	pid_t victim;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(board != MAP_FAILED);
	victim = start_victim();
	assert_int_equal(process_open(victim, PROCESS_CHANGE, &process, &error), STATUS_OK);
	assert_int_equal(survey_read(&process, &looks->survey, &error), STATUS_OK);
	survey_unwind(&looks->survey);
	make_check(looks, __start_held, __stop_held, &looks->one);
	make_check(looks, __start_kept, __stop_kept, &looks->other);
	assert_int_equal(maps_look(&process, &looks->maps, &error), STATUS_OK);
	assert_int_equal(threads_stop(&process, 5000, &threads, &error), STATUS_OK);
	assert_int_equal(threads.count, THREADS + 1);
	for (size_t i = 0; i < threads.count; i++) {
		enum where where = board->of[threads.item[i].tid];

		if (where == HELD)
			assert_int_equal(looks->quiet[i], 0);
		if (where == KEPT)
			assert_false(looks->quiet[i] & STACK_QUIET_OTHER);
		free_of_both += looks->quiet[i] == (STACK_QUIET_ONE | STACK_QUIET_OTHER);
	}
	threads_release(&process, &threads);
	assert_in_range(free_of_both, 90, 100);	/* of 50 and a third of the others */
	/* Where threads begin was found out, and it is not the whole way up to the control block. */
	assert_true(looks->one.stacks->entry);
	assert_in_range(looks->one.stacks->entry_below, 512, 65536);
	stack_check_free(&looks->one);
	stack_check_free(&looks->other);
	survey_free(&looks->survey);
	maps_free(&looks->maps);
	threads_free(&threads);
	process_close(&process);
	free(looks);
	kill(victim, SIGKILL);
	assert_int_equal(waitpid(victim, NULL, 0), victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_peek) };

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
