#include "base/workers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"

#define STACK_SIZE ((size_t)256 << 10)

struct worker {
	struct workers *all;
	pthread_t thread;
	unsigned int number;
};

struct workers {
	pthread_mutex_t lock;		/* for all below */
	pthread_cond_t begun, done;
	unsigned int count;
	struct worker worker[WORKERS_MAX];	/* the first is the caller */
	void (*work)(void *context, unsigned int worker);	/* NULL: there is none, or all of it is shared out */
	void *context;
	uint64_t run;			/* how often there was some */
	unsigned int busy;		/* threads that are at it, without the caller */
	bool ending;
};

static void *serve(void *argument)
{
	struct worker *worker = argument;
	struct workers *workers = worker->all;
	void (*work)(void *context, unsigned int worker);
	uint64_t run = 0;
	void *context;

	pthread_mutex_lock(&workers->lock);
	while (!workers->ending) {
		if (!workers->work || workers->run == run) {
			pthread_cond_wait(&workers->begun, &workers->lock);
			continue;
		}
		run = workers->run;
		work = workers->work;
		context = workers->context;
		workers->busy++;
		pthread_mutex_unlock(&workers->lock);
		work(context, worker->number);
		pthread_mutex_lock(&workers->lock);
		if (--workers->busy == 0)
			pthread_cond_signal(&workers->done);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

static unsigned int count_processors(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return count > (int)WORKERS_MAX ? WORKERS_MAX : (unsigned int)count;
}

/* At the priority of who asks for the work while a process stands still (process/threads.c), or at any. */
static bool start(struct worker *worker)
{
	const struct sched_param lowest = { .sched_priority = sched_get_priority_min(SCHED_FIFO) };
	pthread_attr_t attributes;
	bool started;

	if (pthread_attr_init(&attributes))
		return false;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
	pthread_attr_setschedparam(&attributes, &lowest);
	pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
	started = !pthread_create(&worker->thread, &attributes, serve, worker);
	pthread_attr_setinheritsched(&attributes, PTHREAD_INHERIT_SCHED);
	if (!started)
		started = !pthread_create(&worker->thread, &attributes, serve, worker);
	pthread_attr_destroy(&attributes);
	return started;
}

struct workers *workers_start(void)
{
	struct workers *workers = memory_zeroed(1, sizeof(*workers));
	unsigned int wanted = count_processors();
	sigset_t all, before;

	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->begun, NULL);
	pthread_cond_init(&workers->done, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (workers->count = 1; workers->count < wanted; workers->count++) {
		struct worker *worker = &workers->worker[workers->count];

		worker->all = workers;
		worker->number = workers->count;
		if (!start(worker))
			break;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return workers;
}

void workers_stop(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->ending = true;
	pthread_cond_broadcast(&workers->begun);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned int i = 1; i < workers->count; i++)
		pthread_join(workers->worker[i].thread, NULL);
	pthread_cond_destroy(&workers->begun);
	pthread_cond_destroy(&workers->done);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

unsigned int workers_count(const struct workers *workers)
{
	return workers->count;
}

void workers_run(struct workers *workers, void (*work)(void *context, unsigned int worker), void *context)
{
	pthread_mutex_lock(&workers->lock);
	workers->work = work;
	workers->context = context;
	workers->run++;
	pthread_cond_broadcast(&workers->begun);
	pthread_mutex_unlock(&workers->lock);
	work(context, 0);
	pthread_mutex_lock(&workers->lock);
	workers->work = NULL;	/* who has not begun by now does not */
	while (workers->busy)
		pthread_cond_wait(&workers->done, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
}
