/*
 * ledger_example.h: a ledger with one of everything.
 */
#ifndef STENT_TESTS_LEDGER_EXAMPLE_H
#define STENT_TESTS_LEDGER_EXAMPLE_H

#include "live/ledger.h"

/* Free with ledger_free(). */
static inline void example_ledger(struct ledger *ledger)
{
	struct ledger_function *function;

	*ledger = (struct ledger){
		.state = LEDGER_ACTIVE, .name = text_copy("fix-1"), .description = text_copy("text"),
		.tool = text_copy("stent"), .digest = 0x1234567890abcdefu, .nonce = 0xfedcba0987654321u, .applied = 1700000000,
		.machine = 62, .dispatch = { 0x13000, 0x13040, 0x13100, 6, 0x12000 }, .old_table = 0x13080,
		.new_table = 0x130c0, .scratch = 0x14000,
	};
	*array_add(&ledger->images) = (struct ledger_image){
		.name = text_copy("server"), .old_version = text_copy("1"), .new_version = text_copy(""), .old_id = { 3, { 1, 2, 3 } },
		.new_id = { 2, { 9, 8 } }, .bias = 0x555500000000, .slice_bias = 0x555400000000, .region = { 0x10000, 0x20000 },
		.code = { 0x12000, 0x13000 }, .eh_frame = { 0x15000, 0x15100 }, .unwind_index = { 0x13800, 0x13900 },
	};
	*array_add(&ledger->images) = (struct ledger_image){
		.name = text_copy("liba.so"), .old_version = text_copy(""), .new_version = text_copy("2"), .old_id = { 1, { 7 } },
		.new_id = { 1, { 6 } }, .bias = 0x7f0000000000, .slice_bias = 0x7f0000200000, .region = { 0x7f0000200000, 0x7f0000300000 },
		.code = { 0x7f0000201000, 0x7f0000202000 },
	};
	*array_add(&ledger->replaced) = 0x1111222233334444u;
	*array_add(&ledger->parts) = (struct ledger_part){ { 0x11000, 0x12000 }, 4 };
	*array_add(&ledger->parts) = (struct ledger_part){ { 0x12000, 0x13000 }, 5 };
	function = array_add(&ledger->functions);
	*function = (struct ledger_function){ .name = text_copy("main_loop"), .redirected = true, .site = 0x555500001000,
					      .size = 5, .span = 7, .original = { 1, 2, 3, 4, 5 }, .jump = { 0xe9, 1 },
					      .settled = { 0xe9, 2 }, .old_entry = 0x12020, .new_entry = 0x14000, .change = 2 };
	*array_add(&function->old_ranges) = (struct range){ 0x555500001000, 0x555500001100 };
	*array_add(&function->new_ranges) = (struct range){ 0x14000, 0x14100 };
	function = array_add(&ledger->functions);
	*function = (struct ledger_function){ .name = text_copy("helper"), .image = 1, .new_entry = 0x14100 };
	*array_add(&function->new_ranges) = (struct range){ 0x14100, 0x14200 };
	*array_add(&ledger->finders) = (struct ledger_finder){ .site = 0x7f0000001000, .size = 5, .span = 7, .original = { 6, 7, 8, 9 },
							       .jump = { 0xe9, 3 }, .code = { 0x7f0000100000, 0x7f0000101000 },
							       .copy = 0x7f0000100080, .next = 0x7f0000100200 };
}

#endif
