/*
 * throw.cc: threads stopped in the middle of C++ exceptions. Each is named after where it waits.
 *
 * Prints what many.c prints: for each "TID PC PC..." without the two innermost frames, then "ready".
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <exception>
#include <execinfo.h>
#include <pthread.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#define FRAME __attribute__((noinline, noclone))

static const int frames_max = 64;

struct stack {
	const char *name;
	void (*run)();
	int tid, count;
	void *pc[frames_max];
};

static int nothing[2];		/* a pipe that nobody writes to */
static int arrived;
static thread_local struct stack *own;
static thread_local _Unwind_Action wait_in;	/* in the personality routine, in this phase */

FRAME static void wait_here()
{
	char byte;

	own->count = backtrace(own->pc, frames_max);
	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
	if (read(nothing[0], &byte, 1) != 0)
		abort();
}

/* This program's own definition comes before libstdc++'s: the unwinder calls it for each frame, in both phases. */
extern "C" _Unwind_Reason_Code __gxx_personality_v0(int version, _Unwind_Action actions, uint64_t exception_class,
						    struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
	typedef _Unwind_Reason_Code routine(int, _Unwind_Action, uint64_t, struct _Unwind_Exception *, struct _Unwind_Context *);
	static routine *next = reinterpret_cast<routine *>(dlsym(RTLD_NEXT, "__gxx_personality_v0"));

	if (actions & wait_in)
		wait_here();
	return next(version, actions, exception_class, exception, context);
}

struct waits_at_end {
	~waits_at_end() { wait_here(); }
};

struct does_nothing {
	FRAME ~does_nothing() { asm volatile(""); }
};

FRAME static void throw_deep(int depth)
{
	does_nothing guard;

	if (!depth)
		throw std::runtime_error("thrown");
	throw_deep(depth - 1);
	asm volatile("");
}

FRAME static void catch_it()
{
	try {
		throw_deep(5);
	} catch (const std::exception &caught) {
		asm volatile("" : : "r"(&caught));
	}
}

/* Phase 1: the unwinder searches a handler, all frames are still there. */
static void run_search()
{
	wait_in = _UA_SEARCH_PHASE;
	catch_it();
}

/* Phase 2: the unwinder runs clean-ups; some frames are gone. */
static void run_cleanup()
{
	wait_in = _UA_CLEANUP_PHASE;
	catch_it();
}

FRAME static void throw_past_waiting()
{
	waits_at_end guard;

	throw_deep(3);
}

/* In a destructor that a landing pad calls. */
static void run_destructor()
{
	try {
		throw_past_waiting();
	} catch (const std::exception &) {
		abort();
	}
}

static void run_catch()
{
	try {
		throw_deep(5);
	} catch (const std::exception &caught) {
		wait_here();
		asm volatile("" : : "r"(&caught));
	}
}

/* Another exception while one is being handled. */
static void run_nested()
{
	try {
		throw_deep(2);
	} catch (const std::exception &) {
		try {
			throw_deep(3);
		} catch (const std::exception &caught) {
			wait_here();
			asm volatile("" : : "r"(&caught));
		}
	}
}

FRAME static void throw_nowhere() noexcept
{
	throw_deep(2);
}

static void run_terminate()
{
	throw_nowhere();
	asm volatile("");
}

/* A forced unwinding: pthread_exit() runs destructors. */
FRAME static void exit_past_waiting()
{
	waits_at_end guard;

	pthread_exit(nullptr);
}

static void run_forced()
{
	exit_past_waiting();
	asm volatile("");
}

static struct stack stacks[] = {
	{ "search", run_search, 0, 0, {} }, { "cleanup", run_cleanup, 0, 0, {} }, { "destructor", run_destructor, 0, 0, {} },
	{ "catch", run_catch, 0, 0, {} }, { "nested", run_nested, 0, 0, {} }, { "terminate", run_terminate, 0, 0, {} },
	{ "forced", run_forced, 0, 0, {} },
};
static const int count = sizeof(stacks) / sizeof(stacks[0]);

static void *run(void *stack)
{
	own = static_cast<struct stack *>(stack);
	own->tid = static_cast<int>(syscall(SYS_gettid));
	prctl(PR_SET_NAME, own->name);
	own->run();
	abort();
}

int main()
{
	void *unused[1];

	backtrace(unused, 1);	/* loads libgcc */
	std::set_terminate(wait_here);
	if (pipe(nothing))
		return 2;
	for (int i = 0; i < count; i++) {
		pthread_t thread;

		if (pthread_create(&thread, nullptr, run, &stacks[i]))
			return 2;
	}
	while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < count)
		usleep(1000);
	for (int i = 0; i < count; i++) {
		printf("%d", stacks[i].tid);
		for (int j = 1; j < stacks[i].count; j++)
			printf(" %p", stacks[i].pc[j]);
		putchar('\n');
	}
	puts("ready");
	fflush(stdout);
	while (1)
		pause();
}
