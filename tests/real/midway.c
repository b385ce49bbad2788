/*
 * midway.c: preloaded into a program, stops it in the middle of its work: at certain calls of malloc() or free(), below whatever code made them.
 *
 *	MIDWAY=FILE			when the program ends, write to FILE how many such calls it has made
 *	MIDWAY=FILE MIDWAY_AT=N,M	at call N write FILE.N, and wait until that is gone; then the same at call M
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* glibc's own, by names that it exports for those that stand before it */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *memory);

static char path[256];
static bool counting;
static long next;		/* 0: none */
static atomic_long at, calls;

static void wait_here(void)
{
	const struct timespec while_waiting = { .tv_nsec = 5000000 };
	char here[300];
	int file;

	snprintf(here, sizeof(here), "%s.%ld", path, atomic_load(&at));
	file = open(here, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (file >= 0)
		close(file);
	atomic_store(&at, next);
	while (!access(here, F_OK))
		nanosleep(&while_waiting, NULL);
}

static void count(void)
{
	if (atomic_fetch_add(&calls, 1) + 1 == atomic_load(&at))
		wait_here();
}

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	count();
	return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
	count();
	return __libc_realloc(old, size);
}

void free(void *memory)
{
	if (memory)
		count();
	__libc_free(memory);
}

/* Programs that it starts do without. What was called before this (other libraries' constructors) is not counted. */
__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("MIDWAY"), *number = getenv("MIDWAY_AT");

	if (!file || strlen(file) >= sizeof(path))
		return;
	strcpy(path, file);
	unsetenv("LD_PRELOAD");
	unsetenv("MIDWAY");
	atomic_store(&calls, 0);
	counting = !number;
	if (number) {
		atomic_store(&at, atol(number));
		next = strchr(number, ',') ? atol(strchr(number, ',') + 1) : 0;
	}
}

__attribute__((destructor)) static void end(void)
{
	FILE *file = *path && counting ? fopen(path, "w") : NULL;

	if (file) {
		fprintf(file, "%ld\n", atomic_load(&calls));
		fclose(file);
	}
}
