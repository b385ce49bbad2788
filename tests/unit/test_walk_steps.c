/*
 * A child is stopped at every single instruction of a piece of work, as a real target may be: each
 * time the walk has to reach the entry, by the same callers, and nearly every time with proof.
 */
#include "stopped_child.h"

#include <alloca.h>

#define STEPS_MAX 200000

static void handle_step(int number)
{
	sink += number;
}

static int compare(const void *left, const void *right)
{
	return *(const int *)left - *(const int *)right;
}

/* A bit of everything, for the test that stops at each instruction: frames of all kinds, the PLT with
 * the dynamic linker behind it, the vDSO, a signal. */
static noinline long work(int size)
{
	int numbers[] = { 3, 1, 2, size };
	char *bytes = alloca((size_t)size), text[64];
	struct timespec now;

	signal(SIGUSR2, handle_step);
	raise(SIGUSR2);
	qsort(numbers, 4, sizeof(*numbers), compare);
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "%d %s", numbers[1], "text");
	memset(bytes, text[0], (size_t)size);
	free(malloc((size_t)numbers[2]));
	return bytes[1] + now.tv_sec;
}

static noinline void work_watched(void)
{
		record_stack();
	while (!report->go)
		;
	sink += work(100);	/* through the dynamic linker, which binds what is called for the first time */
	report->bound = true;
	sink += work(100);
	report->done = true;
	for (;;)
		pause();
}

/* One instruction of the child; signals on their way to it are passed on. */
static void step(struct victim *victim)
{
	static int number;
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, victim->tid, NULL, (void *)(intptr_t)number), 0);
	assert_int_equal(waitpid(victim->tid, &status, __WALL), victim->tid);
	assert_true(WIFSTOPPED(status));
	number = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
	assert_int_equal(registers_read(victim->tid, &victim->registers), 0);
}

/* The frames from work_watched()'s caller on are the last ones, and the same as libgcc saw. */
static void check_callers(const struct unwind_trace *trace)
{
	size_t shared = report->count - 1, first = trace->frames.count - shared;

	assert_true(trace->frames.count >= report->count);
	for (size_t i = 0; i < shared; i++) {
		assert_int_equal(trace->frames.item[first + i].pc, report->pc[1 + i]);
		assert_int_equal(trace->frames.item[first + i - 1].cfa, report->sp[1 + i]);
	}
}

static void test_each_instruction(void **state)
{
	struct victim victim;
	struct range stack;
	size_t steps = 0, interrupted = 0, proven = 0, bound = 0;

	(void)state;
	start_victim(work_watched, &victim);
	stack = find_mapping(&victim, registers_stack(&victim.registers));
	report->go = true;
	for (; !report->done && steps < STEPS_MAX; steps++) {
		struct unwind_trace *trace;

		step(&victim);
		trace = walk_on(&victim, stack);
		/* Also where a row can't be verified (the dynamic linker's lazy binding), what it says is right. */
		assert_true(trace->ended);
		check_callers(trace);
		for (size_t i = 1; i < trace->frames.count; i++)
			interrupted += !trace->frames.item[i].after_call;
		if (report->bound) {
			bound++;
			proven += unwind_trace_proven(trace);
		}
		end_walk(trace);
	}
	assert_true(report->done);
	assert_true(steps > 1000);
	assert_true(interrupted > 0);
	print_message("%zu instructions; of the last %zu, proven at %zu\n", steps, bound, proven);
	assert_true(bound > 1000 && proven > bound / 2);
	end_victim(&victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_instruction),
	};

	return cmocka_run_group_tests_name("walk steps", tests, set_up, tear_down);
}
