/*
 * many.c: threads that wait at the bottom of equally deep stacks, through libc and a library of their own.
 *
 *	many [THREADS [FRAMES]]		64 threads of 38 frames each, the system call's and the thread's entry included
 *
 * Prints for each "TID PC PC...": the return addresses that libgcc's unwinder found from inside, without the two innermost
 * frames (read() and the function that called it); then "ready".
 */
#include <execinfo.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <search.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "many.h"

#define FRAMES_MAX 256
#define ROOM 12		/* more frames than any one step takes */

struct stack {
	unsigned int number;
	int tid, count;
	void *pc[FRAMES_MAX];
};

static int frames = 38;
static int nothing[2];		/* a pipe that nobody writes to */
static atomic_int arrived;
static _Thread_local struct stack *own;

static void descend(void);

static int compare(const void *one, const void *other)
{
	(void)one;
	(void)other;
	descend();
	KEEP_FRAME();
	return 0;
}

static void by_qsort(void)
{
	int numbers[] = { 3, 2, 1 };

	qsort(numbers, 3, sizeof(int), compare);
	KEEP_FRAME();
}

static void by_bsearch(void)
{
	const int numbers[] = { 1, 2, 3 }, wanted = 2;

	if (!bsearch(&wanted, numbers, 3, sizeof(int), compare))
		abort();
}

static void by_search(void)
{
	int numbers[] = { 1, 2, 3 }, wanted = 2;
	size_t count = 3;

	if (!lfind(&wanted, numbers, &count, sizeof(int), compare))
		abort();
}

static void by_library(void)
{
	library_call(descend, own->number % 3);
	KEEP_FRAME();
}

FRAME static void by_large_frame(void)
{
	char memory[3000];

	__asm__ volatile("" : : "r"(memory) : "memory");
	descend();
	__asm__ volatile("" : : "r"(memory) : "memory");
}

static void (*const steps[])(void) = { by_qsort, by_library, by_bsearch, by_large_frame, by_search };

FRAME static void descend(void)
{
	char byte;

	own->count = backtrace(own->pc, FRAMES_MAX);
	if (own->count + 1 >= frames) {
		arrived++;
		if (read(nothing[0], &byte, 1) != 0)
			abort();
	} else if (own->count + ROOM > frames) {
		descend();
	} else {
		steps[(own->number + (unsigned int)own->count) % (sizeof(steps) / sizeof(steps[0]))]();
	}
	KEEP_FRAME();
}

static void *run(void *stack)
{
	own = stack;
	own->tid = (int)syscall(SYS_gettid);
	descend();
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int threads = argc > 1 ? (unsigned int)atoi(argv[1]) : 64;
	struct stack *stacks = calloc(threads + 1, sizeof(*stacks));

	if (argc > 2)
		frames = atoi(argv[2]);
	if (!stacks || !threads || frames < ROOM || frames >= FRAMES_MAX || pipe(nothing))
		return 2;
	backtrace(stacks[threads].pc, FRAMES_MAX);	/* loads libgcc */
	for (unsigned int i = 0; i < threads; i++) {
		pthread_t thread;

		stacks[i].number = i;
		if (pthread_create(&thread, NULL, run, &stacks[i]))
			return 2;
	}
	while (arrived < (int)threads)
		usleep(1000);
	for (unsigned int i = 0; i < threads; i++) {
		printf("%d", stacks[i].tid);
		for (int j = 1; j < stacks[i].count; j++)
			printf(" %p", stacks[i].pc[j]);
		putchar('\n');
	}
	puts("ready");
	fflush(stdout);
	while (1)
		pause();
}
