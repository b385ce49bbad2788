/*
 * coroutine.c: a program with a coroutine, built twice, the second time with -DVERSION=2.
 *
 *	coroutine made|own|copied|closed|given|last|late|never [MIB]	it switches by swapcontext(), by code of its own, by the first with its stack elsewhere
 *					meanwhile and at no even address, or closed meanwhile, by its own in a thread whose stack lies in one
 *					piece of memory with the coroutine's, by it as the last thing of a function that does not return, by
 *					the first, and the coroutine is made when it is first wanted, or
 *					never (but it could); so much memory is in use. The memory around its own has been used and given back,
 *					and words that lead there are left
 *
 * With -DOWN_MAKER it has a makecontext() of its own, which a library might as well have.
 * With -DMADE_ONLY it has no such code of its own, but where it never switches a word in its data that looks like an address in the function.
 *
 * Lines of standard input: "inside" and "outside" make the coroutine run to its next place, which is in the patched
 * function or not, and be suspended there; "ask" calls the function; "stay" has another thread call it, which stays in it until "go", and calls it once more; and "carry" has
 * that thread make the coroutine meanwhile, and have it suspended in the function. Each is answered with what the function returned last.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define PATCHED __attribute__((noinline, noclone, noipa))
#define STACK 65536
#define LEFT (1ul << 20)
#define WORDS (LEFT / 16)

static ucontext_t main_context, context;
static void *main_stack, *own_stack;
static int own, closed, late, number;
static volatile int staying, carrying, going;
static pthread_t stays;
static char *stack, *copy;	/* where the coroutine runs, and where its stack is while it does not; or NULL */
static char *volatile words[2][WORDS];
extern char __executable_start[], end[];	/* the linker's */

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

#ifdef OWN_MAKER
__attribute__((noipa)) static void end_context(void)
{
	_exit(1);
}

static void (*const end_of_contexts)(void) = end_context;

__attribute__((noipa)) void makecontext(ucontext_t *made, void (*function)(void), int count, ...)
{
	uintptr_t *top = (uintptr_t *)(((uintptr_t)made->uc_stack.ss_sp + made->uc_stack.ss_size) & ~15ul) - 1;

	(void)count;
	*top = (uintptr_t)*(void (*const volatile *)(void))&end_of_contexts;
	made->uc_mcontext.gregs[REG_RSP] = (greg_t)top;
	made->uc_mcontext.gregs[REG_RIP] = (greg_t)function;
}
#endif

int work(int suspend);
void clear(void);
void leave(void);

/* (It has a frame of its own, and is no part of its caller: else the saved context alone would tell.) */
__attribute__((noipa)) void leave(void)
{
	if (own)
		switch_stack(&own_stack, main_stack);
	else
		swapcontext(&context, &main_context);
	__asm__ volatile("" : : : "memory");
}

static void enter(void)
{
	if (copy)
		memcpy(stack, copy, STACK);
	if (closed)
		mprotect(stack, STACK, PROT_READ | PROT_WRITE);
	if (own)
		switch_stack(&main_stack, own_stack);
	else
		swapcontext(&main_context, &context);
	if (copy) {
		memcpy(copy, stack, STACK);
		memset(stack, 0, STACK);
	}
	if (closed)
		mprotect(stack, STACK, PROT_NONE);
}

static void prepare(char *memory);

__attribute__((noipa)) static void stay(void)
{
	for (staying = 1; !going; usleep(1000)) {
		if (!carrying)
			continue;
		prepare(stack);
		enter();
		late = carrying = 0;
	}
}

PATCHED int work(int suspend)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", 10 * VERSION);
	if (suspend == 1)
		leave();
	else if (suspend)
		stay();
	return atoi(text);
}

/* What returned frames have left below the stack pointer would be found for ever. */
PATCHED void clear(void)
{
	char bytes[16384];

	memset(bytes, 0, sizeof(bytes));
	__asm__ volatile("" : : "r"(bytes) : "memory");
}

#ifndef MADE_ONLY
/* Two functions side by side, both of which are patched: what the call in the first one would return to is the second one's entry. */
int last(void), next(void);
#define TEXT(number) #number
#define NUMBER(number) TEXT(number)
__asm__(".text\n"
	".globl last, next\n"
	".type last, @function\n"
	"last:\n"
	".cfi_startproc\n"
	"sub $8, %rsp\n"
	".cfi_adjust_cfa_offset 8\n"
	"mov $" NUMBER(VERSION) ", %eax\n"
	"call leave\n"
	".cfi_endproc\n"
	".size last, . - last\n"
	".type next, @function\n"
	"next:\n"
	".cfi_startproc\n"
	"mov $" NUMBER(VERSION) ", %eax\n"
	"ret\n"
	".cfi_endproc\n"
	".size next, . - next\n");
#else
static int last(void)
{
	return 0;
}
#endif

static void coroutine(void)
{
	if (own > 1)
		last();
	for (;;) {
		number = work(1);
		clear();
		leave();
	}
}

static void prepare(char *memory)
{
	if (own) {
		void **top = (void **)(memory + STACK) - 4;	/* rbx, rbp, and where to go; then the stack is as behind a call */

		top[2] = (void *)coroutine;
		own_stack = top;
		return;
	}
	getcontext(&context);
	context.uc_stack.ss_sp = memory;
	context.uc_stack.ss_size = STACK;
	makecontext(&context, coroutine, 0);
}

/* Memory that has gone, and the many words that lead to each page of it. */
static void leave_words(uintptr_t start, char *volatile *word)
{
	char *memory = mmap((void *)start, LEFT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (memory == MAP_FAILED)
		return;
	for (size_t i = 0; i < WORDS; i++)
		word[i] = memory + 16 * i;
	munmap(memory, LEFT);
}

/* (By pointers, so that the caller's frame can be proven.) */
static void (*volatile entering)(void) = enter;
static int (*volatile working)(int) = work;

static void *call(void *unused)
{
	(void)!working(2);
	number = working(0);
	clear();
	return unused;
}

static void begin_stay(void)
{
	if (pthread_create(&stays, NULL, call, NULL))
		exit(1);
	while (!staying)
		usleep(1000);
}

static void end_stay(void)
{
	going = 1;
	pthread_join(stays, NULL);
}

static void carry(void)
{
	for (carrying = 1; carrying;)
		usleep(1000);
}

static void go_on(void)
{
	if (late)
		prepare(stack);
	late = 0;
	entering();
}

static void *obey(void *unused)
{
	char line[32];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "ask\n") == 0)
			number = working(0);
		else if (strcmp(line, "stay\n") == 0)
			begin_stay();
		else if (strcmp(line, "go\n") == 0)
			end_stay();
		else if (strcmp(line, "carry\n") == 0)
			carry();
		else
			go_on();
		printf("%d\n", number);
		fflush(stdout);
	}
	return unused;
}

/* The coroutine's stack is below the thread's, in the same memory. */
static void obey_in_given_memory(void)
{
	char *memory = mmap(NULL, 8 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;

	prepare(memory);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, memory + 2 * STACK, 6 * STACK);
	if (pthread_create(&thread, &attributes, obey, NULL))
		exit(1);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	size_t size = argc > 2 ? (size_t)atoi(argv[2]) << 20 : 0;
	char *memory = malloc(size + 1);

	memset(memory, 1, size);
#ifdef MADE_ONLY
	if (strcmp(argv[1], "never") == 0) {
		stale = (char *)work;
		stale += argc + 6;	/* not known when it is compiled: stent diff would refuse it */
	}
#endif
	own = strcmp(argv[1], "own") == 0 || strcmp(argv[1], "given") == 0 ? 1 : strcmp(argv[1], "last") == 0 ? 2 : 0;
	leave_words(((uintptr_t)__executable_start & ~4095ul) - 65536 - LEFT, words[0]);
	leave_words((((uintptr_t)end + 4095) & ~4095ul) + 65536, words[1]);
	if (strcmp(argv[1], "given") == 0) {
		obey_in_given_memory();
		return 0;
	}
	stack = aligned_alloc(4096, STACK);
	memset(stack, 0, STACK);
	closed = strcmp(argv[1], "closed") == 0;
	late = strcmp(argv[1], "late") == 0;
	if (!late && strcmp(argv[1], "never") != 0)
		prepare(stack);
	if (strcmp(argv[1], "copied") == 0) {
		copy = (char *)malloc(STACK + 3) + 3;
		memcpy(copy, stack, STACK);
	}
	obey(NULL);
	return 0;
}
