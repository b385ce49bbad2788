/*
 * Which pages hold something: told by the kernel in runs, where it can, and by an entry for each page. Both are compared with what was done to
 * the pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "live/pages.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 1500u		/* more than are told at once, with about every second one alone */
#define GUARD_INSTALL 102	/* MADV_GUARD_INSTALL, Linux 6.13 */

static struct process self;

static int open_self(void **state)
{
	(void)state;
	self.directory = open("/proc/self", O_DIRECTORY | O_CLOEXEC);
	return self.directory < 0;
}

/* The kernel tells runs since Linux 6.7. */
static bool tells_runs(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname about;

	return !uname(&about) && sscanf(about.release, "%u.%u", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 7));
}

/* Page by page, how often it was visited. */
struct seen {
	struct range all;
	unsigned int times[PAGES];
	uint64_t last, size;	/* where the last run ended, and how much all are together */
	unsigned int most;	/* runs to visit; 0: all */
};

static bool see(void *context, struct range run)
{
	struct seen *seen = context;

	assert_true(run.start >= seen->last && run.start < run.end && run.end <= seen->all.end);
	assert_true(run.end - run.start <= PAGES_RUN_MAX);
	assert_int_equal(run.start % PAGE | run.end % PAGE, 0);
	for (uint64_t at = run.start; at < run.end; at += PAGE)
		seen->times[(at - seen->all.start) / PAGE]++;
	seen->last = run.end;
	seen->size += run.end - run.start;
	return !seen->most || --seen->most;
}

/* By runs, or by entries. Returns what pages_each() does. */
static bool look(void *memory, size_t count, bool own, bool scans, uint64_t limit, struct seen *seen, struct pages *pages)
{
	bool all;

	seen->all = (struct range){ (uintptr_t)memory, (uintptr_t)memory + count * PAGE };
	pages_open(&self, own, limit, pages);
	assert_true(pages->map >= 0);
	pages->scans &= scans;
	all = pages_each(pages, seen->all, see, seen);
	if (scans && tells_runs())
		assert_true(pages->scans);
	pages_close(pages);
	return all;
}

static char *map(size_t count, int flags, int file)
{
	char *memory = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, flags, file, 0);

	assert_true(memory != MAP_FAILED);
	madvise(memory, count * PAGE, MADV_NOHUGEPAGE);
	return memory;
}

static void check_each(char *memory, const char *kinds, const char *wanted, size_t count, bool own)
{
	for (int scans = 0; scans < 2; scans++) {
		struct seen seen = { 0 };
		struct pages pages;

		assert_true(look(memory, count, own, scans, UINT64_MAX, &seen, &pages));
		for (size_t i = 0; i < count; i++) {
			bool lent = kinds[i] == 'r' && (!scans || !pages.scans);	/* zeroes: an entry does not tell */

			if (seen.times[i] != (strchr(wanted, kinds[i]) || lent))
				fail_msg("page %zu (%c) is visited %u times, by %s", i, kinds[i], seen.times[i], scans ? "runs" : "entries");
		}
		assert_int_equal(pages.swapped, 0);
	}
}

/* w: written; r: read; u: never touched; g: a guard. */
static void test_memory_without_a_file(void **state)
{
	char *memory = map(PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1), kinds[PAGES];
	uint32_t number = 1;

	(void)state;
	for (size_t i = 0; i < PAGES; i++) {
		number = number * 1664525u + 1013904223u;
		kinds[i] = i > 1000 ? 'w' : "wruguw"[(number >> 16) % 6];
		if (kinds[i] == 'w')
			memory[i * PAGE] = 1;
		else if (kinds[i] == 'r')
			(void)*(volatile char *)(memory + i * PAGE);
		else if (kinds[i] == 'g' && madvise(memory + i * PAGE, PAGE, GUARD_INSTALL))
			kinds[i] = 'u';
	}
	check_each(memory, kinds, "w", PAGES, false);
	check_each(memory, kinds, "w", PAGES, true);
	munmap(memory, PAGES * PAGE);
}

/* f: as the file has it; w: written, so the process has a copy. */
static void test_memory_of_a_file(void **state)
{
	int file = memfd_create("test_pages", MFD_CLOEXEC);
	char *memory, kinds[] = "fwfwwffu";
	size_t count = sizeof(kinds) - 1;

	(void)state;
	assert_true(file >= 0 && ftruncate(file, (off_t)count * PAGE) == 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(pwrite(file, "x", 1, (off_t)i * PAGE), 1);
	memory = map(count, MAP_PRIVATE, file);
	for (size_t i = 0; i < count; i++)
		if (kinds[i] == 'w')
			memory[i * PAGE] = 1;
		else
			(void)*(volatile char *)(memory + i * PAGE);
	madvise(memory + (count - 1) * PAGE, PAGE, MADV_DONTNEED);
	check_each(memory, kinds, "fw", count, false);
	check_each(memory, kinds, "w", count, true);
	munmap(memory, count * PAGE);
	close(file);
}

/* The limit counts what is visited, and what the page table says of all. */
static void test_limit(void **state)
{
	char *memory = map(PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	const uint64_t table = PAGES * sizeof(uint64_t);

	(void)state;
	for (size_t i = 100; i < 110; i++)
		memory[i * PAGE] = 1;
	for (int scans = 0; scans < 2; scans++) {
		struct seen seen = { 0 };
		struct pages pages;

		assert_true(look(memory, PAGES, false, scans, table + 10 * PAGE, &seen, &pages));
		assert_false(pages.over);
		assert_int_equal(pages.left, 0);
		assert_int_equal(seen.size, 10 * PAGE);

		seen = (struct seen){ 0 };
		assert_false(look(memory, PAGES, false, scans, table + 10 * PAGE - 1, &seen, &pages));
		assert_true(pages.over);
		assert_int_equal(seen.size, 0);

		assert_false(look(memory, PAGES, false, scans, table - 1, &seen, &pages));
		assert_true(pages.over);
	}
	munmap(memory, PAGES * PAGE);
}

static void test_visits_end(void **state)
{
	char *memory = map(PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	for (size_t i = 0; i < PAGES; i += 2)
		memory[i * PAGE] = 1;
	for (int scans = 0; scans < 2; scans++) {
		struct seen seen = { .most = 3 };
		struct pages pages;

		assert_false(look(memory, PAGES, false, scans, UINT64_MAX, &seen, &pages));
		assert_false(pages.over);
		assert_int_equal(seen.size, 3 * PAGE);
	}
	munmap(memory, PAGES * PAGE);
}

/* Without a page table that can be read all pages count. */
static void test_unreadable(void **state)
{
	char *memory = map(PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct seen seen = { .all = { (uintptr_t)memory, (uintptr_t)memory + PAGES * PAGE } };
	struct pages pages = { .map = -1, .left = UINT64_MAX, .scans = true };

	(void)state;
	assert_true(pages_each(&pages, seen.all, see, &seen));
	assert_int_equal(seen.size, PAGES * PAGE);
	munmap(memory, PAGES * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_without_a_file),
		cmocka_unit_test(test_memory_of_a_file),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_visits_end),
		cmocka_unit_test(test_unreadable),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, open_self, NULL);
}
