/*
 * referrer.c: a program that keeps pointers into new code, in every place where a program can. Built twice, the second time with -DVERSION=2.
 *
 * It answers lines of standard input: "ask" with "VERSION"; "keep WHERE" by asking the changed functions for an address of what only the new
 * build has, a function or a string, and keeping it there and nowhere else; "use" with what the pointer that is kept leads to;
 * "drop" by forgetting it. End of input ends it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define NEVER_INLINED __attribute__((noinline, noclone, noipa))
#define PAGE 4096
#define READ (1u << 20)	/* bytes that stent reads at once, from a mapping's start on */
#define TAG UINT64_C(0xfff3000000000000)

typedef int function(int);

int version(void);
const char *describe(void);
function *get_function(void);

NEVER_INLINED int version(void)
{
	return VERSION;
}

NEVER_INLINED const char *describe(void)
{
	return VERSION == 1 ? "the first one" : "this text is in new memory";
}

#if VERSION == 2
NEVER_INLINED static int added(int number)
{
	return number + 41;
}
#endif

NEVER_INLINED function *get_function(void)
{
#if VERSION == 2
	return added;
#else
	return NULL;
#endif
}

static char *heap, *mapped;	/* mapped: of what is kept elsewhere than in the heap */
static size_t mapped_size;
static const char *where = "";
static timer_t timer;
static int epoll;
static pthread_t spinner;
static atomic_int spinning, released;
static uint64_t spun;

/* The address is in a vector register of this thread, and nowhere else, while it spins. */
static void *spin(void *unused)
{
	uint64_t value = (uint64_t)(uintptr_t)get_function();

	__asm__ volatile("movq %[value], %%xmm5\n\t"
			 "xorl %%eax, %%eax\n\t"
			 "movq %%rax, %[value]\n\t"
			 "movl $1, %[spinning]\n"
			 "1:\tpause\n\t"
			 "cmpl $0, %[released]\n\t"
			 "je 1b\n\t"
			 "movq %%xmm5, %[value]"
			 : [value] "+r"(value), [spinning] "=m"(spinning) : [released] "m"(released)
			 : "rax", "xmm5", "memory", "cc");
	spun = value;
	return unused;
}

static void handle(int signal)
{
	(void)signal;
}

static char *code;

/* A jump there, in code that the program makes near its own, without the address. */
NEVER_INLINED static void make_code(function *address)
{
	char *at = (char *)(uintptr_t)version + (64 << 20);
	int32_t distance;

	code = mmap((void *)((uintptr_t)at & -(uintptr_t)PAGE), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED || (char *)(uintptr_t)address - code != (int32_t)((char *)(uintptr_t)address - code))
		exit(1);
	distance = (int32_t)((char *)(uintptr_t)address - (code + 5));
	code[0] = (char)0xe9;
	memcpy(code + 1, &distance, sizeof(distance));
}

/* With the pointer in a register, or on the stack, that nobody needs any more when it has returned. */
NEVER_INLINED static void keep_away(const char *place)
{
	function *address = get_function();
	union sigval value = { .sival_ptr = (void *)address };

	if (!strcmp(place, "handler")) {
		signal(SIGUSR1, (void (*)(int))(void *)address);
	} else if (!strcmp(place, "atexit")) {
		atexit((void (*)(void))(void *)address);
	} else if (!strcmp(place, "code")) {
		make_code(address);
	} else if (!strcmp(place, "timer")) {
		struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value = value };

		timer_create(CLOCK_MONOTONIC, &event, &timer);
	} else if (!strcmp(place, "epoll")) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = (void *)address };
		int pipes[2];

		epoll = epoll_create1(0);
		if (pipe(pipes) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &event) < 0)
			exit(1);
	} else if (!strcmp(place, "pending")) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN);
		sigprocmask(SIG_BLOCK, &set, NULL);
		sigqueue(getpid(), SIGRTMIN, value);
	} else {
		pthread_create(&spinner, NULL, spin, NULL);
		while (!spinning)
			;
	}
}

NEVER_INLINED static void store(char *to, uint64_t tag)
{
	uint64_t word = (uint64_t)(uintptr_t)get_function() | tag;

	memcpy(to, &word, sizeof(word));
}

NEVER_INLINED static void store_text(char *to)
{
	const char *text = describe();

	memcpy(to, &text, sizeof(text));
}

NEVER_INLINED static void keep(const char *place)
{
	if (!strcmp(place, "heap"))
		store(heap, 0);
	else if (!strcmp(place, "text"))
		store_text(heap);
	else if (!strcmp(place, "unaligned"))
		store(heap + 13, 0);
	else if (!strcmp(place, "pages"))	/* half of it in one page, half in the next */
		store(mapped + PAGE - 3, 0);
	else if (!strcmp(place, "reads"))	/* in what is read first, and in what is read then */
		store(mapped + READ - 3, 0);
	else if (!strcmp(place, "tagged"))
		store(heap, TAG);
	else if (!strcmp(place, "shared") || !strcmp(place, "dropped") || !strcmp(place, "hidden"))
		store(mapped, 0);
	else
		keep_away(place);
	if (!strcmp(place, "dropped"))
		madvise(mapped, 2 * PAGE, MADV_DONTNEED);
	if (!strcmp(place, "hidden"))
		mprotect(mapped, PAGE, PROT_NONE);
}

/* What the calls before have left below the stack pointer, the next ones would have in their frames. */
NEVER_INLINED static void clean_stack(void)
{
	volatile char frame[16384];

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = 0;
}

/* Fresh memory, of the kind that is to hold it. */
static void prepare(const char *place)
{
	int flags = !strcmp(place, "shared") || !strcmp(place, "dropped") ? MAP_SHARED : MAP_PRIVATE;

	mapped_size = !strcmp(place, "reads") ? 2 * READ : 2 * PAGE;
	/* With a page before and behind that keep it from being one mapping with others. */
	mapped = (char *)mmap(NULL, mapped_size + 2 * PAGE, PROT_NONE, flags | MAP_ANONYMOUS, -1, 0) + PAGE;
	mprotect(mapped, mapped_size, PROT_READ | PROT_WRITE);
	if (!strcmp(place, "reads"))
		memset(mapped, 1, mapped_size);
	heap = calloc(1, 64);
}

static uint64_t load(const char *from)
{
	uint64_t word;

	memcpy(&word, from, sizeof(word));
	return word & ~TAG;
}

static const char *find_kept(void)
{
	if (!strcmp(where, "shared") || !strcmp(where, "dropped") || !strcmp(where, "hidden"))
		return mapped;
	if (!strcmp(where, "pages"))
		return mapped + PAGE - 3;
	if (!strcmp(where, "reads"))
		return mapped + READ - 3;
	return !strcmp(where, "unaligned") ? heap + 13 : heap;
}

NEVER_INLINED static void use(void)
{
	struct sigaction action;

	if (!strcmp(where, "code")) {
		printf("%d\n", ((function *)(uintptr_t)code)(1));
		return;
	}
	if (!strcmp(where, "text")) {
		puts((const char *)(uintptr_t)load(heap));
		return;
	}
	if (!strcmp(where, "hidden"))
		mprotect(mapped, PAGE, PROT_READ | PROT_WRITE);
	if (!strcmp(where, "register")) {
		released = 1;
		pthread_join(spinner, NULL);
		memcpy(heap, &spun, sizeof(spun));
		spun = 0;
	}
	if (!strcmp(where, "handler")) {
		sigaction(SIGUSR1, NULL, &action);
		memcpy(heap, &action.sa_handler, sizeof(action.sa_handler));
		memset(&action, 0, sizeof(action));
	}
	printf("%d\n", ((function *)(uintptr_t)load(find_kept()))(1));
}

static void drop(void)
{
	memset(heap, 0, 64);
	mprotect(mapped, PAGE, PROT_READ | PROT_WRITE);
	memset(mapped, 0, mapped_size);
	signal(SIGUSR1, handle);
	if (code)
		memset(code, 0, 5);	/* the memory stays, and is executable */
	if (!strcmp(where, "timer"))
		timer_delete(timer);
	if (!strcmp(where, "epoll"))
		close(epoll);
	if (!strcmp(where, "pending")) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN);
		sigwaitinfo(&set, NULL);
	}
}

int main(void)
{
	static char line[64];

	signal(SIGUSR1, handle);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "ask")) {
			printf("%d\n", version());
		} else if (!strcmp(line, "use")) {
			use();
			clean_stack();
		} else if (!strcmp(line, "drop")) {
			drop();
			clean_stack();
			puts("dropped");
		} else {
			where = strdup(line + 5);
			prepare(where);
			keep(where);
			clean_stack();
			puts("kept");
		}
		fflush(stdout);
	}
	_exit(0);	/* without what "atexit" has kept */
}
