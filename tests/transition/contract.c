/*
 * contract.c: the program whose threads are moved from one version to another. fa() waits wherever the test wants it to,
 * with a structure for helper() half made; fb() is what its caller calls next. Each of them writes its letter and version
 * into the log of its thread, so that a log such as "a1h1b2" tells what ran, in order. helper() is told by its caller which
 * version that is, in a place where all versions have it, and writes M when it is another than its own.
 *
 *	contract [again | leader]
 *
 * `leader`: the first thread is worker 0, and another one answers. Lines of standard input are answered with one line each:
 *
 *	run N KIND	worker N begins; KIND: pair, recursive, jumper, signalled, lingering, outside (which waits, but not in fa),
 *			polling (which waits in epoll_wait with a time-out, again and again), blocking (SIGTRAP)
 *	send N BYTES	worker N, which waits in fa, does what each says: g goes on, l longjmp, e pthread_exit, E exit of the thread
 *			alone, T raise(SIGTRAP), t a thread that calls fb (log N + 4), f fork (the child is worker N + 8), v vfork, x exec,
 *			X exec of sleep, O fork as f, of a child that lives on when this process,
 *			which has one thread, ends; q no more
 *	log N		what it has written; "." at the end: it is done
 *	create N	the answering thread makes a thread that calls fb, with log N
 *	cancel N	pthread_cancel
 *	join N		pthread_join
 *	pointer N	the thread pointer of worker N
 *	traps		SIGTRAP gets a handler, which counts; how many have arrived
 *	walk N		N threads call fb now and then, until the end
 *	calls		calls by walkers in versions 1, 2, 3
 *	trace		what the answering thread writes for fa and then fb, with nobody waiting; fc and fd
 *	sums		mixed calls, errors
 *	signals COUNT	send so many signals to worker 0, which counts them
 *	signalled	how many were sent and handled; those out of order are errors
 *	child N		the pid of worker N + 8
 *	tid N		the thread of worker N
 *
 * FAMILY, C and D are the versions of (fa, fb, helper), fc and fd; all 1 unless given.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef FAMILY
#define FAMILY 1
#endif
#ifndef C
#define C 1
#endif
#ifndef D
#define D 1
#endif

/* Not noipa: callers must be free to use what they know of a callee (-fipa-ra). */
#define PATCHED __attribute__((noinline, noclone))
/* What stays: the same code whatever versions it is called with, and no part of its callers. */
#define KEPT __attribute__((noinline, noclone, noipa))

#define WORKERS 65	/* the last one is the answering thread */
#define LOG 1024

/* Of the process and its children by fork. */
static struct shared {
	struct {
		atomic_int length;
		char text[LOG];
	} log[WORKERS];
	atomic_int mixed, errors, child[WORKERS];
} *shared;

static struct worker {
	pthread_t thread;
	char kind[16];
	unsigned long pointer;
	_Atomic pid_t tid;
} workers[WORKERS];

static int pipes[WORKERS][2];
static atomic_long calls[4], sent, handled, trapped;
static _Thread_local int self = -1;	/* its log; none: a walker, whose calls are counted */
static _Thread_local int poller = -1;	/* waits with epoll_wait */
static _Thread_local int brief;		/* write the same thing again only when it changed */
static _Thread_local sigjmp_buf landing;
static volatile int zero;

static void expect(int holds)
{
	if (!holds)
		shared->errors++;
}

static void nap(long microseconds)
{
	const struct timespec time = { microseconds / 1000000, microseconds % 1000000 * 1000 };

	expect(nanosleep(&time, NULL) == 0 || errno == EINTR);
}

static KEPT void note(char what, int version)
{
	char *text;
	int length;

	if (what == 'M')
		shared->mixed++;
	if (self < 0) {
		calls[version]++;
		return;
	}
	text = shared->log[self].text;
	length = shared->log[self].length;
	if (length + 3 > LOG || (brief && length >= 2 && text[length - 2] == what && text[length - 1] == '0' + version))
		return;
	text[length] = what;
	text[length + 1] = (char)('0' + version);
	shared->log[self].length = version ? length + 2 : length + 1;	/* 0: no version's */
}

static void wait_inside(void);

/* --- what the patches change --- */

/* The mark stands in the same place in all versions; the rest doesn't, and is compared too. */
#if FAMILY == 1
struct request {
	int mark, number;
};
#else
struct request {
	int mark, depth;
	long more[2 * FAMILY], number;
};
#endif
#define MARK (0x5a5a0000 + FAMILY)

static PATCHED int fa(int depth);
static PATCHED int fb(int depth);

static PATCHED int helper(const struct request *request)
{
	if (request->mark != MARK) {
		note('M', FAMILY);
		return -1;
	}
	note('h', FAMILY);
#if FAMILY > 1
	for (int i = 0; i < 2 * FAMILY; i++)
		expect(request->more[i] == request->depth + i);
#endif
	return (int)request->number + FAMILY;
}

static PATCHED int fa(int depth)
{
	struct request request = { .mark = MARK, .number = depth };

#if FAMILY > 1
	request.depth = depth;
	for (int i = 0; i < 2 * FAMILY; i++)
		request.more[i] = depth + i;
#endif
	note('a', FAMILY);
	if (depth > 0)
		expect(fb(depth) == depth - 1 + FAMILY);
	else
		wait_inside();
	return helper(&request);
}

/* fb(1) is fa(0) between b and B. */
static PATCHED int fb(int depth)
{
	int result = FAMILY;

	note('b', FAMILY);
	if (depth > 0) {
		result = fa(depth - 1);
		note('B', FAMILY);
	}
	return result;
}

static PATCHED int fc(int number)
{
	note('c', C);
	return number * C;
}

static PATCHED int fd(int number)
{
	note('d', D);
	return number ^ (0x100 + D);
}

/* --- what waiting in fa may come to --- */

static void *call_fb(void *slot)
{
	self = (int)(long)slot;
	fb(zero);
	note('.', 0);
	return NULL;
}

static void create(int slot)
{
	pthread_t thread;

	expect(pthread_create(&thread, NULL, call_fb, (void *)(long)slot) == 0 && pthread_detach(thread) == 0);
}

static void do_fork(int outlives)
{
	pid_t child = fork();

	if (child) {
		shared->child[self + 8] = child;
		if (outlives)
			_exit(0);
		return;
	}
	prctl(PR_SET_PDEATHSIG, outlives ? 0 : SIGKILL);
	self += 8;
	brief = 1;
	note('f', 0);
}

/* The child lives in this memory for half a second, deeper in this very stack. */
static void do_vfork(void)
{
	int status = -1;
	pid_t child = vfork();

	if (!child) {
		note('v', 0);
		fb(zero);
		nap(500000);
		fb(zero);
		_exit(0);
	}
	expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	note('V', 0);
}

/* Each of these has to run into its time-out, whoever stops the thread meanwhile. */
static void poll_pipe(void)
{
	struct epoll_event event;
	int count;

	while ((count = epoll_wait(poller, &event, 1, 20)) == 0)
		;
	expect(count == 1);
}

static KEPT void wait_inside(void)
{
	char byte;

	if (self < 0 || self == WORKERS - 1)
		return;
	while (1) {
		if (poller >= 0)
			poll_pipe();
		expect(read(pipes[self][0], &byte, 1) == 1);
		switch (byte) {
		case 'g':
			return;
		case 'l':
			siglongjmp(landing, 1);
		case 'e':
			pthread_exit(NULL);
		case 'E':
			syscall(SYS_exit, 0);
			break;
		case 'T':
			raise(SIGTRAP);
			break;
		case 't':
			create(self + 4);
			break;
		case 'f':
			do_fork(0);
			break;
		case 'v':
			do_vfork();
			break;
		case 'x':
			execl("/proc/self/exe", "contract", "again", NULL);
			break;
		case 'X':
			execl("/bin/sleep", "sleep", "30", NULL);
			break;
		case 'O':
			do_fork(1);
			break;
		default:
			expect(0);
		}
	}
}

/* --- workers; no call stands between fa and fb --- */

static KEPT int pair(int depth)
{
	int result = fa(depth);

	return result + fb(zero);
}

/* Calls fb() until it is told to stop; only changes are written. */
static void linger(void)
{
	struct timespec none = { 0 };
	fd_set set;

	brief = 1;
	do {
		fb(zero);
		nap(1000);
		FD_ZERO(&set);
		FD_SET(pipes[self][0], &set);
	} while (pselect(pipes[self][0] + 1, &set, NULL, NULL, &none, NULL) != 1);
}

static void handle(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	expect(info->si_value.sival_int == handled);
	handled++;
	fb(zero);
}

static void count_trap(int signal)
{
	(void)signal;
	trapped++;
}

static void after_cancel(void *unused)
{
	(void)unused;
	note('k', 0);
	fb(zero);
}

static void run(const char *kind)
{
	if (!strcmp(kind, "jumper")) {
		if (!sigsetjmp(landing, 1))
			fa(zero);
		note('j', 0);
		linger();
	} else if (!strcmp(kind, "signalled")) {
		const struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART };

		brief = 1;
		sigaction(SIGRTMIN, &action, NULL);
		pair(zero);
		linger();
	} else if (!strcmp(kind, "polling")) {
		struct epoll_event event = { .events = EPOLLIN };

		poller = epoll_create1(EPOLL_CLOEXEC);
		expect(epoll_ctl(poller, EPOLL_CTL_ADD, pipes[self][0], &event) == 0);
		pair(zero);
	} else if (!strcmp(kind, "blocking")) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGTRAP);
		pthread_sigmask(SIG_BLOCK, &set, NULL);
		pair(zero);
		linger();
	} else if (!strcmp(kind, "outside")) {
		note('o', 0);
		wait_inside();
		linger();
	} else {
		pair(!strcmp(kind, "recursive"));
		if (!strcmp(kind, "lingering") || (self >= 8 && self < 24))	/* in a child */
			linger();
	}
}

static void *run_worker(void *worker)
{
	char byte;

	self = (int)((struct worker *)worker - workers);
	workers[self].pointer = (unsigned long)pthread_self();
	workers[self].tid = (pid_t)syscall(SYS_gettid);
	pthread_cleanup_push(after_cancel, NULL);
	run(((struct worker *)worker)->kind);
	pthread_cleanup_pop(0);
	note('.', 0);
	/* Stay: the children of this thread end with it. */
	while (read(pipes[self][0], &byte, 1) == 1)
		;
	pause();
	return NULL;
}

static void *walk(void *unused)
{
	while (1) {
		fb(zero);
		nap(1000);
	}
	return unused;
}

/* In turns with the receiver's work: as many at once as the queue holds. */
static void *send_signals(void *count)
{
	for (long i = 0; i < (long)count; i++) {
		while (pthread_sigqueue(workers[0].thread, SIGRTMIN, (union sigval){ .sival_int = (int)i }) == EAGAIN)
			nap(100);
		sent++;
		nap(50);
	}
	return NULL;
}

/* --- answers --- */

static void answer_trace(void)
{
	self = WORKERS - 1;
	shared->log[self].length = 0;
	pair(zero);
	fc(zero);
	fd(zero);
	printf("%.*s\n", shared->log[self].length, shared->log[self].text);
	self = -1;
}

static void answer(const char *line)
{
	char word[16] = "";
	pthread_t thread;
	int n = 0;

	if (sscanf(line, "run %d %15s", &n, word) == 2) {
		strcpy(workers[n].kind, word);
		puts(pthread_create(&workers[n].thread, NULL, run_worker, &workers[n]) ? "failed" : "ok");
	} else if (sscanf(line, "send %d %15s", &n, word) == 2) {
		puts(write(pipes[n][1], word, strlen(word)) == (ssize_t)strlen(word) ? "ok" : "failed");
	} else if (sscanf(line, "log %d", &n) == 1) {
		printf("%.*s\n", shared->log[n].length, shared->log[n].text);
	} else if (sscanf(line, "create %d", &n) == 1) {
		create(n);
		puts("ok");
	} else if (sscanf(line, "cancel %d", &n) == 1) {
		puts(pthread_cancel(workers[n].thread) ? "failed" : "ok");
	} else if (sscanf(line, "join %d", &n) == 1) {
		puts(pthread_join(workers[n].thread, NULL) ? "failed" : "ok");
	} else if (sscanf(line, "pointer %d", &n) == 1) {
		printf("%lx\n", workers[n].pointer);
	} else if (!strcmp(line, "traps\n")) {
		signal(SIGTRAP, count_trap);
		printf("%ld\n", trapped);
	} else if (sscanf(line, "walk %d", &n) == 1) {
		for (; n > 0; n--)
			expect(pthread_create(&thread, NULL, walk, NULL) == 0);
		puts("ok");
	} else if (sscanf(line, "signals %d", &n) == 1) {
		puts(pthread_create(&thread, NULL, send_signals, (void *)(long)n) ? "failed" : "ok");
	} else if (sscanf(line, "child %d", &n) == 1) {
		printf("%d\n", shared->child[n + 8]);
	} else if (sscanf(line, "tid %d", &n) == 1) {
		printf("%d\n", workers[n].tid);
	} else if (!strcmp(line, "calls\n")) {
		printf("%ld %ld %ld\n", calls[1], calls[2], calls[3]);
	} else if (!strcmp(line, "signalled\n")) {
		printf("%ld %ld\n", sent, handled);
	} else if (!strcmp(line, "sums\n")) {
		printf("%d %d\n", shared->mixed, shared->errors);
	} else if (!strcmp(line, "trace\n")) {
		answer_trace();
	} else {
		puts("what?");
	}
	fflush(stdout);
}

static void *answer_all(void *unused)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin))
		answer(line);
	exit(0);
	return unused;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	pthread_t thread;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	for (int i = 0; i < WORKERS; i++)
		if (pipe2(pipes[i], 02000000 /* O_CLOEXEC */))
			return 2;
	if (strcmp(mode, "again") != 0)
		puts("ready");
	fflush(stdout);
	if (!strcmp(mode, "leader")) {
		if (pthread_create(&thread, NULL, answer_all, NULL))
			return 2;
		strcpy(workers[0].kind, "pair");
		workers[0].thread = pthread_self();
		run_worker(&workers[0]);
	}
	answer_all(NULL);
	return 0;
}
