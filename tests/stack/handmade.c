/*
 * handmade.c: coroutines that a few instructions of the program's own switch to. Prints the line that hard.c prints.
 *
 *	handmade suspended	one has called the function asked about, and is suspended there
 *	handmade own		the function has called one, which runs; its stack is an array in the thread's own, above the
 *				function's frame, and its unwind data ends there as a thread's does
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAME __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("")	/* behind a call: it is not made a jump */
#define SIDE_STACK 65536

static atomic_int thread_id;
static uint64_t thread_stack, other_stack;	/* stack pointers of who is suspended */
static int nothing[2];				/* a pipe that nobody writes to */

void switch_stack(uint64_t *from, uint64_t to);
void begin_other(void);
void block(void);
extern const uint8_t held_start[] __asm__("__start_held_text"), held_end[] __asm__("__stop_held_text");
extern const uint8_t absent_start[] __asm__("__start_absent_text"), absent_end[] __asm__("__stop_absent_text");

/* As in Boost.Context, libaco and the like: what a call preserves goes to the stack, and the stack is exchanged. */
__asm__(
	".pushsection .text\n"
	".globl switch_stack\n"
	".type switch_stack, @function\n"
	"switch_stack:\n"
	"	push	%rbp\n"
	"	push	%rbx\n"
	"	push	%r12\n"
	"	push	%r13\n"
	"	push	%r14\n"
	"	push	%r15\n"
	"	mov	%rsp, (%rdi)\n"
	"	mov	%rsi, %rsp\n"
	"	pop	%r15\n"
	"	pop	%r14\n"
	"	pop	%r13\n"
	"	pop	%r12\n"
	"	pop	%rbx\n"
	"	pop	%rbp\n"
	"	ret\n"
	".size switch_stack, . - switch_stack\n"
	".globl begin_other\n"
	".type begin_other, @function\n"
	"begin_other:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined rip\n"
	"	call	block\n"
	"	hlt\n"
	"	.cfi_endproc\n"
	".size begin_other, . - begin_other\n"
	".popsection\n");

/* The function asked about. */
__attribute__((section("held_text"))) FRAME static void held(void)
{
	switch_stack(&other_stack, thread_stack);
	KEEP_FRAME();
}

__attribute__((section("absent_text"), used)) FRAME static int absent(int number)
{
	return number + 1;
}

FRAME void block(void)
{
	char byte;

	thread_id = (int)syscall(SYS_gettid);
	if (read(nothing[0], &byte, 1) != 0)
		abort();
}

static void run_other(void)
{
	held();
	abort();
}

/* A stack that looks as if it had been left in switch_stack(). */
static void make_other(void *memory, void (*begin)(void))
{
	uint64_t *top = (uint64_t *)(((uint64_t)memory + SIDE_STACK) & ~UINT64_C(15)) - 8;

	top[6] = (uint64_t)begin;
	other_stack = (uint64_t)top;
}

static void *run_suspended(void *unused)
{
	void *memory = malloc(SIDE_STACK);

	if (!memory)
		abort();
	make_other(memory, run_other);
	switch_stack(&thread_stack, other_stack);
	block();
	return unused;
}

static void *run_own(void *unused)
{
	char memory[SIDE_STACK];

	make_other(memory, begin_other);
	thread_stack = other_stack;	/* what held() switches to */
	held();
	return unused;
}

int main(int argc, char **argv)
{
	int own = argc == 2 && !strcmp(argv[1], "own");
	pthread_t thread;

	if (pipe(nothing) || pthread_create(&thread, NULL, own ? run_own : run_suspended, NULL))
		return 2;
	while (!thread_id)
		usleep(1000);
	usleep(50000);	/* it comes into its call */
	printf("ready %d %d %p %p %p %p\n", thread_id, getpid(), (const void *)held_start, (const void *)held_end,
	       (const void *)absent_start, (const void *)absent_end);
	fflush(stdout);
	while (1)
		pause();
}
