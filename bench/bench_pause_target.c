/*
 * bench_pause_target.c: what bench_pause stops. Built twice, the second time with -DVERSION=2.
 *
 *	bench_pause_target FD THREADS blocked|watched|busy
 *
 * FD is memory that it shares with bench_pause (bench_pause.h). All threads wait in system calls (blocked); or all but one, which
 * reads the clock (watched); or all read the clock (busy), as long as they are told to. The gap is the longest time in which no
 * thread that reads the clock has done so: all of them stood still, or the machine gave its processors to others.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench_pause.h"

#ifndef VERSION
#define VERSION 1
#endif

int version(int number);

/* What the patch changes. No thread is in it but for an instant after each change. */
__attribute__((noinline)) int version(int number)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", number * VERSION);
	return atoi(text);
}

static struct bench_pause *shared;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

static void *run_blocked(void *unused)
{
	pthread_mutex_lock(&mutex);
	shared->ready++;
	while (1)
		pthread_cond_wait(&never, &mutex);
	return unused;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void read_clock(void)
{
	uint64_t time = now(), last = shared->last, longest = shared->gap;

	/* One that was put off the processor between the two has a time that is older than the last: it tells nothing. */
	while (last < time && !atomic_compare_exchange_weak(&shared->last, &last, time))
		;
	while (last && time > last && time - last > longest)
		if (atomic_compare_exchange_weak(&shared->gap, &longest, time - last))
			break;
}

/* Threads that would spin all the time would take the machine from everybody else. */
static void *run_busy(void *first)
{
	const struct timespec nap = { 0, 1000000 };

	shared->ready++;
	while (1) {
		if (shared->spin)
			read_clock();
		else
			nanosleep(&nap, NULL);
		if (first && shared->asked) {
			shared->version = version(1);
			shared->asked = 0;
		}
	}
	return NULL;
}

/* The first thread waits for what it is asked. */
static void run_first_blocked(void)
{
	char byte;

	shared->ready++;
	while (read(STDIN_FILENO, &byte, 1) == 1) {
		shared->version = version(1);
		shared->asked = 0;
	}
}

int main(int argc, char **argv)
{
	pthread_attr_t attributes;
	int count;
	bool busy;

	if (argc != 4)
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	if (shared == MAP_FAILED)
		return 2;
	count = atoi(argv[2]);
	busy = !strcmp(argv[3], "busy");
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (int i = 1; i < count; i++) {
		bool spins = busy || (i == 1 && !strcmp(argv[3], "watched"));
		pthread_t thread;

		if (pthread_create(&thread, &attributes, spins ? run_busy : run_blocked, NULL))
			return 2;
	}
	if (busy)
		run_busy(shared);
	else
		run_first_blocked();
	return 0;
}
