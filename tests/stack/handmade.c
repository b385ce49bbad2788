/*
 * handmade.c: a coroutine that a few instructions of the program's own have suspended, in the function asked about.
 *
 *	handmade	prints the line that hard.c prints
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAME __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("")	/* behind a call: it is not made a jump */
#define SIDE_STACK 65536

static atomic_int thread_id;
static uint64_t thread_stack, other_stack;	/* stack pointers of who is suspended */
static int nothing[2];				/* a pipe that nobody writes to */

void switch_stack(uint64_t *from, uint64_t to);
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

static void run_other(void)
{
	held();
	abort();
}

static void *run(void *unused)
{
	uint64_t *memory = malloc(SIDE_STACK), *top;
	char byte;

	if (!memory)
		abort();
	top = (uint64_t *)(((uint64_t)memory + SIDE_STACK) & ~UINT64_C(15)) - 8;
	top[6] = (uint64_t)run_other;
	other_stack = (uint64_t)top;
	switch_stack(&thread_stack, other_stack);
	thread_id = (int)syscall(SYS_gettid);
	if (read(nothing[0], &byte, 1) != 0)
		abort();
	return unused;
}

int main(void)
{
	pthread_t thread;

	if (pipe(nothing) || pthread_create(&thread, NULL, run, NULL))
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
