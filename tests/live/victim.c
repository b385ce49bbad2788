/*
 * victim.c: the program that live tests patch. Built twice, the second time with -DVERSION=2.
 *
 *	victim [THREADS...]	one thread for each word: spin, nanosleep, poll, epoll, recv, sigwait, futex, read, signals,
 *				vfork, churn, ignoring (which sends all threads signals that are ignored), parked, and parked_later,
 *				which waits for the line "park". These are none: "leaderless" ends the first thread and
 *				answers from another, "patient" has parked threads wait by poll() instead of epoll_wait(),
 *				"crowded" leaves no room for a patch, "hardened" forbids memory that is
 *				writable and then executable, "uring" has a thread of the kernel's, "share" has a child that runs in the
 *				same memory ("share-headless": whose first thread has ended), and with "vforked" (the last word) one that vfork() made gives the answers.
 *				More such words: victim_odd.h
 *
 * It answers lines of standard input: "ask" with "VERSION SUM ERRORS", which answer() and the
 * others computed; so does "park", after a thread went into park_inside(), "unpark", after it was told to
 * leave, "share" or "share-headless", after such a child was made, "share-by-child", after such a child has made another one and ended, and "fork",
 * after one was made that does not; end of input ends it. ERRORS counts system calls of the threads that ended as they never do when nobody interferes.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/io_uring.h>
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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define PATCHED __attribute__((noinline, noclone, noipa))

static atomic_int errors, park_start, parked, park_end;
static atomic_long rounds;
static int patient;	/* park_inside() waits in a call that goes on when its tracer dies */
static int sockets[2], pipes[2];

static void expect(int holds)
{
	if (!holds)
		errors++;
}

int answer(int number);
int version(void);
int park_inside(int number);

PATCHED int answer(int number)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", number * VERSION);
	return atoi(text);
}

PATCHED int version(void)
{
	return VERSION;
}

/* Waits inside of code that changes. */
PATCHED int park_inside(int number)
{
	int descriptor = epoll_create1(0), sum = answer(number);
	struct epoll_event event;

	parked = 1;
	while (!park_end)
		expect((patient ? poll(NULL, 0, 20) : epoll_wait(descriptor, &event, 1, 20)) == 0);
	close(descriptor);
	return VERSION == 1 ? sum : version() + sum;
}

static void *run_spin(void *unused)
{
	while (1) {
		int one = answer(7);

		expect(one == 7 || one == 14 || one == 21);
		/* Mostly out of answer(): as long as a process is switched as a whole, it has to be caught there. */
		for (volatile int i = 0; i < 20000; i++)
			rounds++;
	}
	return unused;
}

static void *run_nanosleep(void *unused)
{
	const struct timespec nap = { 0, 50000000 };

	while (1)
		expect(nanosleep(&nap, NULL) == 0);
	return unused;
}

static void *run_poll(void *unused)
{
	while (1)
		expect(poll(NULL, 0, 50) == 0);
	return unused;
}

static void *run_epoll(void *unused)
{
	int descriptor = epoll_create1(0);
	struct epoll_event event;

	while (1)
		expect(epoll_wait(descriptor, &event, 1, 50) == 0);
	return unused;
}

static void *run_recv(void *unused)
{
	const struct timeval timeout = { 0, 50000 };
	char byte;

	setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	while (1)
		expect(recv(sockets[0], &byte, 1, 0) == -1 && errno == EAGAIN);
	return unused;
}

static void *run_sigwait(void *unused)
{
	const struct timespec nap = { 0, 50000000 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	while (1)
		expect(sigtimedwait(&set, NULL, &nap) == -1 && errno == EAGAIN);
	return unused;
}

static void *run_futex(void *unused)
{
	const struct timespec nap = { 0, 50000000 };
	int word = 0;

	while (1)
		expect(syscall(SYS_futex, &word, 0, 0, &nap, NULL, 0) == -1 && errno == ETIMEDOUT);
	return unused;
}

static void *run_read(void *unused)
{
	char byte;

	expect(read(pipes[0], &byte, 1) == 1);	/* which nobody ever writes */
	return unused;
}

static atomic_int handled;

static void handle(int signal)
{
	(void)signal;
	handled++;
}

/* Each signal is handled once. */
static void *run_signals(void *unused)
{
	const struct sigaction action = { .sa_handler = handle };

	sigaction(SIGUSR1, &action, NULL);
	while (1) {
		int before = handled;

		pthread_kill(pthread_self(), SIGUSR1);
		expect(handled == before + 1);
		usleep(50);
	}
	return unused;
}

static void *run_briefly(void *unused)
{
	expect(answer(1) <= 3);
	return unused;
}

/* Threads and processes come and go. */
static void *run_churn(void *unused)
{
	while (1) {
		pthread_t threads[4];
		int status;
		pid_t child = fork();

		if (!child)
			_exit(answer(0));
		for (int i = 0; i < 4; i++)
			expect(pthread_create(&threads[i], NULL, run_briefly, NULL) == 0);
		for (int i = 0; i < 4; i++)
			expect(pthread_join(threads[i], NULL) == 0);
		expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	}
	return unused;
}

/* Most of the time there is a child that runs in the same memory. */
static void *run_vfork(void *unused)
{
	const struct timespec nap = { 0, 40000000 };
	int status;

	while (1) {
		pid_t child = vfork();

		if (!child) {
			nanosleep(&nap, NULL);
			_exit(answer(0));
		}
		expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
		usleep(20000);
	}
	return unused;
}

static void *run_parked(void *unused)
{
	expect(park_inside(1) <= 4);
	pause();
	return unused;
}

static void *run_parked_later(void *unused)
{
	while (!park_start)
		usleep(1000);
	return run_parked(unused);
}

/* Each thread gets signals that are ignored, by default and because the program says so. */
static void *run_ignoring(void *unused)
{
	signal(SIGHUP, SIG_IGN);
	while (1) {
		DIR *directory = opendir("/proc/self/task");
		struct dirent *entry;

		while (directory && (entry = readdir(directory))) {
			syscall(SYS_tgkill, getpid(), atoi(entry->d_name), SIGURG);
			syscall(SYS_tgkill, getpid(), atoi(entry->d_name), SIGHUP);
		}
		if (directory)
			closedir(directory);
		usleep(100);
	}
	return unused;
}

static const struct {
	const char *name;
	void *(*run)(void *);
} kinds[] = {
	{ "spin", run_spin }, { "nanosleep", run_nanosleep }, { "poll", run_poll }, { "epoll", run_epoll },
	{ "recv", run_recv }, { "sigwait", run_sigwait }, { "futex", run_futex }, { "read", run_read },
	{ "signals", run_signals }, { "vfork", run_vfork }, { "churn", run_churn }, { "parked", run_parked }, { "parked_later", run_parked_later },
	{ "ignoring", run_ignoring },
};

static void start_thread(const char *name)
{
	pthread_t thread;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(name, kinds[i].name) != 0)
			continue;
		if (pthread_create(&thread, NULL, kinds[i].run, NULL))
			exit(2);
		if (!strcmp(name, "parked"))
			while (!parked)
				usleep(100);
		return;
	}
	exit(2);
}

static void crowd_pages(unsigned long from, unsigned long size)
{
	for (unsigned long at = from; at < from + size; at += 4096)
		mmap((void *)at, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

/* Take all addresses from 3 GiB below to 3 GiB above this program, but for what is there already. */
static void crowd(void)
{
	const unsigned long step = 1ul << 20, here = (unsigned long)crowd & ~(step - 1);

	for (unsigned long at = here - (3ul << 30); at < here + (3ul << 30); at += step)
		if (mmap((void *)at, step, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			 -1, 0) == MAP_FAILED)
			crowd_pages(at, step);
}

/* A process of its own, in the memory of this one; */
static int run_sharing(void *unused)
{
	(void)unused;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (1)
		pause();
	return 0;
}

/* or that makes one, and ends; */
static int run_sharing_by_child(void *unused)
{
	static char stack[65536];

	(void)unused;
	return clone(run_sharing, stack + sizeof(stack), CLONE_VM | CLONE_PARENT | SIGCHLD, NULL) < 0;
}

/* or whose first thread ends. */
static int run_sharing_headless(void *unused)
{
	static char stack[65536];

	(void)unused;
	if (clone(run_sharing, stack + sizeof(stack), CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0)
		syscall(SYS_exit, 0);
	return 1;
}

static void share(const char *word)
{
	bool by_child = !strcmp(word, "share-by-child"), headless = !strcmp(word, "share-headless");
	int (*run)(void *) = by_child ? run_sharing_by_child : headless ? run_sharing_headless : run_sharing;
	static char stack[65536];
	static volatile pid_t first = 1;
	/* (Who traces this one would hold that one, or this one at its signal.) */
	pid_t child = clone(run, stack + sizeof(stack), CLONE_VM | CLONE_UNTRACED | CLONE_CHILD_CLEARTID, NULL, NULL, NULL, &first);
	int status = 0;

	if (child < 0 || (by_child && (waitpid(child, &status, __WALL) != child || status)))
		exit(2);
	/* The kernel stores that when the thread begins to end. */
	while (headless && first)
		usleep(1000);
	usleep(10000);
}

static void make_child(void)
{
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
	}
}

static void *run_answers(void *unused)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "park\n")) {
			park_start = 1;
			while (!parked)
				usleep(100);
		}
		if (!strcmp(line, "unpark\n"))
			park_end = 1;
		if (!strncmp(line, "share", 5)) {
			line[strcspn(line, "\n")] = '\0';
			share(line);
		}
		if (!strcmp(line, "fork\n"))
			make_child();
		printf("%d %d %d\n", version(), answer(21), errors);
		fflush(stdout);
	}
	exit(0);
	return unused;
}

#include "victim_odd.h"

static void set_up(const char *word)
{
	pthread_t thread;

	if (be_odd(word))
		return;
	if (!strcmp(word, "leaderless")) {
		pthread_create(&thread, NULL, run_answers, NULL);
		pthread_exit(NULL);
	} else if (!strcmp(word, "crowded")) {
		crowd();
	} else if (!strcmp(word, "patient")) {
		patient = 1;
	} else if (!strncmp(word, "share", 5)) {
		share(word);
	} else if (!strcmp(word, "vforked")) {
		if (!vfork())
			run_answers(NULL);
		_exit(0);
	} else if (!strcmp(word, "uring")) {
		/* With a thread of the kernel's among those of the program, which polls for requests. */
		struct io_uring_params params = { .flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 100000 };

		if (syscall(SYS_io_uring_setup, 8, &params) < 0)
			exit(77);
	} else if (!strcmp(word, "hardened")) {
		if (prctl(65 /* PR_SET_MDWE */, 1 /* PR_MDWE_REFUSE_EXEC_GAIN */, 0, 0, 0))
			exit(77);
	} else {
		start_thread(word);
	}
}

int main(int argc, char **argv)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return 2;
	for (int i = 1; i < argc; i++)
		set_up(argv[i]);
	run_answers(NULL);
	return 0;
}
