/*
 * How long stent stops a process in all, beside what stopping and resuming the same threads costs with ptrace and
 * nothing else:
 *
 *	bench_pause STENT TARGET PATCH NAME
 *
 * Bare stops, `stent apply` and `stent revert` take turns in one run; each figure is the median of the rounds. The bare stop
 * is done as stent does it, or better: everybody seized before, asked together, waited for one by one without looking at
 * them, at real-time priority, and only the time from the first request to the last detach counts. The gap is what the
 * target itself has seen: see bench_pause_target.c.
 *
 * A revert stops the target once more, to see whether it refers to the memory of the patch: as long as it takes to search all of the target's
 * memory for addresses. That has a column of its own, and no limit.
 *
 * The busy target runs with the lowest priority, which has no say while the one who stops it runs at real-time priority, so that
 * a thousand spinning threads don't keep the measuring programs from running in between.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_pause.h"
#include "process/threads.h"

#define LIMIT 1.5		/* times the bare stop */
#define ROUNDS_MAX 15

static const char *stent, *target, *patch, *name;

struct victim {
	pid_t pid;
	int input;
	const char *kind;
	int threads;
};

static struct bench_pause *shared;

/* (The target is killed by the kernel when this one ends.) */
static void die(const char *what)
{
	fprintf(stderr, "bench_pause: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(2);
}

static void start_victim(struct victim *victim, int memory)
{
	char descriptor[16], threads[16];
	int ends[2];

	memset(shared, 0, sizeof(*shared));
	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	snprintf(descriptor, sizeof(descriptor), "%d", memory);
	snprintf(threads, sizeof(threads), "%d", victim->threads);
	victim->pid = fork();
	if (!victim->pid) {
		dup2(ends[0], STDIN_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!strcmp(victim->kind, "busy"))
			setpriority(PRIO_PROCESS, 0, 19);
		execl(target, target, descriptor, threads, victim->kind, (char *)NULL);
		_exit(127);
	}
	close(ends[0]);
	victim->input = ends[1];
	for (int i = 0; shared->ready < victim->threads; i++) {
		if (i == 20000 || waitpid(victim->pid, NULL, WNOHANG))
			die("the target does not start");
		usleep(1000);
	}
}

static void stop_victim(struct victim *victim)
{
	kill(victim->pid, SIGKILL);
	waitpid(victim->pid, NULL, 0);
	close(victim->input);
	victim->pid = 0;
}

static void check_version(struct victim *victim, int expected)
{
	shared->asked = true;
	if (strcmp(victim->kind, "busy") && write(victim->input, "", 1) != 1)
		die("the target has ended");
	for (int i = 0; shared->asked; i++) {
		if (i == 20000)
			die("the target does not answer");
		usleep(1000);
	}
	errno = 0;
	if (shared->version != expected)
		die("the target does not run the version that it should");
}

static size_t list_threads(pid_t pid, pid_t *tids, size_t room)
{
	char path[64];
	struct dirent *entry;
	size_t count = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory)) && count < room)
		if (isdigit((unsigned char)entry->d_name[0]))
			tids[count++] = atoi(entry->d_name);
	if (directory)
		closedir(directory);
	return count;
}

/* Nanoseconds. */
static uint64_t stop_barely(const struct victim *victim)
{
	struct sched_param highest = { .sched_priority = sched_get_priority_min(SCHED_FIFO) }, usual = { 0 };
	static pid_t tids[4096];
	size_t count = list_threads(victim->pid, tids, sizeof(tids) / sizeof(*tids));
	uint64_t begun;

	for (size_t i = 0; i < count; i++)
		if (ptrace(PTRACE_SEIZE, tids[i], NULL, (void *)PTRACE_O_TRACESYSGOOD))
			die("ptrace");
	sched_setscheduler(0, SCHED_FIFO, &highest);
	begun = clock_now();
	for (size_t i = 0; i < count; i++)
		ptrace(PTRACE_INTERRUPT, tids[i], NULL, NULL);
	for (size_t i = 0; i < count; i++)
		waitpid(tids[i], NULL, __WALL);
	for (size_t i = 0; i < count; i++)
		ptrace(PTRACE_DETACH, tids[i], NULL, NULL);
	begun = clock_now() - begun;
	sched_setscheduler(0, SCHED_OTHER, &usual);
	return begun;
}

struct outcome {
	double paused;		/* ms */
	double gap, command, search;
	int stops;
};

/* Run stent, and take what it says about the pause. */
static void run_stent(const struct victim *victim, const char *command, const char *what, struct outcome *outcome)
{
	char pid[16], line[512], said[4096] = "";
	uint64_t begun = clock_now();
	int ends[2], status;
	bool found = false;
	FILE *output;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	snprintf(pid, sizeof(pid), "%d", victim->pid);
	child = fork();
	if (!child) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execl(stent, stent, command, "-v", "--timeout", "60", what, "-p", pid, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	output = fdopen(ends[0], "r");
	outcome->stops = 1;
	while (output && fgets(line, sizeof(line), output)) {
		const char *tries = strchr(line, '(');

		if (strlen(said) + strlen(line) < sizeof(said))
			strcat(said, line);
		if (strstr(line, " ms more, ")) {
			sscanf(line, " paused %lf ms", &outcome->search);
			continue;
		}
		if (sscanf(line, " paused %lf ms", &outcome->paused) != 1)
			continue;
		found = true;
		if (tries)
			sscanf(tries, "(%d ", &outcome->stops);
	}
	if (output)
		fclose(output);
	if (waitpid(child, &status, 0) != child || status || !found) {
		errno = 0;
		fputs(said, stderr);
		die("stent failed, or did not say how long it paused the target");
	}
	outcome->command = (double)(clock_now() - begun) / 1e6;
}

static void begin_gap(void)
{
	usleep(2000);
	shared->last = 0;
	shared->gap = 0;
}

/* (The gap ends when a thread reads the clock again.) */
static double end_gap(void)
{
	usleep(2000);
	return (double)shared->gap / 1e6;
}

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

struct column {
	double paused[ROUNDS_MAX], gap[ROUNDS_MAX], command[ROUNDS_MAX], search[ROUNDS_MAX];
	int stops;
};

static void note(struct column *column, int round, const struct outcome *outcome)
{
	column->paused[round] = outcome->paused;
	column->gap[round] = outcome->gap;
	column->command[round] = outcome->command;
	column->search[round] = outcome->search;
	column->stops += outcome->stops;
}

static void measure(const struct victim *victim, const char *command, const char *what, struct column *column, int round)
{
	struct outcome outcome = { 0 };

	begin_gap();
	if (command)
		run_stent(victim, command, what, &outcome);
	else
		outcome.paused = (double)stop_barely(victim) / 1e6;
	outcome.gap = end_gap();
	note(column, round, &outcome);
}

static void print_gap(double gap)
{
	if (gap > 0)
		printf("%9.3f", gap);
	else
		printf("%9s", "-");
}

/* False: the limit is missed. */
static bool run_kind(const char *kind, int threads, int memory)
{
	struct victim victim = { .kind = kind, .threads = threads };
	struct column bare = { 0 }, apply = { 0 }, revert = { 0 };
	int rounds = threads > 500 ? ROUNDS_MAX / 2 : ROUNDS_MAX;
	double stop, applied, reverted;

	start_victim(&victim, memory);
	/* The first of each does what later ones find done: the cache of unwind rows, pages that are written to. */
	for (int round = -1; round < rounds; round++) {
		int index = round < 0 ? 0 : round;

		if (!round)
			bare.stops = apply.stops = revert.stops = 0;
		shared->spin = true;
		measure(&victim, NULL, NULL, &bare, index);
		measure(&victim, "apply", patch, &apply, index);
		shared->spin = false;
		check_version(&victim, 2);
		shared->spin = true;
		measure(&victim, "revert", name, &revert, index);
		shared->spin = false;
		check_version(&victim, 1);
	}
	stop_victim(&victim);
	stop = median(bare.paused, rounds);
	applied = median(apply.paused, rounds);
	reverted = median(revert.paused, rounds);
	printf("%7d  %-8s%9.3f%9.3f%9.3f", threads, kind, stop, applied, reverted);
	printf("%8.2f%8.2f%6.1f%6.1f", applied / stop, reverted / stop, (double)apply.stops / rounds,
	       (double)revert.stops / rounds);
	print_gap(median(bare.gap, rounds));
	print_gap(median(apply.gap, rounds));
	printf("%9.3f%9.1f", median(revert.search, rounds), median(apply.command, rounds));
	puts(applied > LIMIT * stop || reverted > LIMIT * stop ? "  MISSED" : "");
	fflush(stdout);
	return applied <= LIMIT * stop && reverted <= LIMIT * stop;
}

int main(int argc, char **argv)
{
	static const int counts[] = { 1, 8, 64, 256, 1000 };
	static const char *const kinds[] = { "blocked", "watched", "busy" };
	int memory = memfd_create("bench_pause", 0), missed = 0, rows = 0;

	if (argc != 5) {
		fputs("usage: bench_pause STENT TARGET PATCH NAME\n", stderr);
		return 2;
	}
	stent = argv[1];
	target = argv[2];
	patch = argv[3];
	name = argv[4];
	if (memory < 0 || ftruncate(memory, sizeof(*shared)))
		die("memory");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (shared == MAP_FAILED)
		die("memory");
	puts("Pause of a target in all, beside a bare ptrace stop of the same threads; milliseconds, medians.\n"
	     "blocked: all threads wait; watched: all but one, which reads the clock; busy: all read the clock.\n");
	printf("%7s  %-8s%9s%9s%9s%8s%8s%12s%18s%9s%9s\n", "", "", "bare", "apply", "revert", "apply", "revert", "stops per",
	       "longest gap in", "revert,", "apply,");
	printf("%7s  %-8s%9s%9s%9s%8s%8s%6s%6s%9s%9s%9s%9s\n", "threads", "", "stop", "paused", "paused", "/ bare", "/ bare", "apply",
	       "revert", "bare", "apply", "search", "command");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		for (size_t j = 0; j < sizeof(counts) / sizeof(*counts); j++) {
			if (counts[j] == 1 && !strcmp(kinds[i], "watched"))
				continue;	/* there is none besides the one who watches */
			rows++;
			missed += !run_kind(kinds[i], counts[j], memory);
		}
	printf("\n%d of %d rows are within %.1f times the bare stop\n", rows - missed, rows, LIMIT);
	return missed != 0;
}
