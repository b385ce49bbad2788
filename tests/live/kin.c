/*
 * kin.c: a process and what it has forked, with much shared memory that all of them have read; built twice, the second time with -DVERSION=2.
 *
 *	kin COUNT MIB [tail|segment]
 *
 * tail: the memory is a file's that ends within its last page. segment: each has a System V segment of its own, of the same number. "ready", or "none", if such
 * memory is not to be had.
 *
 * Lines of standard input: "ask" has all of them call the patched function, and is answered with what it returned to each if that is the same, else 0. "begin"
 * has the first child make a coroutine, with its stack in the shared memory, that is suspended in the function; "end" has it leave. Both are answered
 * with what the function returned last in the coroutine.
 */
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define STACK 65536
#define MOST 64

static ucontext_t main_context, context;
static char *stack;
static int number;
static struct {
	int to, from;	/* pipes */
} children[MOST];

int work(int suspend);

__attribute__((noipa)) int work(int suspend)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", 10 * VERSION);
	if (suspend)
		swapcontext(&context, &main_context);
	return atoi(text);
}

__attribute__((noipa)) static void clear(void)
{
	char bytes[16384];

	memset(bytes, 0, sizeof(bytes));
	__asm__ volatile("" : : "r"(bytes) : "memory");
}

static void coroutine(void)
{
	number = work(1);
	clear();
	memset(stack, 0, 1024);
	swapcontext(&context, &main_context);
}

static void begin(void)
{
	getcontext(&context);
	context.uc_stack.ss_sp = stack;
	context.uc_stack.ss_size = STACK;
	makecontext(&context, coroutine, 0);
	swapcontext(&main_context, &context);
}

static int obey(char command)
{
	if (command == 'a')
		return work(0);
	if (command == 'b')
		begin();
	else
		swapcontext(&main_context, &context);
	clear();
	return number;
}

static char *map_all(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Nothing is mapped behind it. */
static char *map_tail(size_t size)
{
	int file = memfd_create("kin", 0);
	char *memory = mmap(NULL, size + STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (file < 0 || ftruncate(file, (off_t)size - 4000) || memory == MAP_FAILED || munmap(memory + size, STACK))
		return MAP_FAILED;
	return mmap(memory, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
}

/* The first ones of a new namespace have the numbers 0 and 1. */
static char *map_segment(size_t size)
{
	int id = unshare(CLONE_NEWIPC) || shmget(IPC_PRIVATE, 1, 0600) < 0 ? -1 : shmget(IPC_PRIVATE, size, 0600);
	char *memory = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);

	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	return memory;
}

static char *(*map)(size_t size) = map_all;

static char *map_memory(size_t size)
{
	char *memory = map(size);

	if (memory == MAP_FAILED) {
		puts("none");
		exit(0);
	}
	memset(memory, 1, size);
	/* In no page that other memory begins behind, or in the last one. */
	stack = map == map_tail ? memory + size - STACK : memory + size / 2;
	return memory;
}

static void start_child(int index, const char *memory, size_t size)
{
	int to[2], from[2], answer;
	volatile char sum = 0;
	char command;

	if (pipe(to) || pipe(from))
		exit(1);
	if (fork()) {
		close(to[0]);
		close(from[1]);
		children[index].to = to[1];
		children[index].from = from[0];
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (map == map_segment)
		map_memory(size);
	for (size_t i = 0; i < size; i += 4096)
		sum = (char)(sum + memory[i]);
	for (answer = 0; write(from[1], &answer, sizeof(answer)) == sizeof(answer) && read(to[0], &command, 1) == 1;)
		answer = obey(command);
	_exit(0);
}

static int ask_child(int index, char command)
{
	int answer;

	if ((command && write(children[index].to, &command, 1) != 1) || read(children[index].from, &answer, sizeof(answer)) != sizeof(answer))
		exit(1);
	return answer;
}

static int ask_all(int count)
{
	int answer = work(0);
	bool same = true;

	for (int i = 0; i < count; i++)
		same &= ask_child(i, 'a') == answer;
	return same ? answer : 0;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1;
	size_t size = argc > 2 ? (size_t)atoi(argv[2]) << 20 : 1 << 20;
	const char *kind = argc > 3 ? argv[3] : "", *memory;
	char line[32];

	map = !strcmp(kind, "tail") ? map_tail : !strcmp(kind, "segment") ? map_segment : map_all;
	memory = map_memory(size);
	for (int i = 0; i < count && i < MOST; i++) {
		start_child(i, memory, size);
		ask_child(i, 0);
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		printf("%d\n", *line == 'a' ? ask_all(count) : ask_child(0, *line));
		fflush(stdout);
	}
	return 0;
}
