/*
 * What a walk costs: 64 stopped threads of 38 frames each, in one run, by stent and by others.
 *
 *	bench_unwind PROGRAM	PROGRAM: tests/stack/many
 *
 * us per thread and per frame, the median of several rounds that take turns: `read` is one process_vm_readv() of what a
 * walk reads at once, a floor; `stent` is stack_walk() over rows that are there (survey_unwind() before the stop, as
 * `apply` does it); libdwfl and libunwind-ptrace have seen all these threads before, too. With its cache, libunwind has the
 * rules of every frame at hand; without, it looks at the file again for each. All must find the same addresses.
 */
#include <elf.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <libunwind-ptrace.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/stacks.h"
#include "live/survey.h"

#define THREADS 64
#define FRAMES 38
#define FRAMES_MAX 128
#define ROUNDS 41
#define ROUNDS_SLOW 3
#define STOP_MS 1000
#define TEXT(number) #number
#define TEXT_OF(number) TEXT(number)

struct chain {
	size_t count;
	uint64_t pc[FRAMES_MAX];
};

struct bench {
	struct process process;
	struct survey survey;
	struct threads threads;		/* [0] is the first one, which only waits: it is left out */
	struct maps maps;
	struct unwind_trace *trace;
	Dwfl *dwfl;
	unw_addr_space_t cached, uncached;
	void *contexts[THREADS];
	struct chain chain;		/* the last one found */
};

struct contender {
	const char *name;
	void (*walk)(struct bench *bench, size_t number);	/* into bench->chain, of threads.item[number] */
	int rounds;
	double ns[ROUNDS];		/* for all threads, sorted in the end */
};

static void die(const char *what)
{
	fprintf(stderr, "bench_unwind: %s\n", what);
	exit(1);
}

static void add(struct chain *chain, uint64_t pc)
{
	if (chain->count < FRAMES_MAX)
		chain->pc[chain->count++] = pc;
}

static void read_only(struct bench *bench, size_t number)
{
	static uint8_t bytes[UNWIND_WINDOW];
	const struct thread *thread = &bench->threads.item[number];
	struct range stack;
	struct iovec local = { .iov_base = bytes }, remote;

	stack_find(&bench->survey, &bench->maps, thread, &stack);
	local.iov_len = stack.end - stack.start < sizeof(bytes) ? stack.end - stack.start : sizeof(bytes);
	remote = (struct iovec){ (void *)stack.start, local.iov_len };
	if (process_vm_readv(thread->tid, &local, 1, &remote, 1, 0) != (ssize_t)local.iov_len)
		die("a stack can't be read");
}

static void walk_stent(struct bench *bench, size_t number)
{
	const struct thread *thread = &bench->threads.item[number];
	struct range stack;
	const char *doubt = stack_find(&bench->survey, &bench->maps, thread, &stack);

	stack_walk(&bench->survey, &bench->maps, arch_by_machine(EM_X86_64), thread, stack, doubt, NULL, bench->trace);
}

static int add_dwfl_frame(Dwfl_Frame *frame, void *chain)
{
	Dwarf_Addr pc;
	bool interrupted;

	if (!dwfl_frame_pc(frame, &pc, &interrupted))
		return DWARF_CB_ABORT;
	add(chain, pc);
	return DWARF_CB_OK;
}

static void walk_dwfl(struct bench *bench, size_t number)
{
	bench->chain.count = 0;
	dwfl_getthread_frames(bench->dwfl, bench->threads.item[number].tid, add_dwfl_frame, &bench->chain);
}

static void walk_unwind(struct bench *bench, size_t number, unw_addr_space_t space)
{
	unw_cursor_t cursor;
	unw_word_t pc;

	bench->chain.count = 0;
	if (unw_init_remote(&cursor, space, bench->contexts[number - 1]))
		return;
	do {
		if (unw_get_reg(&cursor, UNW_REG_IP, &pc))
			return;
		add(&bench->chain, pc);
	} while (unw_step(&cursor) > 0);
}

static void walk_unwind_cached(struct bench *bench, size_t number)
{
	walk_unwind(bench, number, bench->cached);
}

static void walk_unwind_uncached(struct bench *bench, size_t number)
{
	walk_unwind(bench, number, bench->uncached);
}

enum { READ, STENT, DWFL, CACHED, UNCACHED, CONTENDERS };

static struct contender contenders[CONTENDERS] = {
	[READ] = { "read", read_only, ROUNDS, { 0 } },
	[STENT] = { "stent", walk_stent, ROUNDS, { 0 } },
	[DWFL] = { "libdwfl", walk_dwfl, ROUNDS, { 0 } },
	[CACHED] = { "libunwind, cached", walk_unwind_cached, ROUNDS, { 0 } },
	[UNCACHED] = { "libunwind, uncached", walk_unwind_uncached, ROUNDS_SLOW, { 0 } },
};

/* Starts the program, and waits until its threads stand still. */
static pid_t start_target(const char *program)
{
	char line[4096] = "";
	int pipes[2];
	FILE *output;
	pid_t pid;

	if (pipe(pipes))
		die("there is no pipe");
	pid = fork();
	if (pid < 0)
		die("can't start another process");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		execl(program, program, TEXT_OF(THREADS), TEXT_OF(FRAMES), (char *)NULL);
		_exit(1);
	}
	close(pipes[1]);
	output = fdopen(pipes[0], "r");
	while (output && fgets(line, sizeof(line), output) && strcmp(line, "ready\n") != 0)
		;
	if (strcmp(line, "ready\n") != 0)
		die("the program does not get ready");
	usleep(100000);	/* the last thread still has to come into its call */
	return pid;
}

static int no_debug_info(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
			 const char *link, GElf_Word checksum, char **found)
{
	(void)module, (void)data, (void)name, (void)base, (void)file, (void)link, (void)checksum, (void)found;
	return -1;
}

static void begin_others(struct bench *bench)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf, .find_debuginfo = no_debug_info,
	};

	bench->dwfl = dwfl_begin(&callbacks);
	if (!bench->dwfl || dwfl_linux_proc_report(bench->dwfl, bench->process.pid) ||
	    dwfl_report_end(bench->dwfl, NULL, NULL) || dwfl_linux_proc_attach(bench->dwfl, bench->process.pid, true))
		die(dwfl_errmsg(-1));
	bench->cached = unw_create_addr_space(&_UPT_accessors, 0);
	bench->uncached = unw_create_addr_space(&_UPT_accessors, 0);
	if (!bench->cached || !bench->uncached || unw_set_caching_policy(bench->cached, UNW_CACHE_GLOBAL) ||
	    unw_set_caching_policy(bench->uncached, UNW_CACHE_NONE))
		die("libunwind can't begin");
	for (size_t i = 0; i < THREADS; i++)
		bench->contexts[i] = _UPT_create(bench->threads.item[i + 1].tid);
}

static void end_others(struct bench *bench)
{
	for (size_t i = 0; i < THREADS; i++)
		_UPT_destroy(bench->contexts[i]);
	unw_destroy_addr_space(bench->uncached);
	unw_destroy_addr_space(bench->cached);
	dwfl_end(bench->dwfl);
}

/* All find what stent finds, and stent has proven it. Also the first look of each, which fills caches. Returns what is wrong. */
static const char *compare(struct bench *bench)
{
	for (size_t number = 1; number <= THREADS; number++) {
		const struct unwind_trace *trace = bench->trace;

		walk_stent(bench, number);
		if (!unwind_trace_proven(trace))
			return "stent has not proven a stack";
		if (trace->frames.count != FRAMES)
			return "a stack has not " TEXT_OF(FRAMES) " frames";
		for (size_t i = DWFL; i < CONTENDERS; i++) {
			contenders[i].walk(bench, number);
			if (bench->chain.count != FRAMES)
				return "another unwinder finds more or fewer frames";
			for (size_t j = 0; j < FRAMES; j++)
				if (bench->chain.pc[j] != trace->frames.item[j].pc)
					return "another unwinder finds other addresses";
		}
	}
	return NULL;
}

static void measure(struct bench *bench)
{
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < CONTENDERS; i++) {
			struct contender *contender = &contenders[i];
			uint64_t start = clock_now();

			if (round >= contender->rounds)
				continue;
			for (size_t number = 1; number <= THREADS; number++)
				contender->walk(bench, number);
			contender->ns[round] = (double)(clock_now() - start);
		}
}

static int compare_times(const void *one, const void *other)
{
	const double *a = one, *b = other;

	return *a < *b ? -1 : *a > *b;
}

/* us per thread. */
static double median(struct contender *contender)
{
	qsort(contender->ns, (size_t)contender->rounds, sizeof(contender->ns[0]), compare_times);
	return contender->ns[contender->rounds / 2] / THREADS / 1000;
}

static void print_ratio(const char *what, double ratio, double required)
{
	printf("%-28s %6.1f   at least %.0f required: %s\n", what, ratio, required, ratio >= required ? "reached" : "MISSED");
}

static void print_results(void)
{
	double took[CONTENDERS];

	for (size_t i = 0; i < CONTENDERS; i++)
		took[i] = median(&contenders[i]);
	printf("%d threads of %d frames, the median of %d rounds (%s: %d)\n\n", THREADS, FRAMES, ROUNDS,
	       contenders[UNCACHED].name, ROUNDS_SLOW);
	printf("%-20s %10s %9s %8s\n", "", "us/thread", "us/frame", "stent=1");
	for (size_t i = 0; i < CONTENDERS; i++)
		printf("%-20s %10.2f %9.4f %8.1f\n", contenders[i].name, took[i], took[i] / FRAMES, took[i] / took[STENT]);
	putchar('\n');
	print_ratio("libdwfl / stent", took[DWFL] / took[STENT], 10);
	print_ratio("cached libunwind / stent", took[CACHED] / took[STENT], 18);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	struct error error = { 0 };
	const char *wrong = NULL;
	enum status status;
	pid_t pid;

	if (argc != 2)
		die("usage: bench_unwind PROGRAM");
	pid = start_target(argv[1]);
	bench.trace = memory_zeroed(1, sizeof(*bench.trace));
	status = process_open(pid, PROCESS_LOOK, &bench.process, &error);
	if (status == STATUS_OK)
		status = survey_read(&bench.process, &bench.survey, &error);
	if (status == STATUS_OK) {
		survey_unwind(&bench.survey);
		status = threads_stop(&bench.process, STOP_MS, &bench.threads, &error);
		if (status == STATUS_OK)
			status = maps_read(&bench.process, &bench.maps, &error);
		if (status == STATUS_OK && bench.threads.count == THREADS + 1) {
			begin_others(&bench);
			wrong = compare(&bench);
			if (!wrong)
				measure(&bench);
			end_others(&bench);
		}
		threads_release(&bench.process, &bench.threads);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (status != STATUS_OK)
		die(error.text);
	if (wrong)
		die(wrong);
	print_results();
	unwind_trace_free(bench.trace);
	free(bench.trace);
	maps_free(&bench.maps);
	threads_free(&bench.threads);
	survey_free(&bench.survey);
	process_close(&bench.process);
	return 0;
}
