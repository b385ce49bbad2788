/*
 * thrower.cc: a C++ program that throws exceptions through fa(), which is C and patched (thrown.c). It answers the same
 * lines as contract.c: run, send, log, cancel, tid, trace and sums, for worker 0. KIND is the depth: how often fa calls itself,
 * through the program, before it waits. send: g goes on, t throw, n throw and catch without leaving fa.
 */
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <pthread.h>
#include <stdexcept>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
void note(char what, int version);
int fa(void (*inside)(int), int depth);
int fb(void);
}

static char text[2048], traced[64];
static std::atomic<int> length, mixed, tid;
static std::atomic<bool> stop;
static int pipes[2], depth;
static pthread_t worker;
static thread_local bool tracing;

/* The same thing again is not written. */
extern "C" void note(char what, int version)
{
	char word[3] = { what, (char)(version ? '0' + version : 0), 0 };

	if (what == 'M')
		mixed++;
	if (tracing) {
		std::strcat(traced, word);
		return;
	}
	int size = (int)std::strlen(word), at = length;
	if (at + 3 > (int)sizeof(text) || (at >= size && what == 'b' && !std::memcmp(text + at - size, word, size)))
		return;
	std::memcpy(text + at, word, size);
	length = at + size;
}

struct guard {
	~guard() { note('d', 0); }	/* run by unwinding */
};

static void inside(int left)
{
	char byte = 0;
	guard ended;

	if (tracing)
		return;
	if (left > 0) {
		fa(inside, left - 1);
		return;
	}
	while (byte != 'g') {
		if (read(pipes[0], &byte, 1) != 1)
			std::abort();
		if (byte == 't')
			throw std::runtime_error("thrown");
		if (byte == 'n')
			try {
				throw 1;
			} catch (int) {
				note('n', 0);
			}
	}
}

static void *run(void *unused)
{
	const timespec nap = { 0, 1000000 };

	tid = (int)syscall(SYS_gettid);
	try {
		fa(inside, depth);
		fb();
	} catch (const std::runtime_error &) {
		note('x', 0);
	}
	while (!stop) {
		fb();
		nanosleep(&nap, nullptr);
	}
	return unused;
}

static void answer(const char *line)
{
	char word[16] = "";

	if (sscanf(line, "run 0 %d", &depth) == 1) {
		puts(pthread_create(&worker, nullptr, run, nullptr) ? "failed" : "ok");
	} else if (sscanf(line, "send 0 %15s", word) == 1) {
		puts(write(pipes[1], word, std::strlen(word)) == (ssize_t)std::strlen(word) ? "ok" : "failed");
	} else if (!std::strcmp(line, "log 0\n")) {
		printf("%.*s\n", length.load(), text);
	} else if (!std::strcmp(line, "cancel 0\n")) {
		puts(pthread_cancel(worker) ? "failed" : "ok");
	} else if (!std::strcmp(line, "tid 0\n")) {
		printf("%d\n", tid.load());
	} else if (!std::strcmp(line, "trace\n")) {
		traced[0] = 0;
		tracing = true;
		fa(inside, 0);
		fb();
		tracing = false;
		for (char *at = traced; *at; at++)
			if (*at != 'd')
				putchar(*at);
		putchar('\n');
	} else if (!std::strcmp(line, "sums\n")) {
		printf("%d 0\n", mixed.load());
	} else {
		puts("what?");
	}
	fflush(stdout);
}

int main()
{
	char line[64];

	if (pipe(pipes))
		return 2;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		answer(line);
	std::_Exit(0);
}
