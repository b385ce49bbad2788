/*
 * Breakpoints: a thread stops exactly where it leaves its frame, and nowhere else; whatever becomes of the thread or of
 * stent meanwhile, the victim lives on.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "breakpoint_victim.h"

static void recursion_stops_at_the_outermost_exit(void **state)
{
	pid_t pid = start_victim(RETURN, false);
	struct session session;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		while (!board->inside)
			usleep(100);
		begin(pid, &session);
		assert_int_equal(wait_for(&session, i ? 0 : 20), BREAKPOINT_RUNNING);
		board->release = 1;
		assert_int_equal(wait_for(&session, 5000), BREAKPOINT_LEFT);
		assert_exact(&session, (DEPTH + 1) * i + DEPTH);
		assert_int_equal(session.breakpoint.passed, DEPTH);
		end(&session);
	}
	while (!board->inside)
		usleep(100);
	check_victim(pid);
}

/* Who is not looked at the first time stands there the second time as well. */
static void it_stays_where_it_has_left(void **state)
{
	pid_t pid = start_victim(RETURN, false);
	struct session session;

	(void)state;
	begin(pid, &session);
	board->release = 1;
	assert_int_equal(wait_for(&session, 5000), BREAKPOINT_LEFT);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(breakpoint_wait(&session.breakpoint, &session.process, &session.thread, 20), BREAKPOINT_LEFT);
		assert_exact(&session, DEPTH);
	}
	end(&session);
	check_victim(pid);
}

/* Armed over many exits: it stops at each, goes on from where it stands, and doesn't trap twice for one. */
static void it_goes_on_and_stays_armed(void **state)
{
	pid_t pid = start_victim(RETURN, false);
	struct session session;

	(void)state;
	begin(pid, &session);
	for (uint64_t i = 0; i < 200; i++) {
		assert_int_equal(wait_for(&session, 0), BREAKPOINT_RUNNING);
		while (!board->inside)
			usleep(100);
		board->release = 1;
		assert_int_equal(wait_for(&session, 5000), BREAKPOINT_LEFT);
		assert_exact(&session, (DEPTH + 1) * i + DEPTH);
		assert_int_equal(session.breakpoint.passed, DEPTH * (i + 1));
	}
	end(&session);
	while (!board->inside)
		usleep(100);
	check_victim(pid);
}

static void longjmp_past_the_frame_is_not_taken_for_an_exit(void **state)
{
	pid_t pid = start_victim(JUMP, false);
	struct session session;

	(void)state;
	begin(pid, &session);
	board->release = 1;
	assert_int_equal(wait_for(&session, 30), BREAKPOINT_RUNNING);
	while (!board->inside)
		usleep(100);
	assert_int_equal(wait_for(&session, 0), BREAKPOINT_RUNNING);
	assert_int_equal(session.breakpoint.passed, 0);
	assert_int_equal(board->returned, 0);
	end(&session);
	act = RETURN;
	kill(pid, SIGKILL);	/* it can only jump */
	waitpid(pid, NULL, 0);
}

static void thread_exit_while_armed(void **state)
{
	pid_t pid = start_victim(EXIT_THREAD, true);
	struct session session;

	(void)state;
	begin(pid, &session);
	assert_int_equal(wait_for(&session, 20), BREAKPOINT_RUNNING);
	assert_int_equal(session.breakpoint.passed, 0);	/* though the first thread is there all the time */
	board->release = 1;
	assert_int_equal(wait_for(&session, 5000), BREAKPOINT_GONE);
	assert_int_equal(session.breakpoint.passed, 0);
	/* A thread that was seen ending before it was reported is reaped by its tracer's end only; here that is the victim's
	 * parent, too, which would wait for both. */
	waitpid(session.thread.tid, NULL, __WALL);
	end(&session);
	check_victim(pid);
}

static void exec_while_armed(void **state)
{
	struct session session;
	char line[16] = "";
	int pipes[2], out;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	out = dup(1);
	dup2(pipes[1], 1);
	pid = start_victim(EXEC, false);
	dup2(out, 1);
	close(out);
	close(pipes[1]);
	begin(pid, &session);
	board->release = 1;
	assert_int_equal(wait_for(&session, 5000), BREAKPOINT_GONE);	/* it ends after its line */
	assert_int_equal(session.breakpoint.passed, 0);
	assert_int_equal(read(pipes[0], line, sizeof(line) - 1), 6);
	assert_string_equal(line, "alive\n");
	breakpoint_disarm(&session.breakpoint);
	close_session(&session);
	close(pipes[0]);
	waitpid(pid, NULL, 0);
}

static void fork_while_armed(void **state)
{
	pid_t pid = start_victim(FORK, false);
	struct session session;

	(void)state;
	begin(pid, &session);
	board->release = 1;
	assert_int_equal(wait_for(&session, 5000), BREAKPOINT_LEFT);
	assert_exact(&session, DEPTH);
	assert_int_equal(session.breakpoint.passed, DEPTH);
	assert_int_equal(board->handled, 1);	/* the child was not stopped, and nothing has killed it */
	end(&session);
	check_victim(pid);
}

static void blocked_traps_are_refused_or_harmless(void **state)
{
	pid_t pid = start_victim(BLOCK, false);
	struct session session;

	(void)state;
	/* Blocked behind the check: all traps are missed; the first one is delivered when unblocked, at another place. */
	begin(pid, &session);
	board->release = 1;
	assert_int_equal(wait_for(&session, 50), BREAKPOINT_RUNNING);
	assert_int_equal(board->returned, DEPTH + 1);
	assert_int_equal(session.breakpoint.passed, 0);
	board->release = 1;
	while (board->inside != 2)
		assert_int_equal(wait_for(&session, 1), BREAKPOINT_RUNNING);
	assert_int_equal(session.breakpoint.passed, 1);
	end(&session);
	check_victim(pid);

	/* The same, but it is unblocked when we are gone and the default action is in force again. */
	pid = start_victim(BLOCK, false);
	begin(pid, &session);
	board->release = 1;
	assert_int_equal(wait_for(&session, 50), BREAKPOINT_RUNNING);
	end(&session);
	board->release = 1;
	while (board->inside != 2 && waitpid(pid, NULL, WNOHANG) == 0)
		usleep(200);
	assert_int_equal(board->inside, 2);
	check_victim(pid);

	/* Blocked before. */
	pid = start_victim(BLOCK, false);
	board->release = 1;
	while (board->returned < DEPTH + 1)
		usleep(200);
	assert_int_equal(open_session(pid, &session), STATUS_OK);
	assert_int_equal(change_traps(&session, true), STATUS_OK);
	assert_int_equal(arm(&session, board->cfa), BREAKPOINT_BLOCKED);
	end(&session);
	check_victim(pid);
}

static void signals_at_the_same_time(void **state)
{
	pid_t pid = start_victim(RETURN, false), sender = fork();
	struct session session;
	int status;

	(void)state;
	if (sender == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 1; i <= 3000; i++) {
			kill(pid, SIGUSR1);
			while (board->handled < i)
				;
		}
		_exit(0);
	}
	begin(pid, &session);
	for (uint64_t i = 0; board->handled < 3000; i++) {
		assert_int_equal(wait_for(&session, 0), BREAKPOINT_RUNNING);
		while (!board->inside)
			assert_int_equal(wait_for(&session, 0), BREAKPOINT_RUNNING);
		board->release = 1;
		assert_int_equal(wait_for(&session, 5000), BREAKPOINT_LEFT);
		assert_exact(&session, (DEPTH + 1) * i + DEPTH);
	}
	assert_int_equal(wait_for(&session, 1), BREAKPOINT_RUNNING);
	assert_int_equal(waitpid(sender, &status, 0), sender);
	assert_int_equal(status, 0);
	assert_int_equal(board->handled, 3000);
	end(&session);
	check_victim(pid);
}

static void group_stop_while_armed(void **state)
{
	pid_t pid = start_victim(RETURN, false);
	struct session session;

	(void)state;
	begin(pid, &session);
	assert_int_equal(wait_for(&session, 1), BREAKPOINT_RUNNING);
	kill(pid, SIGSTOP);
	assert_int_equal(wait_for(&session, 20), BREAKPOINT_RUNNING);
	board->release = 1;
	assert_int_equal(wait_for(&session, 50), BREAKPOINT_RUNNING);
	assert_int_equal(board->returned, 0);	/* it did not run */
	kill(pid, SIGCONT);
	assert_int_equal(wait_for(&session, 5000), BREAKPOINT_LEFT);
	assert_exact(&session, DEPTH);
	end(&session);
	check_victim(pid);
}

/* Armed by a program itself, in the way of ours. */
static int occupy(pid_t tid)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attributes), .exclude_kernel = 1, .bp_type = HW_BREAKPOINT_X,
		.bp_addr = (uint64_t)(uintptr_t)getpid, .bp_len = sizeof(long),
	};

	return (int)syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void all_registers_in_use(void **state)
{
	pid_t pid = start_victim(RETURN, false);
	struct session session;
	int others[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		others[i] = occupy(pid);
		assert_true(others[i] >= 0);
	}
	assert_int_equal(open_session(pid, &session), STATUS_OK);
	assert_int_equal(change_traps(&session, true), STATUS_OK);
	assert_int_equal(arm(&session, board->cfa), BREAKPOINT_NONE_FREE);
	assert_int_equal(session.breakpoint.event, -1);
	close(others[2]);
	assert_int_equal(breakpoint_arm(&session.process, &session.thread, exit_address(), board->cfa, &session.breakpoint),
			 BREAKPOINT_ARMED);
	board->release = 1;
	assert_int_equal(wait_for(&session, 5000), BREAKPOINT_LEFT);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			close(others[i]);
	end(&session);
	check_victim(pid);
}

static void other_users_of_sigtrap(void **state)
{
	struct sigaction action = { .sa_handler = count_signal }, before;
	struct session session;
	pid_t pid;

	(void)state;
	/* With the default action nothing is armed. */
	pid = start_victim(RETURN, false);
	assert_int_equal(open_session(pid, &session), STATUS_OK);
	assert_int_equal(arm(&session, board->cfa), BREAKPOINT_NOT_IGNORED);
	let_go(&session);
	close_session(&session);
	check_victim(pid);

	/* A handler stays, and gets its signals. */
	sigaction(SIGTRAP, &action, &before);
	pid = start_victim(RETURN, false);
	sigaction(SIGTRAP, &before, NULL);
	assert_int_equal(open_session(pid, &session), STATUS_OK);
	assert_int_equal(change_traps(&session, true), STATUS_REFUSED);
	assert_non_null(strstr(session.error.text, "has a handler for SIGTRAP"));
	assert_int_equal(change_traps(&session, false), STATUS_OK);
	kill(pid, SIGTRAP);
	while (!board->traps)
		usleep(200);
	close_session(&session);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	/* One that ignores it goes on doing so. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGTRAP, &action, &before);
	pid = start_victim(RETURN, false);
	sigaction(SIGTRAP, &before, NULL);
	begin(pid, &session);
	end(&session);
	kill(pid, SIGTRAP);
	usleep(2000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static bool ignores_traps(const struct process *process)
{
	char *text = process_file(process, "status", NULL), *ignored = text ? strstr(text, "\nSigIgn:") : NULL;
	bool is = ignored && strtoull(ignored + 8, NULL, 16) & UINT64_C(1) << (SIGTRAP - 1);

	free(text);
	return is;
}

/* What the program sets while stent ignores traps in it is not stent's to undo; what a killed stent has left is. */
static void who_has_set_it_is_known(void **state)
{
	struct session session, killed;
	pid_t pid = fork();

	(void)state;
	board->release = 0;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!board->release)
			usleep(200);
		signal(SIGTRAP, SIG_IGN);
		board->release = 2;
		while (board->release != 3)
			usleep(200);
		_exit(0);
	}
	assert_int_equal(open_session(pid, &killed), STATUS_OK);
	assert_int_equal(change_traps(&killed, true), STATUS_OK);
	close_session(&killed);
	assert_int_equal(open_session(pid, &session), STATUS_OK);
	assert_true(ignores_traps(&session.process));
	assert_int_equal(change_traps(&session, true), STATUS_OK);
	assert_int_equal(change_traps(&session, false), STATUS_OK);
	assert_false(ignores_traps(&session.process));

	assert_int_equal(change_traps(&session, true), STATUS_OK);
	assert_true(session.traps.changed);
	board->release = 1;
	while (board->release != 2)
		usleep(200);
	assert_int_equal(change_traps(&session, false), STATUS_OK);
	assert_true(ignores_traps(&session.process));
	board->release = 3;
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close_session(&session);
}

/* Arm in a process of its own that is forbidden to, or has no descriptors left; the result. */
static int arm_restricted(struct session *session, bool forbidden)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	struct rlimit none = { 0, 0 };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (forbidden ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) : setrlimit(RLIMIT_NOFILE, &none))
			_exit(99);
		_exit(breakpoint_arm(&session->process, &session->thread, exit_address(), board->cfa, &session->breakpoint));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void errors_have_names(void **state)
{
	pid_t pid = start_victim(RETURN, false);
	struct thread gone = { .state = THREAD_ENDED };
	struct session session;

	(void)state;
	begin(pid, &session);
	breakpoint_disarm(&session.breakpoint);
	breakpoint_disarm(&session.breakpoint);
	assert_int_equal(arm_restricted(&session, true), BREAKPOINT_NOT_PERMITTED);
	assert_int_equal(arm_restricted(&session, false), BREAKPOINT_NO_DESCRIPTOR);
	assert_int_equal(breakpoint_arm(&session.process, &gone, exit_address(), 0, &session.breakpoint), BREAKPOINT_ENDED);
	gone = (struct thread){ .state = THREAD_STOPPED, .tid = 1 << 30 };
	assert_int_equal(breakpoint_arm(&session.process, &gone, exit_address(), 0, &session.breakpoint), BREAKPOINT_ENDED);
	/* An address of the kernel. */
	assert_int_equal(breakpoint_arm(&session.process, &session.thread, UINT64_C(0xffffffff81000000), 0, &session.breakpoint),
			 BREAKPOINT_UNSUPPORTED);
	for (enum breakpoint_result result = BREAKPOINT_ARMED; result <= BREAKPOINT_ENDED; result++)
		assert_true(strlen(breakpoint_reason(result)) > 5);
	end(&session);
	check_victim(pid);
}

/* The watcher stands for a stent that is killed: at any moment, while the victim runs into the breakpoint all the time. */
static _Noreturn void watch_for_ever(pid_t pid)
{
	struct session session;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (open_session(pid, &session) != STATUS_OK || change_traps(&session, true) != STATUS_OK ||
	    arm(&session, 1) != BREAKPOINT_ARMED) {
		print_message("# %s\n", session.error.text ? session.error.text : breakpoint_reason(arm(&session, 1)));
		_exit(1);
	}
	while (wait_for(&session, 0) != BREAKPOINT_GONE)
		board->passed = (int)session.breakpoint.passed;
	_exit(2);
}

/* The victim runs on, through the address. */
static void check_progress(pid_t pid)
{
	uint64_t before = board->returned;
	int status;

	while (board->returned < before + 100) {
		if (waitpid(pid, &status, WNOHANG))
			fail_msg("the victim died: wait status %#x", status);
		usleep(200);
	}
}

#define VICTIMS 15	/* a new one now and then, because stubs of killed watchers stay until they are swept */
#define WATCHERS 20

static void the_victim_survives_killed_watchers(void **state)
{
	int status;

	(void)state;
	for (int i = 0; i < VICTIMS; i++) {
		pid_t pid;

		memset(board, 0, sizeof(*board));
		pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			board->tid = getpid();
			while (!board->stop)
				call_from_here(&board->returned, nothing, 0, NULL);
			_exit(0);
		}
		while (!board->returned)
			usleep(200);
		for (int j = 0; j < WATCHERS; j++) {
			pid_t watcher;

			board->passed = 0;
			watcher = fork();
			if (watcher == 0)
				watch_for_ever(pid);
			/* A third of them early: seizing, calling, arming. The others while it traps. */
			while (j % 3 && !board->passed && waitpid(watcher, &status, WNOHANG) == 0)
				usleep(100);
			usleep((unsigned int)(random() % 3000));
			kill(watcher, SIGKILL);
			assert_int_equal(waitpid(watcher, &status, 0), watcher);
			assert_true(WIFSIGNALED(status));
			check_progress(pid);
		}
		board->stop = 1;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static void auxiliary_vector(void **state)
{
	pid_t pid = start_victim(RETURN, false);
	struct session session;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(open_session(pid, &session), STATUS_OK);
	assert_true(process_auxv(&session.process, AT_HWCAP2, &value));
	assert_int_equal(value, getauxval(AT_HWCAP2));
	assert_true(process_auxv(&session.process, AT_ENTRY, &value));
	assert_int_equal(value, getauxval(AT_ENTRY));
	assert_false(process_auxv(&session.process, 999999, &value));
	assert_false(process_auxv(&session.process, AT_NULL, &value));
	close_session(&session);
	check_victim(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auxiliary_vector),
		cmocka_unit_test(recursion_stops_at_the_outermost_exit),
		cmocka_unit_test(it_stays_where_it_has_left),
		cmocka_unit_test(it_goes_on_and_stays_armed),
		cmocka_unit_test(longjmp_past_the_frame_is_not_taken_for_an_exit),
		cmocka_unit_test(thread_exit_while_armed),
		cmocka_unit_test(exec_while_armed),
		cmocka_unit_test(fork_while_armed),
		cmocka_unit_test(blocked_traps_are_refused_or_harmless),
		cmocka_unit_test(signals_at_the_same_time),
		cmocka_unit_test(group_stop_while_armed),
		cmocka_unit_test(all_registers_in_use),
		cmocka_unit_test(other_users_of_sigtrap),
		cmocka_unit_test(who_has_set_it_is_known),
		cmocka_unit_test(errors_have_names),
		cmocka_unit_test(the_victim_survives_killed_watchers),
	};

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	alarm(100);
	return cmocka_run_group_tests_name("breakpoints", tests, NULL, NULL);
}
