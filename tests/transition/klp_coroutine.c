/* klp_coroutine.c: for selftests.sh, a library with one coroutine, which a program may load at any time. */
#include <stdlib.h>
#include <ucontext.h>

void coroutine_start(void (*body)(void));
void coroutine_yield(void);
void coroutine_resume(void);

static ucontext_t caller, coroutine;
static char stack[65536];

/* Returns when the body yields or ends. */
void coroutine_start(void (*body)(void))
{
	if (getcontext(&coroutine) < 0)
		abort();
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = sizeof(stack);
	coroutine.uc_link = &caller;
	makecontext(&coroutine, body, 0);
	coroutine_resume();
}

void coroutine_yield(void)
{
	if (swapcontext(&coroutine, &caller) < 0)
		abort();
}

void coroutine_resume(void)
{
	if (swapcontext(&caller, &coroutine) < 0)
		abort();
}
