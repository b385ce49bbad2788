/*
 * Remote system calls: victims are forked children whose registers, system calls and signals must show nothing, also
 * when the patcher is killed between any two of its ptrace and memory operations.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <time.h>
#include <unistd.h>

#include "process/remote.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

/* The library's calls come here first: the killed patcher counts them, and ends before number `deadly`. */
static unsigned int operations, deadly;

/* And the patcher that hears nothing of a thread once it has sent it into a system call. */
static bool deaf, deaf_now;

static void count_operation(void)
{
	if (++operations == deadly)
		raise(SIGKILL);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list list;
	long a, b, c;

	va_start(list, request);
	a = va_arg(list, long);
	b = va_arg(list, long);
	c = va_arg(list, long);
	va_end(list);
	count_operation();
	deaf_now = deaf && (deaf_now || request == PTRACE_SYSCALL);
	return syscall(SYS_ptrace, request, a, b, c);
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	if (!deaf_now || !(options & WNOHANG))
		return (int)syscall(SYS_waitid, type, id, info, options, NULL);
	info->si_pid = 0;
	return 0;
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
	count_operation();
	return syscall(SYS_pwrite64, descriptor, data, size, offset);
}

/* Shared with the victims. */
static struct board {
	volatile int ready, stop;
	volatile int result, error;	/* of the system call under test */
	volatile int handled;		/* signals */
	volatile long milliseconds;
} *board;

/* Every general register and the red zone hold a pattern until board->stop; returns 0 when all of it lasted. */
__attribute__((noinline)) static int spin_patterned(volatile int *stop)
{
	int result;

	__asm__ volatile(
		"push %%rbp\n\tpush %%rbx\n\t"
		"mov %1, %%r15\n\t"
		"movq $0x1234, -8(%%rsp)\n\tmovq $0x5678, -120(%%rsp)\n\tmovq $0x5679, -128(%%rsp)\n\t"
		"mov $101, %%eax\n\tmov $102, %%ebx\n\tmov $103, %%ecx\n\tmov $104, %%edx\n\tmov $105, %%esi\n\t"
		"mov $106, %%edi\n\tmov $107, %%ebp\n\tmov $108, %%r8d\n\tmov $109, %%r9d\n\tmov $110, %%r10d\n\t"
		"mov $111, %%r11d\n\tmov $112, %%r12d\n\tmov $113, %%r13d\n\tmov $114, %%r14d\n\t"
		"movq %%r14, %%xmm15\n\t"
		"1: cmp $101, %%rax\n\tjne 2f\n\tcmp $102, %%rbx\n\tjne 2f\n\tcmp $103, %%rcx\n\tjne 2f\n\t"
		"cmp $104, %%rdx\n\tjne 2f\n\tcmp $105, %%rsi\n\tjne 2f\n\tcmp $106, %%rdi\n\tjne 2f\n\t"
		"cmp $107, %%rbp\n\tjne 2f\n\tcmp $108, %%r8\n\tjne 2f\n\tcmp $109, %%r9\n\tjne 2f\n\t"
		"cmp $110, %%r10\n\tjne 2f\n\tcmp $111, %%r11\n\tjne 2f\n\tcmp $112, %%r12\n\tjne 2f\n\t"
		"cmp $113, %%r13\n\tjne 2f\n\tcmp $114, %%r14\n\tjne 2f\n\t"
		"cmpq $0x1234, -8(%%rsp)\n\tjne 2f\n\tcmpq $0x5678, -120(%%rsp)\n\tjne 2f\n\t"
		"cmpq $0x5679, -128(%%rsp)\n\tjne 2f\n\t"
		"cmpl $0, (%%r15)\n\tje 1b\n\t"
		"xor %%eax, %%eax\n\tjmp 3f\n"
		"2: mov $1, %%eax\n"
		"3: pop %%rbx\n\tpop %%rbp\n\t"
		: "=&a"(result) : "r"(stop)
		: "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm15", "memory", "cc");
	return result;
}

static long now_milliseconds(void)
{
	return (long)(clock_now() / 1000000);
}

enum victim { SPIN, NANOSLEEP, POLL, EPOLL, READ_TIMEOUT, SIGTIMEDWAIT, READ_PIPE, FUTEX, VICTIMS };
static const char *const victim_names[VICTIMS] = { "spin", "nanosleep", "poll", "epoll_wait", "recv with timeout",
						   "sigtimedwait", "read", "futex" };

static void handler(int signal)
{
	(void)signal;
	board->handled++;
}

/* The system call under test takes 150 ms, or until it is handed a byte or a wake-up by nobody. */
static _Noreturn void run_victim(enum victim kind)
{
	const struct timespec nap = { 0, 150000000 };
	const struct timeval timeout = { 0, 150000 };
	struct sigaction action = { .sa_handler = handler };
	int pipes[2], sockets[2], word = 0;
	struct epoll_event event;
	sigset_t set;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		_exit(2);
	setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));

	long start = now_milliseconds();	/* before the other one begins its nap */

	if (kind == READ_PIPE && fork() == 0) {
		nanosleep(&nap, NULL);
		_exit(write(pipes[1], "x", 1) != 1);
	}
	board->ready = 1;
	errno = 0;
	switch (kind) {
	case SPIN:
		board->result = spin_patterned(&board->stop);
		break;
	case NANOSLEEP:
		board->result = nanosleep(&nap, NULL);
		break;
	case POLL:
		board->result = poll(NULL, 0, 150);
		break;
	case EPOLL:
		board->result = epoll_wait(epoll_create1(0), &event, 1, 150);
		break;
	case READ_TIMEOUT:
		board->result = (int)recv(sockets[0], &byte, 1, 0);
		break;
	case SIGTIMEDWAIT:
		board->result = sigtimedwait(&set, NULL, &nap);
		break;
	case READ_PIPE:
		board->result = (int)read(pipes[0], &byte, 1);
		break;
	case FUTEX:
		board->result = (int)syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &nap, NULL, 0);
		break;
	case VICTIMS:
		break;
	}
	board->error = errno;
	board->milliseconds = now_milliseconds() - start;
	_exit(0);
}

static pid_t start_victim(enum victim kind)
{
	pid_t pid;

	memset((void *)board, 0, sizeof(*board));
	pid = fork();
	if (pid == 0)
		run_victim(kind);
	while (!board->ready)
		usleep(200);
	usleep(3000);
	return pid;
}

/* Seize the victim before anything else does, as a try to stop all threads may have. */
static bool seize_early;

/* A thread can't have been stopped for longer than it took. */
static enum status check_borrowed(uint64_t borrowed, uint64_t began, struct error *error)
{
	uint64_t most = clock_now() - began;

	return borrowed && borrowed <= most ? STATUS_OK :
	       error_add(error, STATUS_ERROR, "a thread was stopped for %lu ns of %lu", borrowed, most);
}

/* Map and unmap memory in the victim, in one go. Returns the status; *address is 0 when it was not mapped. */
static enum status map_and_unmap(pid_t pid, uint64_t *address, struct error *error)
{
	struct process process;
	uint64_t began, borrowed;
	const struct patience patience = patience_for(deaf ? 0 : 5000, NULL);
	struct thread early;
	struct remote remote;
	int64_t result = 0;
	enum status status;

	*address = 0;
	status = process_open(pid, PROCESS_CHANGE, &process, error);
	if (status == STATUS_OK && seize_early)
		status = thread_seize(&process, pid, &early, error);
	if (status == STATUS_OK) {
		const uint64_t map[6] = { 0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0 };

		began = clock_now();
		status = remote_begin(&process, &patience, &remote, error);
		if (status == STATUS_OK)
			status = remote_call(&remote, SYS_mmap, map, &result, error);
		if (status == STATUS_OK) {
			const uint64_t unmap[6] = { (uint64_t)result, 8192 };

			*address = (uint64_t)result;
			status = remote_call(&remote, SYS_munmap, unmap, &result, error);
			if (status == STATUS_OK && result)
				status = error_add(error, STATUS_ERROR, "munmap returned %ld", (long)result);
		}
		borrowed = remote_end(&remote);
		if (status == STATUS_OK)
			status = check_borrowed(borrowed, began, error);
	}
	process_close(&process);
	return status;
}

/* The call under test ended as if nobody had been there. `fair`: an EINTR is not to be blamed on stent. */
static void check_victim(enum victim kind, pid_t pid, bool fair)
{
	int status;

	board->stop = 1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("%s: ended with wait status %#x", victim_names[kind], status);
	if (fair && board->error == EINTR)
		return;
	switch (kind) {
	case SPIN: case NANOSLEEP: case POLL: case EPOLL:
		assert_int_equal(board->result, 0);
		break;
	case READ_TIMEOUT: case SIGTIMEDWAIT:
		assert_int_equal(board->result, -1);
		assert_int_equal(board->error, EAGAIN);
		break;
	case READ_PIPE:
		assert_int_equal(board->result, 1);
		break;
	case FUTEX:
		assert_int_equal(board->result, -1);
		assert_int_equal(board->error, ETIMEDOUT);
		break;
	case VICTIMS:
		break;
	}
	if (kind != SPIN && (board->milliseconds < 149 || board->milliseconds > 1500))
		fail_msg("%s took %ld ms", victim_names[kind], board->milliseconds);
}

static void test_calls_show_nothing(void **state)
{
	(void)state;
	for (enum victim kind = 0; kind < VICTIMS; kind++) {
		struct error error = { 0 };
		pid_t pid = start_victim(kind);
		uint64_t address;

		for (unsigned int i = 0; i < 3; i++) {
			if (map_and_unmap(pid, &address, &error) != STATUS_OK)
				fail_msg("%s: %s", victim_names[kind], error.text);
			assert_true(address && address < (1ul << 47));
		}
		check_victim(kind, pid, false);
	}
}

/* An EINTR that the stop itself gives can't be repaired by a patcher that is dead before its first write. */
static bool may_lose_eintr(enum victim kind)
{
	return kind == EPOLL || kind == READ_TIMEOUT || kind == SIGTIMEDWAIT;
}

static bool has_exited(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static void test_killed_patcher(void **state)
{
	unsigned int deaths = 0, interrupted = 0, late = 0;

	(void)state;
	for (enum victim kind = 0; kind < VICTIMS; kind++) {
		bool done = false;

		for (unsigned int k = 1; !done; k++) {
			pid_t pid = start_victim(kind), patcher = fork();
			int status;

			if (patcher == 0) {
				struct error error = { 0 };
				uint64_t address;

				prctl(PR_SET_PDEATHSIG, SIGKILL);
				operations = 0;
				deadly = k;
				status = (int)map_and_unmap(pid, &address, &error);
				if (status != STATUS_OK)
					fprintf(stderr, "# %s: %s\n", victim_names[kind], error.text);
				_exit(status);
			}
			assert_int_equal(waitpid(patcher, &status, 0), patcher);
			done = WIFEXITED(status);
			/* On a busy machine the victim's 150 ms may be over before the patcher gets to it. */
			if (done && WEXITSTATUS(status) == STATUS_ERROR && has_exited(pid) && ++late < 20) {
				check_victim(kind, pid, false);
				done = false;
				k--;
				continue;
			}
			if (done)
				assert_int_equal(WEXITSTATUS(status), STATUS_OK);
			else
				deaths++;
			assert_true(k < 60);
			check_victim(kind, pid, !done && may_lose_eintr(kind));
			interrupted += board->error == EINTR;
		}
	}
	print_message("# %u deaths of the patcher, %u system calls interrupted by them\n", deaths, interrupted);
	assert_in_range(deaths, 100, 1000);
}

/* There is one stub in the process. `sweep`: remove it; no thread may be in it any more. */
static void expect_leftover(pid_t pid, bool sweep)
{
	struct error error = { 0 };
	struct remote_leftovers leftovers = { 0 };
	struct mapped_images images = { 0 };
	struct maps maps = { 0 };
	struct process process;

	assert_int_equal(process_open(pid, PROCESS_CHANGE, &process, &error), STATUS_OK);
	assert_int_equal(maps_read(&process, &maps, &error), STATUS_OK);
	images_read(&process, &maps, &images);
	remote_leftovers(&process, &maps, &images, &leftovers);
	assert_int_equal(leftovers.count, 1);
	if (sweep) {
		remote_sweep(&process, &leftovers);
		array_free(&leftovers);
		remote_leftovers(&process, &maps, &images, &leftovers);
		assert_int_equal(leftovers.count, 0);
	}
	array_free(&leftovers);
	images_free(&images);
	maps_free(&maps);
	process_close(&process);
}

static void test_stub_left_behind(void **state)
{
	struct error error = { 0 };
	pid_t pid = start_victim(SPIN), patcher = fork();
	uint64_t address;
	int status;

	(void)state;
	if (patcher == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		operations = 0;
		deadly = 7;	/* seize, interrupt, registers, rseq, registers, the stub's bytes, and not any further */
		_exit(map_and_unmap(pid, &address, &error));
	}
	assert_int_equal(waitpid(patcher, &status, 0), patcher);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(map_and_unmap(pid, &address, &error), STATUS_OK);

	expect_leftover(pid, true);
	check_victim(SPIN, pid, false);
}

/* A thread that does not come back from the call in time (a frozen cgroup) is still in the stub when the patcher goes. */
static void test_stub_in_use(void **state)
{
	struct error error = { 0 };
	pid_t pid = start_victim(SPIN), patcher = fork();
	uint64_t address;
	int status;

	(void)state;
	if (patcher == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		deaf = true;
		_exit(map_and_unmap(pid, &address, &error));
	}
	assert_int_equal(waitpid(patcher, &status, 0), patcher);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), STATUS_ERROR);
	expect_leftover(pid, false);
	check_victim(SPIN, pid, false);
}

/* One that this patcher has seized already, because it did not stop when all were to, can be used all the same. */
static void test_seized_early(void **state)
{
	(void)state;
	seize_early = true;
	for (enum victim kind = SPIN; kind <= EPOLL; kind++) {
		struct error error = { 0 };
		pid_t pid = start_victim(kind);
		uint64_t address;

		if (map_and_unmap(pid, &address, &error) != STATUS_OK)
			fail_msg("%s: %s", victim_names[kind], error.text);
		check_victim(kind, pid, false);
	}
	seize_early = false;
}

/* Each signal is handled once, although threads are stopped and made to call all the time. */
static void test_signals(void **state)
{
	struct error error = { 0 };
	pid_t pid = start_victim(SPIN), sender;
	uint64_t address;
	int status;

	(void)state;
	sender = fork();
	if (sender == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 1; i <= 300; i++) {
			kill(pid, SIGUSR1);
			while (board->handled < i)
				usleep(50);
		}
		_exit(0);
	}
	for (unsigned int i = 0; i < 100; i++)
		if (map_and_unmap(pid, &address, &error) != STATUS_OK)
			fail_msg("%s", error.text);
	assert_int_equal(waitpid(sender, &status, 0), sender);
	assert_int_equal(board->handled, 300);
	check_victim(SPIN, pid, false);
}

/* A handled signal interrupts epoll_wait, with or without us. */
static void test_real_eintr(void **state)
{
	struct error error = { 0 };
	pid_t pid = start_victim(EPOLL);
	uint64_t address;

	(void)state;
	assert_int_equal(map_and_unmap(pid, &address, &error), STATUS_OK);
	usleep(5000);	/* so that it is in the system call again */
	kill(pid, SIGUSR1);
	check_victim(EPOLL, pid, true);
	assert_int_equal(board->error, EINTR);
	assert_int_equal(board->handled, 1);
}

static char process_state(pid_t pid)
{
	char path[64], line[256] = "", *behind;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	behind = strrchr(line, ')');
	return behind ? behind[2] : '?';
}

static void test_stopped_process(void **state)
{
	struct error error = { 0 };
	pid_t pid = start_victim(SPIN);
	uint64_t address;
	int status;

	(void)state;
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (map_and_unmap(pid, &address, &error) != STATUS_OK)
		fail_msg("%s", error.text);
	usleep(20000);
	assert_int_equal(process_state(pid), 'T');
	assert_int_equal(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);	/* no second report to the parent */
	kill(pid, SIGCONT);
	usleep(20000);
	assert_int_equal(process_state(pid), 'R');
	check_victim(SPIN, pid, false);
}

/* A filter that kills whoever calls mmap. */
static void test_seccomp(void **state)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	struct error error = { 0 };
	uint64_t address;
	pid_t pid;
	int status;

	(void)state;
	memset((void *)board, 0, sizeof(*board));
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
			_exit(77);
		board->ready = 1;
		while (!board->stop)
			usleep(1000);
		syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		_exit(0);
	}
	while (!board->ready)
		usleep(200);
	if (map_and_unmap(pid, &address, &error) != STATUS_OK)
		fail_msg("%s", error.text);
	board->stop = 1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));	/* the filter is in force again */
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_show_nothing),
		cmocka_unit_test(test_killed_patcher),
		cmocka_unit_test(test_stub_left_behind),
		cmocka_unit_test(test_stub_in_use),
		cmocka_unit_test(test_seized_early),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_real_eintr),
		cmocka_unit_test(test_stopped_process),
		cmocka_unit_test(test_seccomp),
	};

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	alarm(100);
	return cmocka_run_group_tests_name("remote system calls", tests, NULL, NULL);
}
