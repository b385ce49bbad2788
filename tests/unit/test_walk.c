/*
 * Children that stop in the middle of something are walked from outside, and the result is compared
 * with what libgcc's unwinder said inside of them.
 */
#include "stopped_child.h"

#include <alloca.h>
#include <pthread.h>
#include <ucontext.h>

static noinline void leaf(void)
{
	record_stack();
	while (!report->done)
		pause();
}

static noinline void nested(int depth)
{
	if (depth)
		nested(depth - 1);
	else
		leaf();
	sink += depth;
}

static noinline void with_alloca(int size)
{
	char *bytes = alloca((size_t)size);

	bytes[0] = (char)size;
	nested(2);
	sink += bytes[sink & 1];
}

/* Realigns its stack, and has a frame of a size not known: gcc finds the CFA through a saved pointer. */
static noinline void with_realigned_stack(int size)
{
	_Alignas(128) volatile char aligned[128];
	char *bytes = alloca((size_t)size);

	bytes[0] = aligned[0] = (char)size;
	with_alloca(size);
	sink += bytes[sink & 1] + aligned[sink & 1];
}

static void handle(int number)
{
	nested(number % 2);
	sink++;
}

static void handle_on(int number, int flags)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = flags };

	sigaction(number, &action, NULL);
}

/* Interrupted at its very first instruction: a look-up of the byte before would find another function. */
void trap_at_entry(void);
__asm__(".text\n"
	".p2align 4\n"
	".type trap_at_entry, @function\n"
	"trap_at_entry:\n"
	".cfi_startproc\n"
	"cli\n"
	"ret\n"
	".cfi_endproc\n"
	".size trap_at_entry, . - trap_at_entry\n");

static void child_nested(void)
{
	nested(20);
}

static void child_dynamic_frames(void)
{
	with_realigned_stack(100);
}

static void child_signal(void)
{
	handle_on(SIGUSR1, 0);
	raise(SIGUSR1);
}

static void child_trap(void)
{
	handle_on(SIGSEGV, 0);
	trap_at_entry();
	sink++;
}

static int compare_and_stop(const void *left, const void *right)
{
	nested(1);
	return *(const int *)left - *(const int *)right;
}

static void child_callback(void)
{
	int numbers[] = { 3, 1, 2 };

	qsort(numbers, 3, sizeof(*numbers), compare_and_stop);
}

static void *thread_main(void *unused)
{
	with_realigned_stack(50);
	return unused;
}

static void child_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_main, NULL);
	pthread_join(thread, NULL);
}

/* A stack between two pages that can't be used, so that no other mapping joins it. */
static void *separate_stack(size_t size)
{
	char *pages = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(pages + 4096, size, PROT_READ | PROT_WRITE);
	return pages + 4096;
}

#define SEPARATE_SIZE 262144

static void child_signal_stack(void)
{
	stack_t stack = { .ss_sp = separate_stack(SEPARATE_SIZE), .ss_size = SEPARATE_SIZE };

	sigaltstack(&stack, NULL);
	handle_on(SIGUSR1, SA_ONSTACK);
	raise(SIGUSR1);
}

static void coroutine_main(void)
{
	nested(3);
}

static void child_coroutine(void)
{
	static ucontext_t here, there;

	getcontext(&there);
	there.uc_stack.ss_sp = separate_stack(SEPARATE_SIZE);
	there.uc_stack.ss_size = SEPARATE_SIZE;
	there.uc_link = &here;
	makecontext(&there, coroutine_main, 0);
	swapcontext(&here, &there);
}

/* ---- outside ---- */

/* Index of the frame that called the recording function, which is the first that libgcc saw. */
static size_t find_recorded(const struct unwind_trace *trace)
{
	for (size_t i = 1; i < trace->frames.count; i++) {
		if (trace->frames.item[i - 1].cfa == report->sp[0])
			return i;
	}
	fail_msg("the frame that recorded itself is not in the trace: %s", trace->doubt ? trace->doubt : "it is proven");
	return 0;
}

/* From there on both must have seen the same, to the end. */
static void compare_with_libgcc(const struct unwind_trace *trace)
{
	size_t first = find_recorded(trace);

	assert_int_equal(trace->frames.count - first, report->count);
	for (size_t i = 1; i < report->count; i++) {
		assert_int_equal(trace->frames.item[first + i].pc, report->pc[i]);
		assert_int_equal(trace->frames.item[first + i - 1].cfa, report->sp[i]);
	}
}

static size_t count_interrupted(const struct unwind_trace *trace)
{
	size_t count = 0;

	for (size_t i = 1; i < trace->frames.count; i++)
		count += !trace->frames.item[i].after_call;
	return count;
}

static void check_proven(void (*child)(void), size_t interrupted)
{
	struct unwind_trace *trace;
	struct victim victim;

	start_victim(child, &victim);
	trace = walk_on(&victim, find_mapping(&victim, registers_stack(&victim.registers)));
	if (!unwind_trace_proven(trace))
		fail_msg("%s", trace->doubt);
	assert_true(trace->ended);
	compare_with_libgcc(trace);
	assert_int_equal(count_interrupted(trace), interrupted);
	end_walk(trace);
	end_victim(&victim);
}

/* Not proven, and the reason is this one and names a place. */
static void check_doubtful(void (*child)(void), bool main_stack, const char *doubt)
{
	struct unwind_trace *trace;
	struct victim victim;
	char reason[200];
	uint64_t in_stack;

	start_victim(child, &victim);
	/* Any address in the frames that the child has from the test. */
	in_stack = main_stack ? (uint64_t)&victim : registers_stack(&victim.registers);
	trace = walk_on(&victim, find_mapping(&victim, in_stack));
	assert_false(unwind_trace_proven(trace));
	unwind_trace_reason(trace, reason, sizeof(reason));
	if (!strstr(reason, doubt))
		fail_msg("%s", reason);
	assert_int_equal(strncmp(reason, "0x", 2), 0);
	end_walk(trace);
	end_victim(&victim);
}

static void test_nested_calls(void **state)
{
	(void)state;
	check_proven(child_nested, 0);
}

static void test_dynamic_frames(void **state)
{
	(void)state;
	check_proven(child_dynamic_frames, 0);
}

static void test_callback(void **state)
{
	(void)state;
	check_proven(child_callback, 0);
}

static void test_signal_frame(void **state)
{
	(void)state;
	check_proven(child_signal, 1);
}

static void test_interrupted_at_entry(void **state)
{
	(void)state;
	check_proven(child_trap, 1);
}

static void test_thread(void **state)
{
	(void)state;
	check_proven(child_thread, 0);
}

static void test_signal_stack_is_not_the_threads(void **state)
{
	(void)state;
	check_doubtful(child_signal_stack, true, "the stack pointer is outside the stack");
	check_doubtful(child_signal_stack, false, "a signal is handled on another stack");
}

static void test_coroutine(void **state)
{
	(void)state;
	check_doubtful(child_coroutine, true, "the stack pointer is outside the stack");
	/* Even if its stack is taken for the thread's, it does not end where a thread begins. */
	check_doubtful(child_coroutine, false, ": ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nested_calls),
		cmocka_unit_test(test_dynamic_frames),
		cmocka_unit_test(test_callback),
		cmocka_unit_test(test_signal_frame),
		cmocka_unit_test(test_interrupted_at_entry),
		cmocka_unit_test(test_thread),
		cmocka_unit_test(test_signal_stack_is_not_the_threads),
		cmocka_unit_test(test_coroutine),
	};

	return cmocka_run_group_tests_name("walk", tests, set_up, tear_down);
}
