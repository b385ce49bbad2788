/* Whatever is left out of a look at many stacks, no thread is found free that is not: by mappings that have changed, frames above others, another stack since. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
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

#define GUARD_INSTALL 102	/* MADV_GUARD_INSTALL, Linux 6.13 */
#define THREADS 220	/* besides the odd ones; several times as many as are read at once */
#define HOLE_AT 16384	/* in memory that a frame has and does not use */
#define DEEP (400u << 10)	/* of a frame: more than is read together otherwise */

/* The code that is asked for: its section's bounds the linker knows. */
extern const uint8_t __start_held[], __stop_held[];
/* And that which another check asks for. */
extern const uint8_t __start_apart[], __stop_apart[];

enum where { OUTSIDE, HELD, APART };

/* Shared with the victim. */
static struct {
	_Atomic int ready;
	_Atomic enum where of[1 << 22];	/* by tid */
	_Atomic pid_t raw, near, holed, guarded, turning, elsewhere;
	_Atomic int turns;
	_Atomic(char *) hole;
} *board;

static int orders[2];	/* a pipe; a byte each: the one that turns turns, or the first thread does what comes next */
static int turns[2];

static volatile int sink;

static void note(enum where where)
{
	board->of[syscall(SYS_gettid)] = where;
	board->ready++;
}

__attribute__((noinline, section("held"))) static void hold(void)
{
	note(HELD);
	pause();
	sink = 1;
}

__attribute__((noinline, section("apart"))) static void hold_apart(void)
{
	note(APART);
	pause();
	sink = 4;
}

static void *run(void *where)
{
	if ((enum where)(intptr_t)where == HELD)
		hold();
	if ((enum where)(intptr_t)where == APART)
		hold_apart();
	note(OUTSIDE);
	while (1)
		pause();
	return NULL;
}

/* Its frames are where those of other threads have variables. And no library knows of it, so it calls none. */
__attribute__((noinline)) static void wait_far_below(void)
{
	char far[16384];
	long result;

	sink = (int)(intptr_t)far;
	board->raw = (pid_t)(__extension__({ long tid; __asm__ volatile("syscall" : "=a"(tid) : "a"(SYS_gettid) : "rcx", "r11", "memory"); tid; }));
	while (1)
		__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_pause) : "rcx", "r11", "memory");
}

__attribute__((noinline, section("held"))) static void hold_raw(void)
{
	wait_far_below();
	sink = 2;
}

static int run_raw(void *unused)
{
	(void)unused;
	hold_raw();
	return 0;
}

/* It has all of its frames where others have variables, and nothing but its instruction pointer is where it is. */
__attribute__((noinline, section("held"))) static int hold_near(void)
{
	long result;

	board->near = (pid_t)(__extension__({ long tid; __asm__ volatile("syscall" : "=a"(tid) : "a"(SYS_gettid) : "rcx", "r11", "memory"); tid; }));
	while (1)
		__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_pause) : "rcx", "r11", "memory");
	return 0;
}

static int run_near(void *unused)
{
	(void)unused;
	return hold_near() + sink;
}

static void start_raw(int (*start)(void *), _Atomic pid_t *started)
{
	const size_t size = 65536;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *control = memory + size - 4096;

	*(char **)control = control;
	if (memory == MAP_FAILED || clone(start, control - 64, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
					  CLONE_SYSVSEM | CLONE_SETTLS, NULL, NULL, control) < 0)
		_exit(1);
	while (!*started)
		usleep(1000);
}

/*
 * A frame has memory that it does not use, of which a part is unmapped; or is a guard, so that it can't be read although it is mapped (where the
 * kernel has guards). Above that is the one that counts.
 */
__attribute__((noinline)) static void wait_below_hole(bool guard)
{
	volatile char *unused = __builtin_alloca(2 * HOLE_AT);
	char *hole = (char *)(((uintptr_t)unused + HOLE_AT) & ~4095ul);

	unused[0] = 1;
	if (!guard) {
		board->hole = hole;
		board->holed = (pid_t)syscall(SYS_gettid);
	} else if (!madvise(hole, 4096, GUARD_INSTALL)) {
		board->guarded = (pid_t)syscall(SYS_gettid);
	}
	note(HELD);
	pause();
	sink = unused[0];
}

__attribute__((noinline, section("held"))) static void hold_hole(bool guard)
{
	wait_below_hole(guard);
	sink = 3;
}

static void *run_hole(void *guard)
{
	hold_hole(guard != NULL);
	return NULL;
}

__attribute__((noinline, section("held"))) static void hold_deep(void)
{
	volatile char *deep = __builtin_alloca(DEEP);

	deep[0] = 1;
	hold();
	sink = deep[0];
}

static void *run_deep(void *unused)
{
	hold_deep();
	return unused;
}

static void handle(int signal)
{
	if (signal == SIGUSR2)
		board->elsewhere = (pid_t)syscall(SYS_gettid);
	note(OUTSIDE);
	while (1)
		pause();
}

static void *run_handling(void *unused)
{
	signal(SIGUSR1, handle);
	raise(SIGUSR1);
	return unused;
}

/* On memory that is not known to be its stack. */
static void *run_elsewhere(void *unused)
{
	const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };
	const stack_t other = { .ss_size = 65536,
				.ss_sp = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };

	sigaction(SIGUSR2, &action, NULL);
	syscall(SYS_sigaltstack, &other, NULL);	/* (by its name, and with longjmp(), this would look like a program with coroutines) */
	raise(SIGUSR2);
	return unused;
}

/* The same place, the same stack pointer: what they return to differs. */
__attribute__((noinline)) static int turn_outside(void)
{
	char byte;
	int result = (int)read(turns[0], &byte, 1);

	sink = byte;
	return result;
}

__attribute__((noinline, section("held"))) static int turn_held(void)
{
	char byte;
	int result = (int)read(turns[0], &byte, 1);

	sink = byte;
	return result;
}

static void *run_turning(void *unused)
{
	board->turning = (pid_t)syscall(SYS_gettid);
	note(OUTSIDE);
	turn_outside();
	board->turns++;
	turn_held();
	return unused;
}

static void make(void *(*start)(void *), void *argument, size_t size)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, size);
	if (pthread_create(&thread, &attributes, start, argument))
		_exit(1);
}

static void run_victim(void)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The odd ones are far from each other, because those that are read together with one that is not as the others are read anew. */
	make(run, (void *)APART, 65536);
	make(run_handling, NULL, 65536);
	make(run_deep, NULL, 1 << 20);
	make(run_elsewhere, NULL, 65536);
	for (int i = 0; i < THREADS; i++) {
		make(run, (void *)(intptr_t)(i % 2 ? HELD : OUTSIDE), 65536);
		if (i == 10)
			make(run_turning, NULL, 65536);
		if (i == 90)
			start_raw(run_raw, &board->raw);
		if (i == 100)
			start_raw(run_near, &board->near);
		if (i == 150)
			make(run_hole, NULL, 1 << 20);
		if (i == 155)
			make(run_hole, board, 1 << 20);
	}
	board->ready++;
	if (read(orders[0], &byte, 1) != 1 || munmap(board->hole, 4096))
		_exit(1);
	make(run, (void *)HELD, 65536);
	make(run, (void *)OUTSIDE, 65536);
	board->ready++;
	while (1)
		pause();
}

static void await_ready(int count)
{
	for (int i = 0; i < 2000 && board->ready < count; i++)
		usleep(10000);
	assert_int_equal(board->ready, count);
}

struct looks {
	struct survey survey;
	struct stack_check check, other;	/* joined */
	size_t clear;				/* one look was enough */
};

/* Between the look before the stop and the stop the one that turns has turned. */
static void rehearse_and_turn(void *context, const struct threads *threads)
{
	struct looks *looks = context;
	struct task_call call = { .blocked = false };

	stacks_rehearse(&looks->check, threads);
	assert_int_equal(write(turns[1], "", 1), 1);
	for (int i = 0; i < 2000 && !(board->turns && call.blocked); i++) {
		usleep(10000);
		assert_true(process_task_call(looks->survey.process, board->turning, &call));
	}
	assert_true(call.blocked);
	board->of[board->turning] = HELD;
}

/* What is said to be clear for both is free for each, and no walk is needed to see that. */
static void check_clear(struct looks *looks, const struct maps *maps, const struct thread *thread, const struct stack *stack,
			const struct stack_result *result)
{
	bool clear = stack_is_clear(&looks->check, thread, stack);
	struct stack_result other;

	stack_check_read(&looks->other, maps, thread, stack, &other);
	if (board->of[thread->tid] == APART)
		assert_int_equal(other.verdict, STACK_INSIDE);
	assert_false(stack_is_clear(&looks->other, thread, stack));	/* with nobody joined */
	if (clear) {
		assert_int_equal(result->verdict, STACK_FREE);
		assert_int_equal(other.verdict, STACK_FREE);
		assert_false(result->walked || other.walked);
		looks->clear++;
	}
}

static void check_threads(struct looks *looks, const struct maps *maps, const struct threads *threads)
{
	size_t read, expected = 0;

	for (size_t i = 0; i < threads->count; i += read) {
		read = stacks_read(&looks->check, maps, threads->item + i, threads->count - i);
		assert_in_range(read, 1, threads->count - i);
		for (size_t j = 0; j < read; j++) {
			const struct thread *thread = &threads->item[i + j];
			struct stack_result result;

			stack_check_read(&looks->check, maps, thread, &looks->check.stacks->item[j], &result);
			check_clear(looks, maps, thread, &looks->check.stacks->item[j], &result);
			expected += board->of[thread->tid] == HELD;
			/* Its first thread has been made by another process's second one, whose stack it has. */
			assert_int_equal(looks->check.stacks->item[j].borrowed, thread->tid == looks->survey.process->pid);
			assert_int_equal(looks->check.stacks->item[j].why != NULL, thread->tid == board->elsewhere || thread->tid == board->holed || thread->tid == board->guarded);
			if (thread->tid == board->elsewhere)
				assert_int_equal(result.verdict, STACK_UNRELIABLE);
			else if (thread->tid == board->raw || thread->tid == board->holed || thread->tid == board->guarded || thread->tid == board->near)
				assert_int_not_equal(result.verdict, STACK_FREE);
			else
				assert_int_equal(result.verdict, board->of[thread->tid] == HELD ? STACK_INSIDE : STACK_FREE);
		}
	}
	assert_int_equal(expected, THREADS / 2 + 5);
}

/* Who is not stopped, or runs other code, has no stack; and where contexts are searched for, variables are not left out. */
static void check_others(struct looks *looks, const struct maps *maps, const struct threads *threads)
{
	struct thread odd[3] = { threads->item[20], threads->item[20], threads->item[20] };
	const struct stacks *stacks = looks->other.stacks;

	odd[1].state = THREAD_RUNNING;
	odd[2].unreadable = ENOEXEC;
	assert_int_equal(stacks_read(&looks->other, maps, odd, 3), 3);
	assert_null(stacks->item[0].why);
	assert_non_null(stacks->item[1].why);
	assert_non_null(stacks->item[2].why);
	looks->survey.switches = text_copy("a test");
	for (size_t i = 0; i < threads->count;)
		i += stacks_read(&looks->other, maps, threads->item + i, threads->count - i);
	assert_int_equal(stacks->entry, 0);
}

/* In a thread that lives as long as the victim is needed. */
static void *fork_victim(void *victim)
{
	_Atomic pid_t *out = victim;
	pid_t pid = fork();

	if (!pid)
		run_victim();
	*out = pid;
	while (1)
		pause();
	return NULL;
}

static void test_stacks(void **state)
{
	struct looks *looks = calloc(1, sizeof(*looks));
	struct threads threads = { .ready = rehearse_and_turn, .context = looks };
	struct error error = { 0 };
	struct process process;
	struct maps maps;
	_Atomic pid_t victim = 0;
	pthread_t forker;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(board != MAP_FAILED);
	assert_int_equal(pipe(orders) | pipe(turns), 0);
	assert_int_equal(pthread_create(&forker, NULL, fork_victim, &victim), 0);
	await_ready(THREADS + 8);
	assert_int_equal(process_open(victim, PROCESS_CHANGE, &process, &error), STATUS_OK);
	assert_int_equal(survey_read(&process, &looks->survey, &error), STATUS_OK);
	survey_unwind(&looks->survey);
	looks->check = (struct stack_check){ .survey = &looks->survey, .arch = arch_by_machine(62) };
	stack_check_add(&looks->check, (struct range){ (uint64_t)__start_held, (uint64_t)__stop_held }, "held");
	stack_check_ready(&looks->check);
	looks->other = (struct stack_check){ .survey = &looks->survey, .arch = looks->check.arch };
	stack_check_add(&looks->other, (struct range){ (uint64_t)__start_apart, (uint64_t)__stop_apart }, "apart");
	stack_check_ready(&looks->other);
	stack_check_join(&looks->check, &looks->other);
	/* Of these two the survey does not know. */
	assert_int_equal(write(orders[1], "", 1), 1);
	await_ready(THREADS + 11);
	assert_int_equal(threads_stop(&process, 5000, &threads, &error), STATUS_OK);
	assert_int_equal(maps_look(&process, &maps, &error), STATUS_OK);
	assert_int_equal(threads.count, THREADS + 12);
	check_threads(looks, &maps, &threads);
	assert_in_range(looks->clear, THREADS / 4, THREADS / 2 + 3);
	check_others(looks, &maps, &threads);
	threads_release(&process, &threads);
	/* Where threads begin was found out, and it is below their variables. */
	assert_true(looks->check.stacks->entry);
	assert_in_range(looks->check.stacks->entry_below, 64, 65536);
	maps_free(&maps);
	stack_check_free(&looks->check);
	stack_check_free(&looks->other);
	survey_free(&looks->survey);
	threads_free(&threads);
	process_close(&process);
	free(looks);
	kill(victim, SIGKILL);
	assert_int_equal(waitpid(victim, NULL, 0), victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_stacks) };

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
