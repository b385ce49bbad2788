/* A ledger survives being written and read, and no damage to it does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "live/digest.h"
#include "ledger_example.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static void test_round_trip(void **state)
{
	struct ledger ledger, copy;
	const char *why;
	size_t size, again_size;
	uint8_t *bytes, *again;

	(void)state;
	example_ledger(&ledger);
	bytes = ledger_encode(&ledger, &size);
	assert_int_equal(size % 4096, 0);
	assert_true(ledger_decode(bytes, size, &copy, &why));
	assert_null(why);
	assert_int_equal(copy.state, LEDGER_ACTIVE);
	assert_string_equal(copy.name, "fix-1");
	assert_int_equal(copy.digest, ledger.digest);
	assert_int_equal(copy.applied, ledger.applied);
	assert_int_equal(copy.nonce, ledger.nonce);
	assert_int_equal(copy.parts.count, 2);
	assert_int_equal(copy.parts.item[1].flags, 5);
	assert_int_equal(copy.functions.count, 2);
	assert_int_equal(ledger_redirected(&copy), 1);
	assert_int_equal(copy.functions.item[0].old_ranges.item[0].end, 0x555500001100);
	assert_int_equal(copy.images.count, 2);
	assert_int_equal(copy.images.item[0].unwind_index.start, 0x13800);
	assert_string_equal(copy.images.item[1].name, "liba.so");
	assert_int_equal(copy.images.item[1].code.end, 0x7f0000202000);
	assert_int_equal(copy.functions.item[1].image, 1);
	assert_true(build_id_equal(&copy.images.item[1].old_id, &ledger.images.item[1].old_id));
	assert_int_equal(copy.finders.count, 1);
	assert_memory_equal(&copy.finders.item[0], &ledger.finders.item[0], sizeof(struct ledger_finder));
	assert_memory_equal(copy.functions.item[0].original, ledger.functions.item[0].original, ARCH_ENTRY_MAX);
	again = ledger_encode(&copy, &again_size);
	assert_int_equal(size, again_size);
	assert_memory_equal(bytes, again, size);
	free(again);
	free(bytes);
	ledger_free(&copy);
	ledger_free(&ledger);
}

/* Texts from another program's memory go to a terminal. */
static void test_control_characters(void **state)
{
	struct ledger ledger, copy;
	const char *why;
	uint8_t *bytes;
	size_t size;

	(void)state;
	example_ledger(&ledger);
	free(ledger.name);
	ledger.name = text_copy("a\033[2Jb\n\x7f");
	bytes = ledger_encode(&ledger, &size);
	assert_true(ledger_decode(bytes, size, &copy, &why));
	assert_string_equal(copy.name, "a?[2Jb??");
	free(bytes);
	ledger_free(&copy);
	ledger_free(&ledger);
}

static void test_cut_short(void **state)
{
	struct ledger ledger, copy;
	const char *why;
	uint8_t *bytes, *cut;
	size_t size, used;

	(void)state;
	example_ledger(&ledger);
	bytes = ledger_encode(&ledger, &size);
	used = 56 + load32(bytes + 20);
	for (size_t length = 0; length < used; length++) {
		cut = memory_copy(bytes, length);	/* of its own, so that a read behind its end is seen */
		assert_false(ledger_decode(cut, length, &copy, &why));
		assert_non_null(why);
		ledger_free(&copy);
		free(cut);
	}
	free(bytes);
	ledger_free(&ledger);
}

/* Every byte wrong, with the checksum and without: refused, or read as something else, within its bounds. */
static void test_damaged(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct ledger ledger, copy;
	const char *why;
	uint8_t *bytes, *damaged;
	size_t size, used, refused = 0;

	(void)state;
	example_ledger(&ledger);
	bytes = ledger_encode(&ledger, &size);
	used = 56 + load32(bytes + 20);
	for (size_t at = 0; at < used; at++)
		for (size_t i = 0; i < sizeof(values); i++) {
			damaged = memory_copy(bytes, used);
			if (damaged[at] == values[i]) {
				free(damaged);
				continue;
			}
			damaged[at] = values[i];
			if (at >= 56) {
				assert_false(ledger_decode(damaged, used, &copy, &why));
				assert_string_equal(why, "its checksum is wrong");
				ledger_free(&copy);
				store64(damaged + 24, digest_bytes(DIGEST_START, damaged + 56, used - 56));
			}
			refused += !ledger_decode(damaged, used, &copy, &why);
			ledger_free(&copy);
			free(damaged);
		}
	assert_in_range(refused, used / 10, used * sizeof(values));
	free(bytes);
	ledger_free(&ledger);
}

/* A number as large as can be in the place of each one: no memory is taken for what is not there. */
static void test_huge_numbers(void **state)
{
	struct ledger ledger, copy;
	const char *why;
	uint8_t *bytes, *damaged;
	size_t size, used;

	(void)state;
	example_ledger(&ledger);
	bytes = ledger_encode(&ledger, &size);
	used = 56 + load32(bytes + 20);
	for (size_t at = 48; at + 8 <= used; at++) {
		static const uint64_t huge[] = { UINT64_MAX, INT64_MAX, 1u << 31, 100000, 65536 };

		for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++) {
			damaged = memory_copy(bytes, used);
			store64(damaged + at, huge[i]);
			store64(damaged + 24, digest_bytes(DIGEST_START, damaged + 56, used - 56));
			(void)!ledger_decode(damaged, used, &copy, &why);
			ledger_free(&copy);
			free(damaged);
		}
	}
	free(bytes);
	ledger_free(&ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_huge_numbers),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
