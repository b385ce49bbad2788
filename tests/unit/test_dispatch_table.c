/*
 * test_dispatch_table.c: what a dispatcher can't be written for, and how the table of threads is filled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arch/arch.h"
#include "arch/dispatch.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static const struct arch *const arch = &arch_x86_64;

#define BITS_MOST 14	/* of the tables here */

/* Nothing is written by a call that is refused. */
static void assert_refused(const struct dispatch *bad, bool lookup, uint64_t old, uint64_t new)
{
	uint8_t out[256], same[256];

	assert_true(sizeof(out) >= arch->lookup_size && sizeof(out) >= arch->dispatcher_size);
	memset(out, 0x77, sizeof(out));
	memset(same, 0x77, sizeof(same));
	if (lookup)
		assert_false(arch->write_lookup(out, bad));
	else
		assert_false(arch->write_dispatcher(out, 0x700000000000, bad, old, new));
	assert_memory_equal(out, same, sizeof(out));
}

static void what_is_out_of_reach_is_refused(void **state)
{
	const uint64_t place = UINT64_C(0x700000000000);
	const struct dispatch good = { place + arch->reach, place - arch->reach, place + arch->reach, 6, place };
	struct dispatch bad;
	uint8_t out[256];

	assert_true(arch->write_lookup(out, &good));
	assert_true(arch->write_dispatcher(out, place, &good, place - arch->reach, place + arch->reach));
	for (int sign = -1; sign <= 1; sign += 2) {
		uint64_t beyond = place + (uint64_t)sign * (UINT64_C(1) << 32);

		assert_refused(&good, false, beyond, place);
		assert_refused(&good, false, place, beyond);
		bad = good, bad.selector = beyond;
		assert_refused(&bad, false, place, place);
		bad = good, bad.lookup = beyond;
		assert_refused(&bad, false, place, place);
		bad = good, bad.table = beyond;
		assert_refused(&bad, true, place, place);
		bad = good, bad.fallback = beyond;
		assert_refused(&bad, true, place, place);
	}
	bad = good, bad.table_bits = DISPATCH_BITS_MIN - 1;
	assert_refused(&bad, true, place, place);
	bad = good, bad.table_bits = DISPATCH_BITS_MAX + 1;
	assert_refused(&bad, true, place, place);
}

/* Thread pointers as they lie one behind the other in real programs: few steps at a quarter full. */
static void equally_spaced_keys_spread(void **state)
{
	static struct dispatch_entry table[1 << BITS_MOST];
	static const uint64_t strides[] = { 64, 2304, 0x1000, 0x21000, 0x41000, 0x100000, 0x200000, 0x201000, 0x801000, 0x1000000,
					    0x4001000, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 0x1000 };

	for (uint8_t bits = DISPATCH_BITS_MIN; bits <= BITS_MOST; bits++) {
		for (size_t s = 0; s < sizeof(strides) / sizeof(strides[0]); s++) {
			size_t count = (size_t)1 << (bits - 2), total = 0, longest = 0;

			memset(table, 0, sizeof(table));
			for (size_t i = 0; i < count; i++) {
				uint64_t key = dispatch_key(0x7f5512345740 - i * strides[s]);
				size_t at = dispatch_find(table, bits, key);
				size_t steps = (at - dispatch_first(key, bits)) & (((size_t)1 << bits) - 1);

				table[at].key = key;
				total += steps;
				longest = steps > longest ? steps : longest;
			}
			/* Random ones would take 1/6 of a step on average. */
			if (total > 2 * count || longest > 12)
				fail_msg("%zu keys 0x%lx apart: %zu steps, %zu at most", count, strides[s], total, longest);
		}
	}
}

/* A key is found where it was put, up to the last empty entry; one that was not put leads to an empty entry. */
static void keys_are_found_again(void **state)
{
	struct dispatch_entry table[1 << DISPATCH_BITS_MIN] = { 0 };
	const size_t most = (1 << DISPATCH_BITS_MIN) - 1;

	for (size_t i = 0; i < most; i++) {
		size_t at = dispatch_find(table, DISPATCH_BITS_MIN, dispatch_key(i * 0x801000));

		assert_int_equal(table[at].key, 0);
		table[at] = (struct dispatch_entry){ dispatch_key(i * 0x801000), i };
	}
	for (size_t i = 0; i < most; i++)
		assert_int_equal(table[dispatch_find(table, DISPATCH_BITS_MIN, dispatch_key(i * 0x801000))].version, i);
	for (size_t i = most; i < 1000; i++)
		assert_int_equal(table[dispatch_find(table, DISPATCH_BITS_MIN, dispatch_key(i * 0x801000))].key, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_out_of_reach_is_refused),
		cmocka_unit_test(equally_spaced_keys_spread),
		cmocka_unit_test(keys_are_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
