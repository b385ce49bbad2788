/*
 * witness.c: a program that notices what is done to it. Built twice, the second time with -DVERSION=2.
 *
 *	witness		prints "ready PID"; at the end of its standard input it ends, and prints a line for each thing that it has
 *			counted. They are the same whether it was patched meanwhile or not, but for the last, "free", which
 *			depends on how long it ran and what else did.
 *
 *	witness lean	the same without io_getevents(): of what a process has asked for by io_submit() nobody can tell what it carries
 *
 * What works is a child; the parent counts the stops that it is told of.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATCHED __attribute__((noinline, noclone, noipa))
#define NAP_MS 20

static atomic_int going = 1;
static atomic_long wrong_calls, wrong_signals, wrong_timers, wrong_registers, wrong_red_zone, wrong_answers;
static atomic_long calls, signals, rounds;
/* By tenths of a millisecond, how often the thread that looks at the clock was away for so long; the last: longer. */
#define GAPS 200
static long gaps[GAPS + 1];
static int sockets[2], semaphores;

int answer(int number);

PATCHED int answer(int number)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", number * VERSION);
	return atoi(text);
}

/* ---- System calls with a time-out: none may end early. */

static int in_nanosleep(void) { return nanosleep(&(struct timespec){ 0, NAP_MS * 1000000 }, NULL) == 0; }
static int in_poll(void) { return poll(NULL, 0, NAP_MS) == 0; }
static int in_select(void) { return select(0, NULL, NULL, NULL, &(struct timeval){ 0, NAP_MS * 1000 }) == 0; }

static int in_epoll(void)
{
	static int descriptor;
	struct epoll_event event;

	if (!descriptor)
		descriptor = epoll_create1(EPOLL_CLOEXEC);
	return epoll_wait(descriptor, &event, 1, NAP_MS) == 0;
}

static int in_recv(void)
{
	char byte;

	return recv(sockets[0], &byte, 1, 0) == -1 && errno == EAGAIN;
}

static int in_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigtimedwait(&set, NULL, &(struct timespec){ 0, NAP_MS * 1000000 }) == -1 && errno == EAGAIN;
}

static int in_futex(void)
{
	static int word;

	return syscall(SYS_futex, &word, 0, 0, &(struct timespec){ 0, NAP_MS * 1000000 }, NULL, 0) == -1 && errno == ETIMEDOUT;
}

static int in_semtimedop(void)
{
	struct sembuf down = { 0, -1, 0 };

	return semtimedop(semaphores, &down, 1, &(struct timespec){ 0, NAP_MS * 1000000 }) == -1 && errno == EAGAIN;
}

static int in_io_getevents(void)
{
	static aio_context_t context;
	struct io_event event;

	if (!context && syscall(SYS_io_setup, 1, &context))
		return 0;
	return syscall(SYS_io_getevents, context, 1l, 1l, &event, &(struct timespec){ 0, NAP_MS * 1000000 }) == 0;
}

static void *run_call(void *call)
{
	while (going) {
		if (!((int (*)(void))call)())
			wrong_calls++;
		calls++;
	}
	return NULL;
}

/* ---- Signals: numbered ones arrive once each and in order; a timer's expiries are all accounted for. */

static void *run_queue(void *unused)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	for (int number = 1; going; number++) {
		siginfo_t info;

		if (sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = number }))
			wrong_signals++;
		usleep(200);
		/* The next one is sent when this one is here; they are blocked in all threads. */
		if (sigtimedwait(&set, &info, &(struct timespec){ 5, 0 }) != SIGRTMIN || info.si_value.sival_int != number)
			wrong_signals++;
		signals++;
	}
	return unused;
}

static atomic_long handled;
static atomic_int last_value;

static void handle(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	last_value = info->si_value.sival_int;
	handled++;
}

/* One is handled at a time, each once, whatever the thread is doing. */
static void *run_handler(void *unused)
{
	for (int number = 1; going; number++) {
		long before = handled;

		if (pthread_sigqueue(pthread_self(), SIGRTMIN + 1, (union sigval){ .sival_int = number }))
			wrong_signals++;
		if (handled != before + 1 || last_value != number)
			wrong_signals++;
		signals++;
		usleep(100);
	}
	return unused;
}

static long elapsed_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void *run_timer(void *unused)
{
	const struct itimerspec each = { { 0, 1000000 }, { 0, 1000000 } };
	int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct timespec earliest, latest;	/* that it can have begun at */
	uint64_t expired;
	long before, sum = 0;

	clock_gettime(CLOCK_MONOTONIC, &earliest);
	timerfd_settime(descriptor, 0, &each, NULL);
	clock_gettime(CLOCK_MONOTONIC, &latest);
	while (going) {
		before = elapsed_since(&latest);
		if (read(descriptor, &expired, sizeof(expired)) != sizeof(expired)) {
			wrong_timers++;
			continue;
		}
		sum += (long)expired;
		if (sum < before - 1 || sum > elapsed_since(&earliest) + 1)
			wrong_timers++;
	}
	close(descriptor);
	return unused;
}

/* ---- State of the processor. */

/* All vector and x87 registers, MXCSR and the flags survive a stretch of instructions in which nothing changes them. */
static void *run_registers(void *unused)
{
	static const unsigned char pattern[64] __attribute__((aligned(64))) = "a pattern that nobody would leave in registers by chance, I hope";

	while (going) {
		unsigned char after[4][16];
		unsigned int control = 0x5fa0, control_after;	/* MXCSR: all exceptions masked, round to zero... and flush */
		long flags;
		double top = 0;

		__asm__ volatile("ldmxcsr %[control]; fldpi;"
				 "movdqa (%[p]), %%xmm0; movdqa 16(%[p]), %%xmm7; movdqa 32(%[p]), %%xmm8; movdqa 48(%[p]), %%xmm15;"
				 "mov $200000, %%ecx; 1: sub $1, %%ecx; jnz 1b; stc; pushfq; pop %[flags];"
				 "movdqu %%xmm0, (%[q]); movdqu %%xmm7, 16(%[q]); movdqu %%xmm8, 32(%[q]); movdqu %%xmm15, 48(%[q]);"
				 "stmxcsr %[after]; fstpl %[top]"
				 : [after] "=m"(control_after), [top] "=m"(top), [flags] "=&r"(flags)
				 : [control] "m"(control), [p] "r"(pattern), [q] "r"(after)
				 : "memory", "cc", "ecx", "xmm0", "xmm7", "xmm8", "xmm15");
		if (memcmp(after, pattern, 64) != 0 || control_after != control || top != 3.14159265358979323846 || !(flags & 1))
			wrong_registers++;
		rounds++;
	}
	return unused;
}

/* The same for the upper parts and the mask registers, where there are any. */
__attribute__((target("avx512f,avx512bw"))) static void *run_wide(void *unused)
{
	static const unsigned char pattern[64] __attribute__((aligned(64))) = "another pattern, as wide as a register of 512 bits can be: wide";

	while (going) {
		unsigned char after[3][64];
		unsigned long mask;

		__asm__ volatile("vmovdqa64 (%[p]), %%zmm1; vmovdqa64 (%[p]), %%zmm14; vmovdqa64 (%[p]), %%zmm31;"
				 "mov $0x123456789abcdef, %%rax; kmovq %%rax, %%k3;"
				 "mov $200000, %%ecx; 1: sub $1, %%ecx; jnz 1b;"
				 "vmovdqu64 %%zmm1, (%[q]); vmovdqu64 %%zmm14, 64(%[q]); vmovdqu64 %%zmm31, 128(%[q]); kmovq %%k3, %[mask]"
				 : [mask] "=r"(mask)
				 : [p] "r"(pattern), [q] "r"(after)
				 : "memory", "cc", "rax", "ecx", "xmm1", "xmm14", "xmm31", "k3");
		for (int i = 0; i < 3; i++)
			wrong_registers += memcmp(after[i], pattern, 64) != 0;
		wrong_registers += mask != 0x123456789abcdef;
		rounds++;
	}
	return unused;
}

/* The 128 bytes below the stack pointer are a leaf's (psABI x86-64, 3.2.2). */
static void *run_red_zone(void *unused)
{
	while (going) {
		long damaged;

		__asm__ volatile("mov $-128, %%rcx; 1: mov %%rcx, (%%rsp,%%rcx); add $8, %%rcx; jnz 1b;"
				 "mov $200000, %%ecx; 2: sub $1, %%ecx; jnz 2b;"
				 "xor %[damaged], %[damaged]; mov $-128, %%rcx;"
				 "3: cmp %%rcx, (%%rsp,%%rcx); je 4f; inc %[damaged]; 4: add $8, %%rcx; jnz 3b"
				 : [damaged] "=&r"(damaged)
				 :
				 : "memory", "cc", "rcx");
		wrong_red_zone += damaged;
		rounds++;
	}
	return unused;
}

/* The time (the kernel's vDSO takes it from the TSC), and how long the thread has waited for a processor until then; nanoseconds. */
struct moment {
	long long now, waited;
};

/* proc(5), schedstat: the second number. 0: the kernel does not count that. */
static long long read_waited(int schedstat)
{
	char text[64] = "";
	long long waited = 0;

	if (pread(schedstat, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "%*d %lld", &waited);
	return waited;
}

static struct moment look_at_clock(int schedstat)
{
	struct moment moment;
	struct timespec now;

	do {
		moment.waited = read_waited(schedstat);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (moment.waited != read_waited(schedstat));
	moment.now = now.tv_sec * 1000000000LL + now.tv_nsec;
	return moment;
}

/*
 * Calls what is patched, and measures for how long it was away, but not because other threads had the processor. It goes before others, or
 * it would mostly not be there when it is stopped.
 */
static void *run_clock(void *unused)
{
	int schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	struct moment before;

	setpriority(PRIO_PROCESS, 0, -15);
	before = look_at_clock(schedstat);
	while (going) {
		int result = answer(7);
		struct moment now = look_at_clock(schedstat);
		long long gap = (now.now - before.now - (now.waited - before.waited)) / 100000;

		if (result != 7 && result != 14)
			wrong_answers++;
		if (gap > 0)
			gaps[gap < GAPS ? gap : GAPS]++;
		before = now;
		for (volatile int i = 0; i < 2000; i++)
			;
	}
	close(schedstat);
	return unused;
}

/* ---- What /proc says of the process and its threads, but for what changes by itself. */


static bool is_stable(const char *line)
{
	static const char *const fields[] = { "Umask:", "TracerPid:", "Uid:", "Gid:", "FDSize:", "Groups:", "Threads:", "SigIgn:",
					      "SigCgt:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp",
					      "Speculation", "Cpus_allowed:", "Mems_allowed:", "CoreDumping:" };

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (!strncmp(line, fields[i], strlen(fields[i])))
			return true;
	return false;
}

static void print_task(int tid)
{
	char path[64], line[512], name[32] = "";
	struct sched_param param;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "Name: %31s", name);
		if (is_stable(line))
			printf("thread %s %s", name, line);
	}
	if (file)
		fclose(file);
	sched_getparam(tid, &param);
	printf("thread %s policy %d priority %d nice %d\n", name, sched_getscheduler(tid), param.sched_priority, getpriority(PRIO_PROCESS, (id_t)tid));
}

/* What is blocked or pending changes all the time, but now it doesn't any more. */
static void print_signals(void)
{
	sigset_t blocked, pending;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	sigpending(&pending);
	for (int signal = 1; signal < SIGRTMAX; signal++)
		if (sigismember(&blocked, signal) || sigismember(&pending, signal))
			printf("signal %d blocked %d pending %d\n", signal, sigismember(&blocked, signal), sigismember(&pending, signal));
}

static void print_tasks(void)
{
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			print_task(atoi(entry->d_name));
	if (directory)
		closedir(directory);
}

static int count_descriptors(void)
{
	int count = 0;

	for (int descriptor = 0; descriptor < 1024; descriptor++)
		count += fcntl(descriptor, F_GETFD) >= 0;
	return count;
}

static const struct {
	const char *name;
	void *(*run)(void *);
	int (*call)(void);
} kinds[] = {
	{ "nanosleep", run_call, in_nanosleep }, { "poll", run_call, in_poll }, { "select", run_call, in_select },
	{ "epoll", run_call, in_epoll }, { "recv", run_call, in_recv }, { "sigtimedwait", run_call, in_sigtimedwait },
	{ "futex", run_call, in_futex }, { "semtimedop", run_call, in_semtimedop }, { "io_getevents", run_call, in_io_getevents },
	{ "queue", run_queue, NULL }, { "handler", run_handler, NULL }, { "timer", run_timer, NULL },
	{ "registers", run_registers, NULL }, { "wide", run_wide, NULL }, { "redzone", run_red_zone, NULL }, { "clock", run_clock, NULL },
};
static bool lean;

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void start_threads(pthread_t *threads)
{
	const struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGRTMIN + 1, &action, NULL);
	for (size_t i = 0; i < KINDS; i++) {
		if ((kinds[i].run == run_wide && !__builtin_cpu_supports("avx512bw")) || (kinds[i].call == in_io_getevents && lean))
			continue;
		if (pthread_create(&threads[i], NULL, kinds[i].run, (void *)kinds[i].call))
			exit(2);
		pthread_setname_np(threads[i], kinds[i].name);
	}
}

static int work(void)
{
	const struct timeval timeout = { 0, NAP_MS * 1000 };
	pthread_t threads[KINDS] = { 0 };
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	if (semaphores < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return 2;
	setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	start_threads(threads);
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) == -1)
		wrong_calls++;
	print_tasks();
	going = 0;
	for (size_t i = 0; i < KINDS; i++)
		if (threads[i])
			pthread_join(threads[i], NULL);
	semctl(semaphores, 0, IPC_RMID);
	print_signals();
	printf("wrong calls %ld\nwrong signals %ld\nwrong timers %ld\nwrong registers %ld\nwrong red zone %ld\nwrong answers %ld\n", wrong_calls,
	       wrong_signals, wrong_timers, wrong_registers, wrong_red_zone, wrong_answers);
	printf("descriptors %d\n", count_descriptors());
	printf("free calls %ld signals %ld rounds %ld\nfree gaps", calls, signals, rounds);
	for (int i = 1; i <= GAPS; i++)
		if (gaps[i])
			printf(" %d:%ld", i, gaps[i]);
	printf("\n");
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	siginfo_t info = { 0 };
	int stops = 0, continued = 0;
	pid_t child;

	lean = argc > 1 && !strcmp(argv[1], "lean");
	child = fork();
	if (!child)
		return work();
	while (!waitid(P_PID, (id_t)child, &info, WEXITED | WSTOPPED | WCONTINUED)) {
		if (info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED)
			stops++;
		else if (info.si_code == CLD_CONTINUED)
			continued++;
		else
			break;
	}
	printf("stops seen by the parent %d, continuations %d, end %d status %d\n", stops, continued, info.si_code, info.si_status);
	return 0;
}
