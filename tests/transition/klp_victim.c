/*
 * klp_victim.c: for selftests.sh, the program in which kernel livepatch's own selftests take place. p(), q(), r() and hot() are
 * patched, and s(), which waits in its cold part; P, Q, R, S and HOT are their versions, 1 unless given.
 *
 * Each line of standard input is answered with one line:
 *
 *	call		the versions of p, q and r that run, called by name
 *	pointers	the same for p, through a constant table, a variable, an object on the heap and a library's callback; then what
 *			p itself says of pointers to it (1: all compare equal)
 *	enter, leave	a thread waits in p; it goes on, and answers what it ran
 *	chill, leave	the same in a part of s() that the compiler has put elsewhere
 *	carry, drop	a thread waits in p; when it goes on it loads the library with a coroutine, whose body goes into p, too, and yields
 *			there; then it leaves p. resume: it resumes the coroutine, which calls q from p: the versions of both
 *	hammer N	N threads call hot() in a tight loop from now on
 *	hot		the versions of hot() that the last calls of these threads ran: lowest and highest, and 1 when all made calls since
 *	open FILE	loads a library; work: the version of work() in it; close: unloads it
 *	linger, leave	as enter, in linger() of the library
 */
#include <dlfcn.h>
#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef P
#define P 1
#endif
#ifndef Q
#define Q 1
#endif
#ifndef R
#define R 1
#endif
#ifndef S
#define S 1
#endif
#ifndef HOT
#define HOT 1
#endif

#define PATCHED __attribute__((noinline, noclone))
#define KEPT __attribute__((noinline, noclone, noipa))

#define THREADS_MAX 64

typedef int (*function)(int);

int p(int what);
int q(void);
int r(void);
int s(int what);
int hot(int number);

enum { RUN, WAIT, COMPARE, CARRY, YIELD };

static const function constant[] = { p };
static function variable;

struct object {
	function callback;
};
static struct object *object;

static atomic_int waiting, told;

static void start_coroutine(void);
static void yield_from_coroutine(void);
static atomic_int told_to_resume, coroutine_ran;

PATCHED int p(int what)
{
	if (what == CARRY) {
		waiting = 1;
		while (!told)
			usleep(1000);
		start_coroutine();
	}
	if (what == YIELD) {
		yield_from_coroutine();
		coroutine_ran = P * 10 + q();
	}
	if (what == WAIT) {
		waiting = 1;
		while (!told)
			usleep(1000);
	}
	if (what == COMPARE)
		return constant[0] == p && variable == p && object->callback == p;
	return P;
}

PATCHED int q(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", Q);
	return atoi(text);
}

PATCHED int r(void)
{
	char text[16];

	snprintf(text, sizeof(text), " %d", R);
	return atoi(text);
}

/* What leads to a call of a cold function is cold itself. */
__attribute__((cold, noinline, noclone, noipa)) static void wait_coldly(void)
{
	waiting = 1;
	while (!told)
		usleep(1000);
}

PATCHED int s(int what)
{
	if (what == WAIT)
		wait_coldly();
	return S;
}

/* Larger than its entry, so that there is something to be inside of. */
PATCHED int hot(int number)
{
	for (volatile int i = 0; i < 20; i++)
		number += i;
	return number ? HOT : 0;
}

static struct hammer {
	pthread_t thread;
	atomic_int version;
	atomic_long calls;
} hammers[THREADS_MAX];
static int hammering;

static void *run_hammer(void *argument)
{
	struct hammer *hammer = argument;

	while (1) {
		hammer->version = hot(1);
		hammer->calls++;
	}
	return NULL;
}

static void start_hammers(int count)
{
	for (hammering = 0; hammering < count && hammering < THREADS_MAX; hammering++)
		if (pthread_create(&hammers[hammering].thread, NULL, run_hammer, &hammers[hammering]))
			exit(2);
}

KEPT static void tell_hot(void)
{
	long before[THREADS_MAX];
	int lowest = 99, highest = 0, all = 1;

	for (int i = 0; i < hammering; i++)
		before[i] = hammers[i].calls;
	/* Each gets its turn, on a machine that is busy, too. */
	for (int wait = 0; wait < 100; wait++) {
		usleep(20000);
		all = 1;
		for (int i = 0; i < hammering; i++)
			all &= hammers[i].calls > before[i] + 1;
		if (all)
			break;
	}
	for (int i = 0; i < hammering; i++) {
		int version = hammers[i].version;

		lowest = version < lowest ? version : lowest;
		highest = version > highest ? version : highest;
	}
	printf("%d %d %d\n", lowest, highest, all);
}

static int called_back;

static int compare(const void *one, const void *other)
{
	called_back = object->callback(RUN);
	return *(const int *)one - *(const int *)other;
}

KEPT static void tell_pointers(void)
{
	int numbers[] = { 1, 2 };
	size_t count = 2;

	called_back = 0;
	lfind(&numbers[1], numbers, &count, sizeof(*numbers), compare);
	printf("%d %d %d %d %d\n", constant[0](RUN), variable(RUN), object->callback(RUN), called_back, p(COMPARE));
}

static pthread_t waiter;
static int ran;

static void *run_waiter(void *unused)
{
	ran = p(WAIT);
	return unused;
}

static void *run_cold_waiter(void *unused)
{
	ran = s(WAIT);
	return unused;
}

static void *library;
static const char *coroutine_library;

KEPT static void wait_in_library(void)
{
	waiting = 1;
	while (!told)
		usleep(1000);
}

static void *run_library_waiter(void *unused)
{
	int (*linger)(void (*)(void)) = (int (*)(void (*)(void)))dlsym(library, "linger");

	ran = linger(wait_in_library);
	return unused;
}

KEPT static void call(const char *name)
{
	((void (*)(void))dlsym(library, name))();
}

static void run_coroutine(void)
{
	p(YIELD);
}

KEPT static void start_coroutine(void)
{
	library = dlopen(coroutine_library, RTLD_NOW);
	((void (*)(void (*)(void)))dlsym(library, "coroutine_start"))(run_coroutine);
}

KEPT static void yield_from_coroutine(void)
{
	call("coroutine_yield");
}

static void *run_carrier(void *unused)
{
	p(CARRY);
	waiting = 0;
	while (!told_to_resume)
		usleep(1000);
	call("coroutine_resume");
	return unused;
}

KEPT static void resume(void)
{
	told_to_resume = 1;
	while (!coroutine_ran)
		usleep(1000);
	printf("%d %d\n", coroutine_ran / 10, coroutine_ran % 10);
}

KEPT static void leave_carrying(void)
{
	told = 1;
	while (waiting)
		usleep(1000);
	puts("ok");
}

KEPT static void enter(void *(*run)(void *))
{
	waiting = told = 0;
	if (pthread_create(&waiter, NULL, run, NULL))
		exit(2);
	while (!waiting)
		usleep(1000);
	puts("ok");
}

KEPT static void leave(void)
{
	told = 1;
	pthread_join(waiter, NULL);
	printf("%d\n", ran);
}

KEPT static void load(const char *file)
{
	library = dlopen(file, RTLD_NOW);
	puts(library ? "ok" : dlerror());
}

KEPT static void unload(void)
{
	int failed = dlclose(library);

	library = NULL;
	puts(failed ? dlerror() : "ok");
}

KEPT static void work(void)
{
	int (*found)(void) = library ? (int (*)(void))dlsym(library, "work") : NULL;

	printf("%d\n", found ? found() : 0);
}

int main(int argc, char **argv)
{
	char line[512];

	coroutine_library = argc > 1 ? argv[1] : NULL;
	variable = p;
	object = malloc(sizeof(*object));
	if (!object)
		return 2;
	object->callback = p;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "call"))
			printf("%d %d %d\n", p(RUN), q(), r());
		else if (!strcmp(line, "pointers"))
			tell_pointers();
		else if (!strcmp(line, "enter"))
			enter(run_waiter);
		else if (!strcmp(line, "chill"))
			enter(run_cold_waiter);
		else if (!strcmp(line, "linger"))
			enter(run_library_waiter);
		else if (!strcmp(line, "carry"))
			enter(run_carrier);
		else if (!strcmp(line, "drop"))
			leave_carrying();
		else if (!strcmp(line, "resume"))
			resume();
		else if (!strcmp(line, "leave"))
			leave();
		else if (!strncmp(line, "hammer ", 7))
			start_hammers(atoi(line + 7)), puts("ok");
		else if (!strcmp(line, "hot"))
			tell_hot();
		else if (!strncmp(line, "open ", 5))
			load(line + 5);
		else if (!strcmp(line, "work"))
			work();
		else if (!strcmp(line, "close"))
			unload();
		else
			puts("?");
		fflush(stdout);
	}
	return 0;
}
