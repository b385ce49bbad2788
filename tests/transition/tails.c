/*
 * tails.c: a program with functions that jump back to their own entry, as gcc compiles a tail call of a function to itself, and as a loop that
 * has no frame. One thread is in one of them nearly all the time.
 *
 *	walk | spin	the worker calls this one again and again, with a while between
 *	whirl		spin without that
 *	results		of all calls so far, a letter for each: the version that each round of it was, or x where they were not all the same
 *	tid 0		the worker
 *
 * VERSION is 1 or 2.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef __clang__
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noinline, noclone, noipa))
#endif

#define NODES 100		/* of 4 ms each */
#define ROUNDS 100000000l	/* some 0.2 s, and a second by way of a dispatcher */

#define TEXT(what) #what
#define NUMBER(what) TEXT(what)

struct node {
	const struct node *next;
};

static struct node nodes[NODES];
static char results[4096];
static atomic_int count, tid;

/* What makes the compiler save a register, and restore it before the tail call. */
static APART void step(void)
{
	const struct timespec time = { 0, 4000000 };

	nanosleep(&time, NULL);
}

/* By another name, or gcc makes a loop of it that does not begin at the entry. */
long walk_on(const struct node *node, long sum) __asm__("walk");
long walk(const struct node *node, long sum);

APART long walk(const struct node *node, long sum)
{
	step();
#if VERSION == 2
	if (sum < 0)
		return sum;
#endif
	if (!node->next)
		return sum + VERSION;
	return walk_on(node->next, sum + VERSION);
}

/*
 * So many rounds, which each add the version to three words of the red zone; they begin at 0 where `goes_on` is 0. Returns one of the
 * words, or -1 if they are not the same.
 */
long spin(long rounds, long goes_on);

__asm__(".text\n"
	".p2align 4\n"
	".globl spin\n"
	".type spin, @function\n"
	"spin:\n"
	"	.cfi_startproc\n"
#ifdef __CET__
	"	endbr64\n"
	"1:\n"
#endif
	"	test %rsi, %rsi\n"
	"	jne 2f\n"
	"	mov %rsi, -8(%rsp)\n"
	"	mov %rsi, -56(%rsp)\n"
	"	mov %rsi, -128(%rsp)\n"
	"2:	addq $" NUMBER(VERSION) ", -8(%rsp)\n"
	"	addq $" NUMBER(VERSION) ", -56(%rsp)\n"
	"	addq $" NUMBER(VERSION) ", -128(%rsp)\n"
	"	mov $1, %esi\n"
	"	dec %rdi\n"
#ifdef __CET__
	"	jne 1b\n"
#else
	"	jne spin\n"
#endif
	"	mov -8(%rsp), %rax\n"
	"	cmp -56(%rsp), %rax\n"
	"	jne 3f\n"
	"	cmp -128(%rsp), %rax\n"
	"	jne 3f\n"
	"	ret\n"
	"3:	mov $-1, %rax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size spin, .-spin\n");

static APART void note(long sum, long rounds)
{
	int place = count;

	if (place + 1 == sizeof(results))
		exit(1);
	results[place] = sum == rounds ? '1' : sum == 2 * rounds ? '2' : 'x';
	count = place + 1;
}

static APART void *work(void *kind)
{
	tid = (int)syscall(SYS_gettid);
	while (1) {
		if (!strcmp(kind, "walk"))
			note(walk(nodes, 0), NODES);
		else
			note(spin(ROUNDS, 0), ROUNDS);
		if (strcmp(kind, "whirl") != 0)
			step();
	}
	return NULL;
}

static void begin(char *kind)
{
	pthread_t thread;

	puts(pthread_create(&thread, NULL, work, kind) ? "failed" : "ok");
	while (!tid)
		sched_yield();
}

int main(void)
{
	char line[64];

	for (int i = 0; i + 1 < NODES; i++)
		nodes[i].next = &nodes[i + 1];
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "walk\n"))
			begin("walk");
		else if (!strcmp(line, "spin\n"))
			begin("spin");
		else if (!strcmp(line, "whirl\n"))
			begin("whirl");
		else if (!strcmp(line, "results\n"))
			puts(results);
		else
			printf("%d\n", tid);
		fflush(stdout);
	}
	exit(0);
}
