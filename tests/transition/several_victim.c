/*
 * several_victim.c: a program of three images that change together. -DPART=1 makes the library libone, 2 the library libtwo, 0 the program;
 * -DVERSION=1 or 2 the build. libtwo is loaded by dlopen(), so that it can be absent, and go.
 *
 *	main -> one_work() in libone -> two_value() in libtwo, main_value() in the program
 *
 * A call of one_work() is in one version as a whole, so what it makes of the three numbers is 10101 or 20202. (Without libtwo, which then counts
 * as 0: 10001 or 20002.) Each line of input is a command, and has one line of output:
 *
 *	ask	what one_work() says, and how many of the workers' calls said anything else than what is allowed
 *	park	a thread goes into one_work(), and waits there
 *	leave	it goes on, and its answer is printed
 *	open, close	load and unload libtwo
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int value_function(void);

int one_work(value_function *two, value_function *own, int wait);
int two_value(void);
int main_value(void);

#if PART == 1

#define REST __attribute__((noipa, used))
static volatile int one_count;
REST static int one_more(int a) { return one_count += a; }
REST static int one_less(int a) { return one_count -= a; }
REST static int one_both(int a) { return one_more(a) - one_less(a + 1); }
REST static int one_twice(int a) { return one_both(a) * one_both(a + 1); }

/* `wait`: a descriptor that a byte is read from first, or -1. */
__attribute__((noipa)) int one_work(value_function *two, value_function *own, int wait)
{
	char byte;

	if (wait >= 0 && read(wait, &byte, 1) != 1)
		return -1;
	one_more(VERSION);
	return VERSION * 10000 + (two ? two() : 0) * 100 + own();
}

#elif PART == 2

#define REST __attribute__((noipa, used))
static volatile int two_count;
REST static int two_more(int a) { return two_count += a; }
REST static int two_less(int a) { return two_count -= a; }
REST static int two_both(int a) { return two_more(a) - two_less(a + 1); }
REST static int two_twice(int a) { return two_both(a) * two_both(a + 1); }

/* The program's own unwinder gets out of here: through libone to where the thread began. */
__attribute__((noipa)) int two_value(void)
{
	void *frames[16];

	two_more(1);
	return backtrace(frames, 16) >= 4 ? VERSION : 0;
}

#else

static void *library;
static _Atomic(value_function *) two;
static atomic_int wrong, allowed[2] = { 10101, 20202 };
static atomic_bool pause_workers;
static atomic_int paused;
static int gate[2];
static pthread_t parked;
static int count;

__attribute__((noipa)) int main_value(void)
{
	count++;
	return VERSION;
}

static void *work(void *nothing)
{
	(void)nothing;
	for (;;) {
		int answer;

		if (pause_workers) {
			paused++;
			while (pause_workers)
				usleep(1000);
			paused--;
		}
		answer = one_work(two, main_value, -1);
		if (answer != allowed[0] && answer != allowed[1])
			wrong++;
		usleep(100);
	}
	return NULL;
}

static void *park(void *nothing)
{
	(void)nothing;
	return (void *)(long)one_work(two, main_value, gate[0]);
}

/* Without anybody in it. */
static void load(bool load, int workers)
{
	pause_workers = true;
	while (paused != workers)
		usleep(1000);
	if (load) {
		library = dlopen("libtwo.so", RTLD_NOW);
		if (!library)
			exit(3);
		two = (value_function *)dlsym(library, "two_value");
	} else {
		two = NULL;
		if (library)
			dlclose(library);
	}
	allowed[0] = load ? 10101 : 10001;
	allowed[1] = load ? 20202 : 20002;
	pause_workers = false;
	while (paused)
		usleep(1000);
}

int main(int argc, char **argv)
{
	enum { WORKERS = 4 };
	char line[64];
	void *frame;

	backtrace(&frame, 1);	/* the first time it loads a library */
	if (pipe(gate))
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < WORKERS; i++) {
		pthread_t thread;

		pthread_create(&thread, NULL, work, NULL);
	}
	load(argc < 2 || strcmp(argv[1], "without") != 0, WORKERS);
	wrong = 0;
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		void *answer = NULL;

		if (!strcmp(line, "ask\n")) {
			printf("%d %d\n", one_work(two, main_value, -1), wrong);
			continue;
		}
		if (!strcmp(line, "park\n")) {
			pthread_create(&parked, NULL, park, NULL);
			usleep(100000);
		} else if (!strcmp(line, "leave\n")) {
			if (write(gate[1], "x", 1) != 1)
				return 2;
			pthread_join(parked, &answer);
		} else if (!strcmp(line, "open\n") || !strcmp(line, "close\n")) {
			load(line[0] == 'o', WORKERS);
		}
		printf("%ld\n", (long)answer);
	}
	return 0;
}

#endif
