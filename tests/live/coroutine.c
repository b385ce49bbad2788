/*
 * coroutine.c: a program with a coroutine, built twice, the second time with -DVERSION=2.
 *
 *	coroutine made|own|never [MIB]	it switches by swapcontext(), by code of its own, or never (but it could);
 *					so much memory is in use
 *
 * With -DMADE_ONLY it has no such code of its own, but a word in its data that looks like an address in the function.
 *
 * Lines of standard input: "inside" and "outside" make the coroutine run to its next place, which is in the patched
 * function or not, and be suspended there; "ask" calls the function. Each is answered with what the function returned last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifndef VERSION
#define VERSION 1
#endif

#define PATCHED __attribute__((noinline, noclone, noipa))
#define STACK 65536

static ucontext_t main_context, context;
static void *main_stack, *own_stack;
static int own, number;

#ifndef MADE_ONLY
/* Save the callee's registers and the stack pointer there, and go on with the other stack. */
void switch_stack(void **save, void *to);
__asm__(".text\n"
	".type switch_stack, @function\n"
	"switch_stack:\n"
	".cfi_startproc\n"
	"push %rbp\n"
	".cfi_adjust_cfa_offset 8\n"
	"push %rbx\n"
	".cfi_adjust_cfa_offset 8\n"
	"mov %rsp, (%rdi)\n"
	"mov %rsi, %rsp\n"
	"pop %rbx\n"
	".cfi_adjust_cfa_offset -8\n"
	"pop %rbp\n"
	".cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".size switch_stack, . - switch_stack\n");
#else
static void switch_stack(void **save, void *to)
{
	(void)save;
	(void)to;
}

static char *volatile stale;
#endif

int work(int suspend);
void clear(void);

static void leave(void)
{
	if (own)
		switch_stack(&own_stack, main_stack);
	else
		swapcontext(&context, &main_context);
}

static void enter(void)
{
	if (own)
		switch_stack(&main_stack, own_stack);
	else
		swapcontext(&main_context, &context);
}

PATCHED int work(int suspend)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", 10 * VERSION);
	if (suspend)
		leave();
	return atoi(text);
}

/* What returned frames have left below the stack pointer would be found for ever. */
PATCHED void clear(void)
{
	char bytes[16384];

	memset(bytes, 0, sizeof(bytes));
	__asm__ volatile("" : : "r"(bytes) : "memory");
}

static void coroutine(void)
{
	for (;;) {
		number = work(1);
		clear();
		leave();
	}
}

static void prepare(void)
{
	char *stack = calloc(1, STACK);

	if (own) {
		void **top = (void **)(stack + STACK) - 4;	/* rbx, rbp, and where to go; then the stack is as behind a call */

		top[2] = (void *)coroutine;
		own_stack = top;
		return;
	}
	getcontext(&context);
	context.uc_stack.ss_sp = stack;
	context.uc_stack.ss_size = STACK;
	makecontext(&context, coroutine, 0);
}

int main(int argc, char **argv)
{
	size_t size = argc > 2 ? (size_t)atoi(argv[2]) << 20 : 0;
	char line[32], *memory = malloc(size + 1);

	memset(memory, 1, size);
#ifdef MADE_ONLY
	stale = (char *)work;
	stale += argc + 6;	/* not known when it is compiled: stent diff would refuse it */
#endif
	own = strcmp(argv[1], "own") == 0;
	if (strcmp(argv[1], "never") != 0)
		prepare();
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "ask\n") == 0)
			number = work(0);
		else
			enter();
		printf("%d\n", number);
		fflush(stdout);
	}
	return 0;
}
