/* No word of the memory is missed, wherever it is; nothing is visited twice; and what can't be read is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "live/word_search.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define PAGE 4096u
#define SIZE ((size_t)12 << 20)
#define WANTED UINT64_C(0x7f12345678)
#define WORDS (SIZE / sizeof(uint64_t))

static struct process self;
static uint64_t *memory;
static bool anywhere;	/* words may begin at every byte */

static int open_self(void **state)
{
	(void)state;
	self.pid = getpid();
	self.directory = open("/proc/self", O_DIRECTORY | O_CLOEXEC);
	self.memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return self.directory < 0 || self.memory < 0 || memory == MAP_FAILED;
}

struct seen {
	unsigned char times[WORDS];
	size_t hits, unreadable, most;
	bool go_on;
	atomic_uint on;
};

static bool see_hit(void *context, uint64_t word, uint64_t place)
{
	struct seen *seen = context;

	assert_int_equal(seen->on++, 0);	/* one call at a time */
	assert_int_equal(word, WANTED);
	assert_true(anywhere || place % sizeof(uint64_t) == 0);
	assert_in_range(place, (uintptr_t)memory, (uintptr_t)memory + SIZE - 1);
	seen->times[(place - (uintptr_t)memory) / sizeof(uint64_t)]++;
	seen->hits++;
	seen->on--;
	return !seen->most || seen->hits < seen->most;
}

static bool see_unreadable(void *context, struct range run)
{
	struct seen *seen = context;

	assert_true(run.end > run.start && run.end - run.start <= WORD_SEARCH_PIECE);
	seen->unreadable++;
	return seen->go_on;
}

static void add_all(struct word_search *search, uint64_t limit, bool fits)
{
	struct pages pages;

	word_search_clear(search);
	pages_open(&self, false, limit, &pages);
	assert_int_equal(word_search_add(search, &pages, (struct range){ (uintptr_t)memory, (uintptr_t)memory + SIZE }), fits);
	pages_close(&pages);
}

static bool run(struct word_search *search, pid_t tid, bool wanted, struct seen *seen)
{
	const struct range range = { WANTED, WANTED + 1 };
	struct scan_set set;
	bool all;

	scan_set_build(&set, &range, 1);
	all = word_search_run(search, &(struct word_visit){ .process = &self, .tid = tid, .set = wanted ? &set : NULL, .anywhere = anywhere, .hit = see_hit,
							    .unreadable = see_unreadable, .context = seen });
	scan_set_free(&set);
	return all;
}

/* Words in some places, of some pages; the others stay untouched. */
static size_t fill(unsigned int seed)
{
	size_t count = 0;

	madvise(memory, SIZE, MADV_DONTNEED);
	for (size_t page = 0; page < SIZE / PAGE; page++) {
		seed = seed * 1664525u + 1013904223u;
		if (seed >> 30 == 0)
			continue;
		memory[page * PAGE / sizeof(uint64_t) + 1] = WANTED - 1;
		if (seed >> 24 & 7)
			continue;
		/* First and last words of pages are where pieces meet. */
		memory[page * PAGE / sizeof(uint64_t) + (seed & 1 ? 0 : seed & 2 ? 511 : seed >> 4 & 511)] = WANTED;
		count++;
	}
	return count;
}

static void test_finds_all(void **state)
{
	(void)state;
	for (int helped = 0; helped < 2; helped++) {
		struct word_search search;

		word_search_open(helped, &search);
		for (unsigned int round = 0; round < 12; round++) {
			size_t count = fill(round * 99 + 7), size = 0;
			struct seen *seen = memory_zeroed(1, sizeof(*seen));

			add_all(&search, UINT64_MAX, true);
			for (size_t i = 0; i < search.runs.count; i++)
				size += search.runs.item[i].end - search.runs.item[i].start;
			assert_int_equal(search.size, size);
			assert_true(size < SIZE);
			assert_true(run(&search, round % 2 ? getpid() : 0, true, seen));
			assert_int_equal(seen->hits, count);
			for (size_t i = 0; i < WORDS; i++)
				assert_int_equal(seen->times[i], memory[i] == WANTED);
			/* Again, of the same pieces. */
			assert_true(run(&search, 0, true, seen));
			assert_int_equal(seen->hits, 2 * count);
			/* Nobody is asked where nothing is wanted. */
			assert_true(run(&search, 0, false, seen));
			assert_int_equal(seen->hits, 2 * count);
			free(seen);
		}
		word_search_close(&search);
	}
}

static void test_ends_when_told(void **state)
{
	struct word_search search;

	(void)state;
	fill(1);
	word_search_open(true, &search);
	add_all(&search, UINT64_MAX, true);
	for (unsigned int most = 1; most < 4; most++) {
		struct seen *seen = memory_zeroed(1, sizeof(*seen));

		seen->most = most;
		assert_false(run(&search, getpid(), true, seen));
		assert_int_equal(seen->hits, most);
		free(seen);
	}
	word_search_close(&search);
}

static void set_word(size_t page, size_t word)
{
	memory[page * PAGE / sizeof(uint64_t) + word] = WANTED;
}

/* What can't be read takes nothing else with it, though it is read in one call with others. */
static void test_unreadable(void **state)
{
	struct seen *seen = memory_zeroed(1, sizeof(*seen));
	struct word_search search;

	(void)state;
	memset(memory, 1, SIZE);
	for (size_t page = 2; page < 12; page += 4)
		madvise((char *)memory + page * PAGE, PAGE, MADV_DONTNEED);
	word_search_open(true, &search);
	add_all(&search, UINT64_MAX, true);
	assert_true(search.runs.count > search.pieces.count);
	set_word(0, 3);
	set_word(5, 511);
	set_word(11, 0);
	set_word(1000, 7);
	munmap((char *)memory + 8 * PAGE, PAGE);	/* of 7 to 9, in the same piece as the first three words */
	munmap((char *)memory + 2000 * PAGE, PAGE);
	seen->go_on = true;
	assert_true(run(&search, getpid(), true, seen));
	assert_int_equal(seen->unreadable, 2);
	assert_int_equal(seen->hits, 4);
	assert_true(run(&search, 0, true, seen));
	assert_int_equal(seen->unreadable, 4);
	assert_int_equal(seen->hits, 8);
	seen->go_on = false;
	assert_false(run(&search, 0, true, seen));
	assert_int_equal(seen->unreadable, 5);
	word_search_close(&search);
	free(seen);
	assert_true(mmap(memory, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
}

/* At every byte, also where a piece, or what is read in one call, ends. */
static void test_anywhere(void **state)
{
	static const size_t places[] = { 3, 4096 - 5, WORD_SEARCH_PIECE - 1, 2 * WORD_SEARCH_PIECE - 7, 3 * WORD_SEARCH_PIECE, SIZE - 8, (1 << 20) - 4 };
	const uint64_t word = WANTED;

	(void)state;
	for (int helped = 0; helped < 2; helped++)
		for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
			struct seen *seen = memory_zeroed(1, sizeof(*seen));
			struct word_search search;

			madvise(memory, SIZE, MADV_DONTNEED);
			memset(memory, 1, SIZE);
			memcpy((char *)memory + places[i], &word, sizeof(word));
			word_search_open(helped, &search);
			add_all(&search, UINT64_MAX, true);
			anywhere = true;
			assert_true(run(&search, getpid(), true, seen));
			assert_int_equal(seen->hits, 1);
			anywhere = false;
			assert_true(run(&search, getpid(), true, seen));
			assert_int_equal(seen->hits, places[i] % sizeof(word) ? 1 : 2);
			word_search_close(&search);
			free(seen);
		}
}

/* Nothing is read behind the last page before a gap. */
static void test_gap(void **state)
{
	struct seen *seen = memory_zeroed(1, sizeof(*seen));
	struct word_search search;

	(void)state;
	memset(memory, 1, SIZE);
	munmap((char *)memory + 8 * PAGE, PAGE);
	word_search_open(false, &search);
	word_search_clear(&search);
	for (size_t page = 0; page < 16; page++) {
		struct pages pages;

		pages_open(&self, false, UINT64_MAX, &pages);
		if (page != 8)
			assert_true(word_search_add(&search, &pages, (struct range){ (uintptr_t)memory + page * PAGE,
										    (uintptr_t)memory + (page + 1) * PAGE }));
		pages_close(&pages);
	}
	anywhere = true;
	assert_true(run(&search, getpid(), true, seen));
	anywhere = false;
	assert_int_equal(seen->unreadable, 0);
	word_search_close(&search);
	free(seen);
	assert_true(mmap(memory, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
}

static void test_limit(void **state)
{
	struct word_search search;

	(void)state;
	memset(memory, 1, SIZE);
	word_search_open(false, &search);
	add_all(&search, SIZE, false);
	add_all(&search, SIZE + SIZE / PAGE * sizeof(uint64_t), true);
	word_search_close(&search);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_all),
		cmocka_unit_test(test_ends_when_told),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_anywhere),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_limit),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, open_self, NULL);
}
