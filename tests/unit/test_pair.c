/* test_pair.c: two sequences are lined up as a longest common subsequence says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pair.h"

static size_t common(const char *a, const char *b, size_t *paired)
{
	uint64_t x[64] = { 0 }, y[64] = { 0 };
	size_t m = strlen(a), n = strlen(b), count = 0, last = 0;

	for (size_t i = 0; i < m; i++)
		x[i] = (uint64_t)a[i];
	for (size_t i = 0; i < n; i++)
		y[i] = (uint64_t)b[i];
	memset(paired, 0xff, 64 * sizeof(*paired));
	pair_sequences(x, m, y, n, paired);
	for (size_t i = 0; i < m; i++) {
		if (!paired[i])
			continue;
		assert_true(paired[i] <= n && paired[i] > last);
		assert_int_equal(a[i], b[paired[i] - 1]);
		last = paired[i];
		count++;
	}
	return count;
}

static void test_lengths(void **state)
{
	static const struct {
		const char *a, *b;
		size_t count;
	} cases[] = {
		{ "", "", 0 }, { "abc", "", 0 }, { "", "abc", 0 }, { "abc", "abc", 3 }, { "abc", "xyz", 0 },
		{ "abcd", "abxcd", 4 }, { "abxcd", "abcd", 4 }, { "abcbdab", "bdcaba", 4 }, { "aaaa", "aa", 2 },
		{ "xabcy", "zabcw", 3 }, { "human", "chimpanzee", 4 },
	};
	size_t paired[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(common(cases[i].a, cases[i].b, paired), cases[i].count);
}

static void test_insertion_is_found(void **state)
{
	size_t paired[64];

	assert_int_equal(common("push,call,ret", "push,test,call,ret", paired), 13);
	assert_int_equal(paired[0], 1);
	assert_int_equal(paired[12], 18);
}

/* The length of a longest common subsequence, by the table of all prefixes. */
static size_t longest(const char *a, const char *b)
{
	size_t table[64][64] = { 0 };

	for (size_t i = 1; i <= strlen(a); i++)
		for (size_t k = 1; k <= strlen(b); k++) {
			size_t best = table[i - 1][k] > table[i][k - 1] ? table[i - 1][k] : table[i][k - 1];

			table[i][k] = a[i - 1] == b[k - 1] ? table[i - 1][k - 1] + 1 : best;
		}
	return table[strlen(a)][strlen(b)];
}

static void test_random(void **state)
{
	size_t paired[64];

	srandom(1);
	for (size_t round = 0; round < 20000; round++) {
		char a[41] = "", b[41] = "";
		long letters = 2 + random() % 4, m = random() % 40, n = random() % 40;

		for (long i = 0; i < m; i++)
			a[i] = (char)('a' + random() % letters);
		for (long i = 0; i < n; i++)
			b[i] = (char)('a' + random() % letters);
		assert_int_equal(common(a, b, paired), longest(a, b));
	}
}

/* Long sequences are lined up if they differ in little; otherwise their middles are left, and starts and ends are not. */
static void test_bound(void **state)
{
	size_t count = 4 * PAIR_EDITS_MAX;
	uint64_t *a = calloc(count, sizeof(*a)), *b = calloc(count, sizeof(*b));
	size_t *paired = calloc(count, sizeof(*paired));

	for (size_t i = 0; i < count; i++) {
		a[i] = i + 1;
		b[i] = i % 100 == 50 ? count + i : i + 1;
	}
	pair_sequences(a, count, b, count, paired);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(paired[i], i % 100 == 50 ? 0 : i + 1);
	for (size_t i = 1; i < count - 1; i += 2)
		b[i] = count + i;
	pair_sequences(a, count, b, count, paired);
	assert_int_equal(paired[0], 1);
	assert_int_equal(paired[count - 1], count);
	assert_int_equal(paired[2], 0);
	free(a);
	free(b);
	free(paired);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_insertion_is_found),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_bound),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
