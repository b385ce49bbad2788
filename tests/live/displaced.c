/*
 * displaced.c: a program in which a thread can wait in the displaced copy of an entry. The first five bytes of waits_in_entry() are
 * a push, a pop and a system call that only a signal ends: a jump takes their place, and whoever calls the old function through
 * it waits in the copy. Built twice, the second time with -DVERSION=2; with -DLIES its unwind data says nothing of the push.
 *
 * Lines of standard input are answered with one line each:
 *	run	a thread begins: outer() waits for "go", calls waits_in_entry(), and returns
 *	go	it goes on
 *	wake	a signal for it
 *	tid	its number
 *	said	the versions of both that have run; "-" before its end
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define TEXT(number) #number
#define NUMBER(macro) TEXT(macro)

#ifdef LIES
#define MOVES(bytes)
#else
#define MOVES(bytes) ".cfi_adjust_cfa_offset " #bytes "\n"
#endif

int waits_in_entry(void);
int outer(int in);

__asm__(".text\n.p2align 4\n.globl waits_in_entry\n.type waits_in_entry,@function\n"
	"waits_in_entry: .cfi_startproc\n"
	"push $34\n" MOVES(8)		/* pause(2) */
	"pop %rax\n" MOVES(-8)
	"syscall\n"
	"mov $" NUMBER(VERSION) ",%eax\n"
	"ret\n"
	".cfi_endproc\n.size waits_in_entry,.-waits_in_entry\n");

static int pipes[2];
static atomic_int tid, said;

__attribute__((noinline, noclone)) int outer(int in)
{
	char byte;

	if (read(in, &byte, 1) != 1)
		return 0;
	return 10 * VERSION + waits_in_entry();
}

static void wake(int number)
{
	(void)number;
}

static void *work(void *unused)
{
	(void)unused;
	tid = (int)syscall(SYS_gettid);
	said = outer(pipes[0]);
	return NULL;
}

static void answer(const char *question)
{
	static pthread_t thread;

	if (!strcmp(question, "run\n")) {
		tid = said = 0;
		puts(pthread_create(&thread, NULL, work, NULL) ? "failed" : "ok");
	} else if (!strcmp(question, "go\n")) {
		puts(write(pipes[1], "g", 1) == 1 ? "ok" : "failed");
	} else if (!strcmp(question, "wake\n")) {
		puts(pthread_kill(thread, SIGUSR1) ? "failed" : "ok");
	} else if (!strcmp(question, "tid\n")) {
		printf("%d\n", tid);
	} else if (said) {
		printf("%d\n", said);
	} else {
		puts("-");
	}
}

int main(void)
{
	const struct sigaction action = { .sa_handler = wake };
	char line[16];

	if (pipe(pipes) || sigaction(SIGUSR1, &action, NULL))
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
