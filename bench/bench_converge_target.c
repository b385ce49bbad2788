/*
 * bench_converge_target.c: what bench_converge.sh patches. Built twice, the second time with -DVERSION=2.
 *
 *	bench_converge_target sleeping|working SHARE
 *
 * 64 threads spend SHARE percent of their time inside of the function that the patch changes, asleep or at work, and the rest
 * outside of it. A line of standard input is answered with "INSIDE OLD NEW": the percentage of threads found inside, and the calls of
 * either version, all in the last tenth of a second.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#ifndef VERSION
#define VERSION 1
#endif

#define THREADS 64
#define SLEEPING_PERIOD 100000000.0	/* nanoseconds from one call to the next */
#define WORKING_PERIOD 1000000.0	/* of the processor's time */
#define SAMPLES 100

static bool working;
static double share;
static double work_speed;	/* loops per nanosecond */
static atomic_int inside;
static atomic_long calls[3];

static void work(long loops)
{
	for (volatile long i = 0; i < loops; i++)
		;
}

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void spend(double nanoseconds)
{
	const struct timespec nap = { (time_t)(nanoseconds / 1e9), (long)nanoseconds % 1000000000 };

	if (working)
		work((long)(nanoseconds * work_speed));
	else
		nanosleep(&nap, NULL);
}

int hold(double nanoseconds);

/* What the patch changes. */
__attribute__((noinline)) int hold(double nanoseconds)
{
	inside++;
	spend(nanoseconds);
	inside--;
	calls[VERSION]++;
	return VERSION;
}

static void *run(void *seed)
{
	unsigned int state = (unsigned int)(long)seed;
	double period = working ? WORKING_PERIOD : SLEEPING_PERIOD;

	while (1) {
		double length = period * (0.5 + rand_r(&state) / (double)RAND_MAX);	/* else they would march in step */

		if (share > 0)
			hold(length * share);
		spend(length * (1 - share));
	}
	return NULL;
}

static void calibrate(void)
{
	double start = now(CLOCK_THREAD_CPUTIME_ID);

	work(20000000);
	work_speed = 20000000 / (now(CLOCK_THREAD_CPUTIME_ID) - start);
}

static void answer(void)
{
	const struct timespec nap = { 0, 100000000 / SAMPLES };
	long before[3] = { 0, calls[1], calls[2] }, sum = 0;

	for (int i = 0; i < SAMPLES; i++) {
		sum += inside;
		nanosleep(&nap, NULL);
	}
	printf("%.2f %ld %ld\n", (double)sum * 100 / SAMPLES / THREADS, calls[1] - before[1], calls[2] - before[2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[16];
	pthread_t thread;

	if (argc != 3)
		return 2;
	working = !strcmp(argv[1], "working");
	share = atof(argv[2]) / 100;
	prctl(PR_SET_TIMERSLACK, 1000);
	calibrate();
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, run, (void *)(i + 1)))
			return 2;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		answer();
	return 0;
}
