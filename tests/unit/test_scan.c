/*
 * The scan must not miss a word: its answers are compared with the definition, word by word.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "unwind/scan.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64: the same numbers in every run */
static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* What scan.h promises: inside, or equal to the end. */
static bool holds(const struct range *ranges, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++) {
		if (address >= ranges[i].start && address <= ranges[i].end)
			return true;
	}
	return false;
}

static void test_first_and_last_address(void **state)
{
	static const struct range ranges[] = { { 0x3000, 0x3010 }, { 0x1000, 0x1001 }, { 0x2000, 0x2100 } };
	static const uint64_t in[] = { 0x1000, 0x1001, 0x2000, 0x20ff, 0x2100, 0x3000, 0x300f, 0x3010 };
	static const uint64_t out[] = { 0, 0xfff, 0x1002, 0x1fff, 0x2101, 0x2fff, 0x3011, UINT64_MAX };
	struct scan_set set;

	(void)state;
	scan_set_build(&set, ranges, 3);
	assert_int_equal(set.count, 3);
	for (size_t i = 0; i < sizeof(in) / sizeof(*in); i++) {
		assert_true(scan_set_holds(&set, in[i]));
		assert_int_equal(scan_words(&set, &in[i], 1), 0);
		assert_false(scan_set_holds(&set, out[i]));
		assert_int_equal(scan_words(&set, &out[i], 1), 1);
	}
	/* The index is that of the first hit. */
	assert_int_equal(scan_words(&set, (const uint64_t[]){ 0, 0x1002, 0x2100, 0x3000 }, 4), 2);
	assert_int_equal(scan_words(&set, in, 0), 0);
	scan_set_free(&set);
}

static void test_merge(void **state)
{
	/* Touching, overlapping, one inside another, twice the same; then two that touch, apart from those. */
	static const struct range ranges[] = {
		{ 0x100, 0x110 }, { 0x110, 0x120 }, { 0x118, 0x130 }, { 0x104, 0x108 }, { 0x100, 0x110 },
		{ 0x140, 0x150 }, { 0x151, 0x158 },
	};
	struct scan_set set;

	(void)state;
	scan_set_build(&set, ranges, 7);
	assert_int_equal(set.count, 2);
	assert_int_equal(set.bounds.start, 0x100);
	assert_int_equal(set.bounds.end, 0x159);
	for (uint64_t address = 0xf0; address < 0x160; address++)
		assert_int_equal(scan_set_holds(&set, address), holds(ranges, 7, address));
	scan_set_free(&set);
}

static void test_ends_of_the_address_space(void **state)
{
	static const struct range ranges[] = { { 0, 8 }, { UINT64_MAX - 8, UINT64_MAX } };
	struct scan_set set;

	(void)state;
	scan_set_build(&set, ranges, 2);
	assert_true(scan_set_holds(&set, 0));
	assert_true(scan_set_holds(&set, UINT64_MAX - 1));
	assert_false(scan_set_holds(&set, 9));
	assert_false(scan_set_holds(&set, UINT64_MAX - 9));
	scan_set_free(&set);

	scan_set_build(&set, NULL, 0);
	assert_int_equal(set.count, 0);
	assert_false(scan_set_holds(&set, 0));
	assert_int_equal(scan_words(&set, (const uint64_t[]){ 0, UINT64_MAX }, 2), 2);
	scan_set_free(&set);
}

static void test_random_sets(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 2000; round++) {
		struct range ranges[20];
		size_t count = random_next() % 21, first = 64;
		uint64_t words[64];
		struct scan_set set, part;

		for (size_t i = 0; i < count; i++) {
			ranges[i].start = 0x7f0000000000 + random_next() % 500;
			ranges[i].end = ranges[i].start + 1 + random_next() % 20;
		}
		scan_set_build(&set, ranges, count);
		for (size_t i = 64; i-- > 0;) {
			words[i] = random_next() % 4 ? random_next() : 0x7f0000000000 + random_next() % 600;
			assert_int_equal(scan_set_holds(&set, words[i]), holds(ranges, count, words[i]));
			if (holds(ranges, count, words[i]))
				first = i;
		}
		assert_int_equal(scan_words(&set, words, 64), first);
		scan_set_free(&set);
		/* The same in two parts, of which one may have none. */
		scan_set_build(&set, ranges, count / 2);
		scan_set_build(&part, ranges + count / 2, count - count / 2);
		assert_int_equal(scan_words_either(&set, &part, words, 64), first);
		assert_int_equal(scan_words_either(&part, &set, words, 64), first);
		scan_set_free(&set);
		scan_set_free(&part);
	}
}

/*
 * In memory of any length, with ranges in one, two and more windows of 16 MiB, and on both sides of where one ends; among words that are near
 * the ranges but in none, also by the upper half only, and of which many have none in the same window.
 */
static void test_long_memory(void **state)
{
	static const struct range ranges[] = {
		{ 0x7f1234001000, 0x7f1234002000 }, { 0x7f1299000000, 0x7f1299000001 }, { 0x555555fff000, 0x555556001000 },
	};
	static const uint64_t near[] = { 0x7f1234000fff, 0x7f1234002001, 0x555556001001, 0x7f1299000002, 0x34001000, 0x7f12, 0x1007f1234001000, 0 };
	static const uint64_t in[] = { 0x7f1234001000, 0x7f1234002000, 0x555555fff000, 0x555556001000, 0x7f1299000001 };
	uint64_t words[300];
	struct scan_set set;

	(void)state;
	for (unsigned int round = 0; round < 6000; round++) {
		size_t count = random_next() % 300, first = count, hits = random_next() % 4;
		const struct range *some = ranges + round % 3;
		size_t used = random_next() % (4 - round % 3);

		for (size_t i = 0; i < count; i++)
			words[i] = round % 2 ? random_next() : near[random_next() % 8];
		for (size_t i = 0; i < hits && count; i++)
			words[random_next() % count] = in[random_next() % 5];
		for (size_t i = count; i-- > 0;)
			if (holds(some, used, words[i]))
				first = i;
		scan_set_build(&set, some, used);
		assert_int_equal(scan_words(&set, words, count), first);
		scan_set_free(&set);
	}
}

/* At every place of a buffer, aligned or not, and in buffers that end anywhere. */
static void test_bytes(void **state)
{
	static const struct range ranges[] = { { 0x7f1234fff000, 0x7f1236001000 }, { 0x555500001000, 0x555500002000 } };
	static const uint64_t in[] = { 0x7f1234fff000, 0x7f1235abcdef, 0x7f1236001000, 0x555500001000, 0x555500002000 };
	static const uint64_t out[] = { 0x7f1234ffefff, 0x7f1236001001, 0x555500000fff, 0x555500002001, 0x17f1235abcdef00, 0xff007f1235abcdef };
	uint8_t bytes[300];
	struct scan_set set;

	(void)state;
	scan_set_build(&set, ranges, 2);
	for (size_t at = 0; at + 8 <= sizeof(bytes); at++)
		for (size_t size = 0; size <= sizeof(bytes); size += 1 + random_next() % 9) {
			uint64_t word = in[random_next() % 5];

			memset(bytes, 0xff, sizeof(bytes));
			memcpy(bytes + at, &word, sizeof(word));
			assert_int_equal(scan_bytes(&set, bytes, size), at + 8 <= size ? at : size);
			word = out[random_next() % 6];
			memcpy(bytes + at, &word, sizeof(word));
			assert_int_equal(scan_bytes(&set, bytes, size), size);
		}
	scan_set_free(&set);
}

static void test_first_of_bytes(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint64_t start = random_next() & 0xffffff;
		const struct range ranges[] = { { start, start + random_next() % 0x20000 }, { start * 2, start * 2 + random_next() % 256 } };
		uint8_t bytes[200];
		size_t size = random_next() % (sizeof(bytes) + 1), first;
		struct scan_set set;

		scan_set_build(&set, ranges, 2);
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = random_next() % 3 ? 0 : (uint8_t)random_next();
		for (first = 0; first + 8 <= size; first++) {
			uint64_t word;

			memcpy(&word, bytes + first, sizeof(word));
			if (holds(ranges, 2, word))
				break;
		}
		assert_int_equal(scan_bytes(&set, bytes, size), first + 8 <= size ? first : size);
		scan_set_free(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_memory),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_first_of_bytes),
		cmocka_unit_test(test_first_and_last_address),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_ends_of_the_address_space),
		cmocka_unit_test(test_random_sets),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
