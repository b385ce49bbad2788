/*
 * breakpoint_victim.h: a victim whose thread is inside nested calls from one known place, and what it takes to watch it.
 *
 * Victims are forked children, which leave the calls in one of several ways when they are told to.
 */
#ifndef STENT_TESTS_BREAKPOINT_VICTIM_H
#define STENT_TESTS_BREAKPOINT_VICTIM_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/breakpoint.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define DEPTH 5

/* Shared with the victims. */
static struct board {
	uint64_t scratch[TRAPS_SCRATCH / 8];	/* for traps_ignore() */
	volatile uint64_t returned;		/* how often the code behind the call ran */
	volatile uint64_t cfa;			/* of the outermost frame */
	volatile int tid;			/* the thread that is to be watched */
	volatile int inside, release, stop;
	volatile int handled, traps;		/* signals */
	volatile int passed;			/* as the watcher that is to be killed has counted */
	volatile int disposition;		/* of SIGTRAP, at the end: 0 is the default */
} *board;

/*
 * Call function(argument) on a known stack from a known place, and count the return at once:
 * uint64_t *returned, function, argument, uint64_t *cfa (may be NULL)
 */
void call_from_here(volatile uint64_t *returned, void (*function)(long), long argument, volatile uint64_t *cfa);
extern const uint8_t behind_the_call[];

__asm__(".pushsection .text\n"
	".type call_from_here, @function\n"
	"call_from_here:\n"
	"	push %rbx\n"
	"	mov %rdi, %rbx\n"
	"	test %rcx, %rcx\n"
	"	jz 1f\n"
	"	mov %rsp, (%rcx)\n"
	"1:	mov %rdx, %rdi\n"
	"	call *%rsi\n"
	"behind_the_call:\n"
	"	incq (%rbx)\n"
	"	pop %rbx\n"
	"	ret\n"
	".size call_from_here, . - call_from_here\n"
	".popsection\n");

static uint64_t exit_address(void)
{
	return (uint64_t)(uintptr_t)behind_the_call;
}

enum act { RETURN, JUMP, EXIT_THREAD, EXEC, BLOCK, FORK };
static enum act act;
static jmp_buf past;

static void nothing(long argument)
{
	(void)argument;
}

/* A child that runs through the address; its wait status goes to the board. */
static void run_child(void)
{
	volatile uint64_t returned = 0;
	pid_t pid = fork();
	int status = -1;

	for (int i = 0; pid == 0 && i < 1000; i++)
		call_from_here(&returned, nothing, 0, NULL);
	if (pid == 0)
		_exit(returned != 1000);
	waitpid(pid, &status, 0);
	board->handled = status ? -1 : 1;
}

static void wait_inside(void)
{
	sigset_t trap;

	board->inside = 1;
	while (!board->release)
		;
	board->release = 0;
	switch (act) {
	case RETURN:
		break;
	case JUMP:
		board->inside = 0;
		longjmp(past, 1);
	case EXIT_THREAD:
		syscall(SYS_exit, 0);
		break;
	case EXEC:
		execl("/bin/sh", "sh", "-c", "echo alive", NULL);
		break;
	case BLOCK:
		sigemptyset(&trap);
		sigaddset(&trap, SIGTRAP);
		pthread_sigmask(SIG_BLOCK, &trap, NULL);
		break;
	case FORK:
		run_child();
		break;
	}
	board->inside = 0;
}

static void recurse(long depth)
{
	if (depth)
		call_from_here(&board->returned, recurse, depth - 1, NULL);
	else
		wait_inside();
}

static void count_signal(int signal)
{
	if (signal == SIGTRAP)
		board->traps++;
	else
		board->handled++;
}

static void *call_until_stop(void *context)
{
	(void)context;
	board->tid = (int)syscall(SYS_gettid);
	while (!board->stop) {
		if (act == JUMP && setjmp(past))
			usleep(60000);	/* long enough to see that nothing stopped it */
		call_from_here(&board->returned, recurse, DEPTH, &board->cfa);
		if (act == BLOCK) {
			while (!board->stop && !board->release)
				;
			board->release = 0;

			sigset_t trap;

			sigemptyset(&trap);
			sigaddset(&trap, SIGTRAP);
			pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
			board->inside = 2;
			while (!board->stop)
				;
		}
	}
	return NULL;
}

/* `threaded`: a thread of its own is the one that is watched, and the first thread runs through the address all the time. */
static _Noreturn void run_victim(bool threaded)
{
	struct sigaction action = { .sa_handler = count_signal };
	volatile uint64_t returned = 0;
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGUSR1, &action, NULL);
	if (threaded && pthread_create(&thread, NULL, call_until_stop, NULL))
		_exit(2);
	if (!threaded)
		call_until_stop(NULL);
	while (!board->stop)
		call_from_here(&returned, nothing, 0, NULL);
	sigaction(SIGTRAP, NULL, &action);
	board->disposition = (int)(intptr_t)action.sa_handler;
	_exit(0);
}

static pid_t start_victim(enum act what, bool threaded)
{
	pid_t pid;

	memset(board, 0, sizeof(*board));
	act = what;
	pid = fork();
	if (pid == 0)
		run_victim(threaded);
	while (!board->inside)
		usleep(200);
	return pid;
}

/* All that a test holds of a victim. */
struct session {
	struct process process;
	struct traps traps;
	struct thread thread;
	struct breakpoint breakpoint;
	struct error error;
};

static enum status change_traps(struct session *session, bool ignored)
{
	const struct patience patience = patience_for(5000, NULL);
	const uint64_t scratch = (uint64_t)(uintptr_t)board->scratch;
	struct remote remote;
	enum status status = remote_begin(&session->process, &patience, &remote, &session->error);

	if (status == STATUS_OK)
		status = ignored ? traps_ignore(&remote, scratch, &session->traps, &session->error) :
				   traps_restore(&remote, scratch, &session->traps, &session->error);
	remote_end(&remote);
	return status;
}

static enum status open_session(pid_t pid, struct session *session)
{
	*session = (struct session){ .breakpoint.event = -1 };
	return process_open(pid, PROCESS_CHANGE, &session->process, &session->error);
}

/* Seize and stop the thread, and arm. */
static enum breakpoint_result arm(struct session *session, uint64_t cfa)
{
	bool stopped;

	window_open();
	if (thread_seize(&session->process, board->tid, &session->thread, &session->error) != STATUS_OK)
		return BREAKPOINT_ENDED;
	thread_interrupt(&session->thread);
	stopped = thread_wait(&session->process, &session->thread, 5000);
	window_close();
	if (!stopped)
		return BREAKPOINT_ENDED;
	return breakpoint_arm(&session->process, &session->thread, exit_address(), cfa, &session->breakpoint);
}

/* Open, ignore traps, arm; fails the test when something does. */
static void begin(pid_t pid, struct session *session)
{
	enum breakpoint_result result;

	assert_int_equal(open_session(pid, session), STATUS_OK);
	if (change_traps(session, true) != STATUS_OK)
		fail_msg("%s", session->error.text);
	result = arm(session, board->cfa);
	if (result != BREAKPOINT_ARMED)
		fail_msg("%s", breakpoint_reason(result));
}

static void let_go(struct session *session)
{
	bool stopped;

	breakpoint_disarm(&session->breakpoint);
	if (session->thread.state == THREAD_RUNNING) {
		window_open();
		thread_interrupt(&session->thread);
		stopped = thread_wait(&session->process, &session->thread, 5000);
		window_close();
		assert_true(stopped);
	}
	breakpoint_take_trap(&session->thread);
	thread_release(&session->process, &session->thread);
}

static void close_session(struct session *session)
{
	error_clear(&session->error);
	process_close(&session->process);
}

static void end(struct session *session)
{
	let_go(session);
	if (change_traps(session, false) != STATUS_OK)
		fail_msg("%s", session->error.text);
	close_session(session);
}

/* The victim ends as if nobody had been there. */
static void check_victim(pid_t pid)
{
	int status;

	board->stop = 1;
	board->release = 1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the victim ended with wait status %#x", status);
	assert_int_equal(board->disposition, 0);
}

static enum breakpoint_event wait_for(struct session *session, unsigned int milliseconds)
{
	if (session->thread.state == THREAD_STOPPED)
		breakpoint_go_on(&session->process, &session->thread);
	return breakpoint_wait(&session->breakpoint, &session->process, &session->thread, milliseconds);
}

/* The thread stands behind its outermost frame, and has executed nothing there. */
static void assert_exact(const struct session *session, uint64_t returned)
{
	assert_int_equal(session->thread.state, THREAD_STOPPED);
	assert_int_equal(session->thread.signal, 0);
	assert_int_equal(registers_pc(&session->thread.registers), exit_address());
	assert_int_equal(registers_stack(&session->thread.registers), board->cfa);
	assert_int_equal(board->returned, returned);
}

#endif
