#include "process/tick.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#define TICK_SIGNAL SIGRTMIN	/* the first that nobody has a use for */
#define TICK 5000000		/* ns */

static unsigned int started;
static bool on;
static timer_t timer;
static struct sigaction action_outside;
static sigset_t mask_outside;

static void ignore(int signal)
{
	(void)signal;
}

void tick_start(void)
{
	const struct itimerspec period = { { 0, TICK }, { 0, TICK } };
	struct sigaction action = { .sa_handler = ignore };	/* without SA_RESTART, or the call would be entered again */
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TICK_SIGNAL };
	sigset_t set;

	if (started++)
		return;
	event._sigev_un._tid = gettid();	/* (glibc 2.36 has no other name for it) */
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return;
	sigaction(TICK_SIGNAL, &action, &action_outside);
	sigemptyset(&set);
	sigaddset(&set, TICK_SIGNAL);
	sigprocmask(SIG_UNBLOCK, &set, &mask_outside);
	/* A tick that comes before the call blocks is lost: the next one isn't. */
	on = timer_settime(timer, 0, &period, NULL) == 0;
}

void tick_stop(void)
{
	if (--started || !on)
		return;
	on = false;
	timer_delete(timer);	/* (a tick that is due by now has come before this returns, and found the handler) */
	sigprocmask(SIG_SETMASK, &mask_outside, NULL);
	sigaction(TICK_SIGNAL, &action_outside, NULL);
}

bool tick_is_on(void)
{
	return on;
}
