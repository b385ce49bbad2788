#include "process/tick.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TICK_SIGNAL SIGRTMIN	/* the first that nobody has a use for */
#define TICK 5000000		/* ns */

static unsigned int started;
static bool on;
static timer_t timer;
static pid_t owner;	/* the process that has made it: one that is forked from it has none */
static struct sigaction action_outside;
static sigset_t mask_outside;

/* Of tick_bounded(): where to go, and how many more ticks there are until then; 0: nowhere. */
static sigjmp_buf outside;
static volatile sig_atomic_t ticks_left;

static void tick(int signal)
{
	(void)signal;
	if (ticks_left && !--ticks_left)
		siglongjmp(outside, 1);
}

/* (One tick may come at once. The mask is not saved: the jump comes from a handler that blocks nothing.) */
bool tick_bounded(long (*call)(pid_t tid), pid_t tid, long *result)
{
	if (sigsetjmp(outside, 0))
		return false;
	ticks_left = 2;
	*result = call(tid);
	ticks_left = 0;
	return true;
}

/* As far as may be: root may without end. */
static bool raise_limit(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_SIGPENDING, &limit) == 0)
		return true;
	if (getrlimit(RLIMIT_SIGPENDING, &limit) < 0)
		return false;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_SIGPENDING, &limit) == 0;
}

/* Each timer counts as a signal that waits, of all that the user may have (man 2 getrlimit, RLIMIT_SIGPENDING). */
static bool make_timer(struct sigevent *event)
{
	return timer_create(CLOCK_MONOTONIC, event, &timer) == 0 || (raise_limit() && timer_create(CLOCK_MONOTONIC, event, &timer) == 0);
}

/* It is kept: who has had one once is never without, in the middle of his work. */
static bool have_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TICK_SIGNAL };

	event._sigev_un._tid = gettid();	/* (glibc 2.36 has no other name for it) */
	if (owner != getpid() && make_timer(&event))
		owner = getpid();
	return owner == getpid();
}

void tick_start(void)
{
	const struct itimerspec period = { { 0, TICK }, { 0, TICK } };
	/* Without SA_RESTART, or the call would be entered again. */
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_NODEFER };
	sigset_t set;

	if (started++ || !have_timer())
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
	const struct itimerspec never = { 0 };

	if (--started || !on)
		return;
	on = false;
	(void)!timer_settime(timer, 0, &never, NULL);	/* (a tick that is due by now has come before this returns, and found the handler) */
	sigprocmask(SIG_SETMASK, &mask_outside, NULL);
	sigaction(TICK_SIGNAL, &action_outside, NULL);
}

bool tick_is_on(void)
{
	return on;
}
