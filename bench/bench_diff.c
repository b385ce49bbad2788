/*
 * bench_diff.c: what comparing two builds costs: bench_diff NAME OLD NEW [NAME OLD NEW]...
 *
 * Each comparison runs in a process of its own, whose peak memory is then its. Instructions: those of both builds that the comparison
 * decodes once; it looks at those of changed functions again. Processor time: others that run meanwhile count less.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff/diff.h"
#include "program/program.h"

#define ROUNDS 3

struct cost {
	double seconds;
	long memory;		/* KiB */
	int status;
};

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

static struct cost measure(const char *old, const char *new)
{
	struct cost cost = { .status = -1 };
	struct rusage usage;
	pid_t child = fork();
	int status;

	if (!child) {
		static const struct diff_options options;
		struct error error = { 0 };
		struct patch patch;

		_exit(diff_images(old, new, &options, &patch, &error));
	}
	if (child < 0 || wait4(child, &status, 0, &usage) != child || !WIFEXITED(status))
		return cost;
	cost = (struct cost){ seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss, WEXITSTATUS(status) };
	return cost;
}

/* Functions and instructions of an image, for the table. In a child, so that its memory is not the next one's. */
static bool count(const char *path, size_t counts[2])
{
	int pipes[2];
	pid_t child;
	bool good;

	if (pipe(pipes) || (child = fork()) < 0)
		return false;
	if (!child) {
		struct error error = { 0 };
		struct image image;
		struct program program;
		size_t found[2] = { 0 };

		if (image_open(path, &image, &error) || program_load(&image, &program, &error))
			_exit(1);
		found[0] = program.functions.count;
		for (size_t i = 0; i < program.ranges.count; i++) {
			struct range span = program.ranges.item[i].span;
			const uint8_t *code = program_code(&program, &program.ranges.item[i]);
			struct insn insn;

			for (uint64_t at = 0; at < span.end - span.start; at += insn.length, found[1]++)
				if (!image.arch->decode(code + at, span.end - span.start - at, span.start + at, &insn))
					break;
		}
		_exit(write(pipes[1], found, sizeof(found)) != sizeof(found));
	}
	close(pipes[1]);
	good = read(pipes[0], counts, 2 * sizeof(*counts)) == 2 * sizeof(*counts);
	close(pipes[0]);
	waitpid(child, NULL, 0);
	return good;
}

static int compare_costs(const void *one, const void *other)
{
	const struct cost *a = one, *b = other;

	return (a->seconds > b->seconds) - (a->seconds < b->seconds);
}

int main(int argc, char **argv)
{
	static const char *const results[] = { "a patch", "error", "refused", "nothing to do" };

	printf("%-14s %9s %13s %9s %8s %16s %15s  %s\n", "pair", "functions", "instructions", "seconds", "MiB", "instructions/s", "ns/instruction",
	       "result");
	for (int i = 1; i + 2 < argc; i += 3) {
		struct cost costs[ROUNDS];
		size_t old[2], new[2];
		double decoded;

		if (!count(argv[i + 1], old) || !count(argv[i + 2], new)) {
			fprintf(stderr, "%s: can't be read\n", argv[i]);
			return 1;
		}
		for (int round = 0; round < ROUNDS; round++)
			costs[round] = measure(argv[i + 1], argv[i + 2]);
		qsort(costs, ROUNDS, sizeof(*costs), compare_costs);
		decoded = (double)(old[1] + new[1]);
		printf("%-14s %9zu %13.0f %9.2f %8ld %16.0f %15.0f  %s\n", argv[i], old[0], decoded, costs[ROUNDS / 2].seconds,
		       costs[ROUNDS / 2].memory / 1024, decoded / costs[ROUNDS / 2].seconds, costs[ROUNDS / 2].seconds / decoded * 1e9,
		       (size_t)costs[0].status < sizeof(results) / sizeof(results[0]) ? results[costs[0].status] : "ended by a signal");
	}
	return 0;
}
