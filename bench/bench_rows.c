/*
 * What rows cost: to build, to validate, and to get from the cache. Processor time, all in one run, the best of several rounds each.
 *
 *	bench_rows FILE...
 *
 * ns per row: `pass` is one pass over the section that reads every FDE and no instruction of it (a floor); `build`
 * is rows_build(); `libdw` is dwarf_cfi_addrframe() for the first address of every row, on a fresh handle, which is the same
 * work in elfutils; `validate` is validate_image(). ms per image, all of it with the digest of the file: `made` without any
 * cache, `disk` from a file, `memory` the second time.
 */
#include <elfutils/libdw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "unwind/rows_cache.h"
#include "unwind/validate.h"

#define ROUNDS 40
#define ROUNDS_SLOW 3

/* Processor time of this process: others that run meanwhile count less. */
static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void keep_best(double *best, double start)
{
	double took = now() - start;

	if (*best == 0 || took < *best)
		*best = took;
}

static double time_pass(const struct image *image)
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now();
		struct eh_fde fde;
		size_t offset = 0;
		const char *why;

		while (eh_frame_next(&image->eh_frame, &offset, &fde, &why))
			;
		keep_best(&best, start);
	}
	return best;
}

static double time_build(const struct image *image)
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now();
		struct rows *rows = rows_build(&image->eh_frame, image->span);

		keep_best(&best, start);
		rows_free(rows);
	}
	return best;
}

static double time_libdw(const struct image *image, const struct rows *rows)
{
	double best = 0;

	for (int round = 0; round < ROUNDS_SLOW; round++) {
		Elf *elf = elf_memory((char *)(uintptr_t)image->file, image->file_size);
		Dwarf_CFI *cfi;
		double start = now();

		cfi = dwarf_getcfi_elf(elf);
		for (uint32_t i = 0; cfi && i < rows->count; i++) {
			Dwarf_Frame *frame = NULL;

			if (rows->item[i].kind != ROW_NONE && !dwarf_cfi_addrframe(cfi, rows->text.start + rows->item[i].start, &frame))
				free(frame);
		}
		keep_best(&best, start);
		if (cfi)
			dwarf_cfi_end(cfi);
		elf_end(elf);
	}
	return best;
}

static double time_validate(const struct image *image)
{
	double best = 0;

	for (int round = 0; round < ROUNDS_SLOW; round++) {
		struct rows *rows = rows_build(&image->eh_frame, image->span);
		struct validation validation;
		double start = now();

		validate_image(image, rows, &validation);
		keep_best(&best, start);
		validation_free(&validation);
		rows_free(rows);
	}
	return best;
}

/* From a cache that has just been opened, and then once more from the same. */
static void time_cache(const struct image *image, const char *folder, int rounds, double *first, double *second)
{
	*first = *second = 0;
	for (int round = 0; round < rounds; round++) {
		struct rows_cache *cache = rows_cache_open(folder);
		double start = now();

		rows_cache_get(cache, image);
		keep_best(first, start);
		start = now();
		rows_cache_get(cache, image);
		keep_best(second, start);
		rows_cache_close(cache);
	}
}

static void measure(const char *path, const char *folder)
{
	double made, disk, memory, count;
	struct error error = { 0 };
	struct rows_cache *cache;
	struct image image;
	struct rows *rows;

	if (image_open(path, &image, &error)) {
		printf("%s\n", error.text);
		error_clear(&error);
		image_close(&image);
		return;
	}
	rows = rows_build(&image.eh_frame, image.span);
	count = rows->count;
	printf("%-24s %8u %7.1f %7.1f %7.1f %8.0f", image.name, rows->count, time_pass(&image) / count, time_build(&image) / count,
	       time_libdw(&image, rows) / count, time_validate(&image) / count);

	time_cache(&image, NULL, ROUNDS_SLOW, &made, &memory);
	cache = rows_cache_open(folder);
	rows_cache_get(cache, &image);
	rows_cache_close(cache);
	time_cache(&image, folder, ROUNDS, &disk, &memory);
	printf("   %8.2f %8.2f %8.2f   %5.0f\n", made / 1e6, disk / 1e6, memory / 1e6, made / disk);
	rows_free(rows);
	image_close(&image);
}

int main(int count, char **paths)
{
	char folder[] = "/tmp/stent-bench-XXXXXX";
	char *command;
	int status;

	if (!mkdtemp(folder)) {
		perror("bench_rows");
		return 1;
	}
	elf_version(EV_CURRENT);
	printf("%-24s %8s %7s %7s %7s %8s   %8s %8s %8s   %5s\n", "", "rows", "pass", "build", "libdw", "validate", "made", "disk",
	       "memory", "made:");
	printf("%-24s %8s %7s %7s %7s %8s   %8s %8s %8s   %5s\n", "image", "", "ns/row", "ns/row", "ns/row", "ns/row", "ms", "ms", "ms",
	       "disk");
	for (int i = 1; i < count; i++)
		measure(paths[i], folder);
	command = text_format("rm -r %s", folder);
	status = system(command);
	free(command);
	return status != 0;
}
