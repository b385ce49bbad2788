/*
 * A made-up thread with a good stack is walked, then one thing after the other is wrong with it: each
 * time the walk may not claim to be complete, and has to say why.
 */
#include "made_up_thread.h"

static struct world *plain(void)
{
	return world_new(PROGRAM(""));
}

static void test_good_stack(void **state)
{
	struct world *world = plain();
	struct unwind_trace trace;
	struct range range = { RETURN_TO(MIDDLE) - 0x10, RETURN_TO(MIDDLE) };
	uint64_t hit;

	walk(world, &trace);
	assert_true(trace.complete);
	assert_int_equal(trace.count, 3);
	assert_int_equal(trace.frame[0].pc, world->start.pc);
	assert_false(trace.frame[0].after_call);
	assert_int_equal(trace.frame[0].cfa, STACK + 8 * 6);
	assert_int_equal(trace.frame[1].pc, RETURN_TO(MIDDLE));
	assert_true(trace.frame[1].after_call);
	assert_int_equal(trace.frame[1].cfa, STACK + 8 * 10);
	assert_int_equal(trace.frame[2].pc, RETURN_TO(ENTRY));
	assert_int_equal(trace.frame[2].cfa, 0);
	assert_ptr_equal(trace.frame[2].module, &world->module[1]);

	/* A return address counts where it is, and where the call is; the first pc only where it is. */
	assert_true(unwind_trace_hits(&trace, &range, 1, &hit));
	assert_int_equal(hit, RETURN_TO(MIDDLE));
	range = (struct range){ RETURN_TO(MIDDLE), RETURN_TO(MIDDLE) + 1 };
	assert_true(unwind_trace_hits(&trace, &range, 1, &hit));
	range = (struct range){ RETURN_TO(MIDDLE) + 1, RETURN_TO(ENTRY) - 1 };
	assert_false(unwind_trace_hits(&trace, &range, 1, &hit));
	range = (struct range){ world->start.pc - 1, world->start.pc };
	assert_false(unwind_trace_hits(&trace, &range, 1, &hit));
	range.end++;
	assert_true(unwind_trace_hits(&trace, &range, 1, &hit));
	unwind_trace_free(&trace);
	world_free(world);
}

static void test_return_addresses(void **state)
{
	struct world *world = plain();

	world->stack[9]++;
	expect_refusal(world, RETURN_TO(ENTRY) + 1, "a return address that follows no call");
	world = plain();
	world->stack[9] = FUNCTION(LEAF);	/* the first byte of all code: nothing is before it */
	expect_refusal(world, FUNCTION(LEAF), "not the code of any image");
	world = plain();
	world->stack[9] = 0;
	expect_refusal(world, 0, "not the code of any image");
	world = plain();
	world->stack[9] = 0x4242424242424242;
	expect_refusal(world, 0x4242424242424242, "not the code of any image");
	world = plain();
	world->stack[9] = RETURN_TO(UNKNOWN);
	expect_refusal(world, RETURN_TO(UNKNOWN), "no unwind data for this address");
	world = plain();
	world->start.pc = CODE - 1;
	expect_refusal(world, CODE - 1, "not the code of any image");
	world = plain();
	world->start.pc = CODE + CODE_SIZE;
	expect_refusal(world, CODE + CODE_SIZE, "not the code of any image");
	/* The first byte of the second module is not the first's. */
	world = plain();
	world->start.pc = FUNCTION(MIDDLE);
	expect_complete(world, 2);
	world_free(world);
	/* Behind a call at a function's very end, which does not return: the caller is the one before. */
	world = plain();
	world->code[FUNCTION(MIDDLE + 1) - 1 - CODE] = CALL;
	world->stack[5] = FUNCTION(MIDDLE + 1);
	expect_complete(world, 3);
	world_free(world);
}

static void test_stack_bounds(void **state)
{
	struct world *world = plain();

	/* The whole chain fits; one word less, and a return address does not. */
	world->start.stack.end = STACK + 8 * 10;
	expect_complete(world, 3);
	world->start.stack.end = STACK + 8 * 9;
	expect_refusal(world, RETURN_TO(MIDDLE), "the CFA is outside the stack");
	world = plain();
	world->start.stack.start = STACK + 8 * 4;
	expect_complete(world, 3);
	world->start.stack.start = STACK + 8 * 5;
	expect_refusal(world, world->start.pc, "the stack pointer is outside the stack");
	world = plain();
	world->start.registers[7] = STACK + sizeof(world->stack) + 8;
	expect_refusal(world, world->start.pc, "the stack pointer is outside the stack");
	world = plain();
	world->hole = 9;
	expect_refusal(world, RETURN_TO(MIDDLE), "the return address can't be read");
	/* A saved register that can't be read matters only to who needs it. */
	world = plain();
	world->hole = 8;
	expect_complete(world, 3);
	world->start.known[6] = false;
	expect_refusal(world, RETURN_TO(MIDDLE), "the CFA depends on a register whose value is not known");
	world = plain();
	world->hole = 8;
	world->stack[9] = RETURN_TO(MIDDLE);
	expect_refusal(world, RETURN_TO(MIDDLE), "the CFA depends on a register whose value is not known");
}

static void test_frames_must_rise(void **state)
{
	struct world *world = plain();

	world->start.registers[6] += 4;
	expect_refusal(world, RETURN_TO(MIDDLE), "the CFA is not aligned");
	/* A frame pointer that leads back, to where the same return address is: a loop. */
	world = plain();
	world->start.registers[6] = STACK + 8 * 4;
	expect_refusal(world, RETURN_TO(MIDDLE), "the CFA does not rise");
	world = plain();
	world->start.registers[6] = STACK + 8 * 3;
	expect_refusal(world, RETURN_TO(MIDDLE), "the CFA does not rise");
	/* A frame of no bytes: only where a stopped thread has its return address in a register. */
	world = plain();
	world->start.pc = FUNCTION(POPPED) + 4;
	world->start.registers[5] = RETURN_TO(MIDDLE);
	expect_complete(world, 3);
	world->start.known[5] = false;
	expect_refusal(world, FUNCTION(POPPED) + 4, "the return address can't be read");
	world = plain();
	world->stack[5] = RETURN_TO(POPPED);
	expect_refusal(world, RETURN_TO(POPPED), "the CFA does not rise");
}

static void test_odd_rules(void **state)
{
	static const struct {
		const char *program;
		size_t size;
		const char *why;
	} cases[] = {
		{ PROGRAM("\x3f"), "the unwind data has an instruction that is not known" },
		{ PROGRAM("\x08\x10"), "no rule for the return address" },
		{ PROGRAM("\x05\x10\x00"), "the return address is not saved in the frame" },
		{ PROGRAM("\x05\x10\x02"), "the return address is not saved in the frame" },
		{ PROGRAM("\x0c\x00\x10"), "the CFA depends on a register whose value is not known" },
		{ PROGRAM("\x0c\x20\x10"), "the CFA depends on a register whose value is not known" },
		{ PROGRAM("\x0f\x02\x70\x08"), "an expression needs a register whose value is not known" },
		{ PROGRAM("\x08\x07"), "the rule for the stack pointer contradicts the CFA" },
		{ PROGRAM("\x07\x07"), "the rule for the stack pointer contradicts the CFA" },
		{ PROGRAM("\x16\x10\x02\x70\x00"), "the return address can't be read" },
		{ PROGRAM("\x09\x10\x00"), "the return address can't be read" },
	};

	/* Called by the odd one: what is not callee-saved is not known there. */
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *world = world_new(cases[i].program, cases[i].size);

		world->stack[5] = RETURN_TO(ODD);
		world->stack[6] = RETURN_TO(ENTRY);
		expect_refusal(world, RETURN_TO(ODD), cases[i].why);
	}
	/* Callee-saved ones are: rbx, rbp, r12 to r15. The first frame knows all. */
	for (unsigned int number = 0; number < 16; number++) {
		char program[] = { 0x0c, (char)number, 0x10 };
		bool saved = number == 3 || number == 6 || number >= 12;
		struct world *world = world_new(program, sizeof(program));
		struct unwind_trace trace;

		if (number != 7)
			world->start.registers[number] = STACK + 8 * 8;
		world->stack[5] = RETURN_TO(ODD);
		world->stack[7] = RETURN_TO(ENTRY);	/* of number 7, at rsp + 8 */
		if (saved || number == 7) {
			expect_complete(world, 3);
		} else {
			walk(world, &trace);
			assert_false(trace.complete);
			unwind_trace_free(&trace);
		}
		world->start.pc = FUNCTION(ODD) + 4;
		world->start.registers[7] = number == 7 ? STACK + 8 * 6 : world->start.registers[7];
		expect_complete(world, 2);
		world_free(world);
	}
}

/* entry, called middle, interrupted in its stead: bare; then the handler, leaf, is called by the kernel. */
static struct world *interrupted(void)
{
	struct world *world = plain();

	world->stack[5] = FUNCTION(RESTORER);
	/* rsp is 8 * 6 now: rsp there, pc there, rax there */
	world->stack[7] = STACK + 8 * 20;
	world->stack[8] = FUNCTION(BARE);	/* its first instruction: the byte before belongs to another */
	world->stack[9] = 0x1234;
	world->stack[20] = RETURN_TO(ENTRY);
	return world;
}

static void test_signal_frames(void **state)
{
	struct world *world = interrupted();
	struct unwind_trace trace;

	walk(world, &trace);
	assert_string_equal(trace.reason, "");
	assert_true(trace.complete);
	assert_int_equal(trace.count, 4);
	assert_true(trace.frame[1].after_call);
	assert_int_equal(trace.frame[1].cfa, STACK + 8 * 20);
	assert_int_equal(trace.frame[2].pc, FUNCTION(BARE));
	assert_false(trace.frame[2].after_call);
	assert_true(trace.frame[3].after_call);
	unwind_trace_free(&trace);

	/* On its way back, in the restorer itself. */
	world->start.pc = FUNCTION(RESTORER) + 5;
	world->start.registers[7] = STACK + 8 * 6;
	expect_complete(world, 3);
	/* Below the handler: no signal goes to a stack that it is on already, there. */
	world->stack[7] = STACK + 8 * 5;
	expect_refusal(world, FUNCTION(RESTORER) + 5, "the CFA does not rise");

	world = interrupted();
	world->stack[5]++;
	expect_refusal(world, FUNCTION(RESTORER) + 1, "a return into the middle of a signal restorer");
	/* Registers come from the frame, all of them: popped's return address is in rdi, which is not. */
	world = interrupted();
	world->stack[8] = FUNCTION(POPPED);
	expect_refusal(world, FUNCTION(POPPED), "the return address can't be read");
}

static void test_tables(void **state)
{
	struct world *world = plain();

	world->no_table = true;
	expect_refusal(world, world->start.pc, "code without unwind data");
	/* One of no code disputes nothing. */
	world = plain();
	add_fde(world, 0, RETURN_TO(MIDDLE), 0, "", 0);
	expect_complete(world, 3);
	world_free(world);
	/* Two FDEs for one address: inside of the shorter one, behind it, before it; and in a second one. */
	for (unsigned int i = 0; i < 4; i++) {
		static const uint8_t offset[] = { 0x40, 0x10, 0x80, 0x4f };

		world = plain();
		if (i == 3)
			add_fde(world, 0, FUNCTION(MIDDLE) + 0x10, 0x10, PROGRAM("\x0c\x06\x10"));
		add_fde(world, 0, FUNCTION(MIDDLE) + offset[i], 0x20, PROGRAM("\x0c\x06\x10"));
		expect_refusal(world, RETURN_TO(MIDDLE), "more than one unwind rule claims this code");
	}
	/* Of a damaged section nothing is used. */
	world = plain();
	add(world, "\x08", 1);
	expect_refusal(world, world->start.pc, "the length of a record is cut off");
	/* An FDE whose rules are not known. */
	world = plain();
	memcpy(memchr(world->section_bytes + 24, 'z', 100), "zRB", 3);
	world->start.pc = FUNCTION(RESTORER) + 5;
	expect_refusal(world, FUNCTION(RESTORER) + 5, "its unwind data is of a kind that is not known");
}

static void test_endless_recursion(void **state)
{
	struct world *world = plain();

	world->start.pc = FUNCTION(BARE) + 4;
	for (size_t i = 4; i < 4 + UNWIND_FRAMES_MAX - 2; i++)
		world->stack[i] = RETURN_TO(BARE);
	world->stack[4 + UNWIND_FRAMES_MAX - 2] = RETURN_TO(ENTRY);
	expect_complete(world, UNWIND_FRAMES_MAX);
	world->stack[4 + UNWIND_FRAMES_MAX - 2] = RETURN_TO(BARE);
	world->stack[4 + UNWIND_FRAMES_MAX - 1] = RETURN_TO(ENTRY);
	expect_refusal(world, RETURN_TO(ENTRY), "more frames than a walk follows");
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64: the same numbers in every run */
static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Stacks of nothing but words that look right. What is complete obeys the rules all the same. */
static void test_random_stacks(void **state)
{
	size_t complete = 0;

	for (unsigned int round = 0; round < 20000; round++) {
		struct world *world = plain();
		struct unwind_trace trace;

		for (size_t i = 0; i < 64; i++) {
			uint64_t random = random_next();

			if (random % 4 == 0)
				world->stack[i] = STACK + random / 4 % 512;
			else
				world->stack[i] = RETURN_TO(random / 4 % 8) - (random & 64 && random & 128);
		}
		world->start.stack.end = STACK + 8 * 64;
		world->start.pc = FUNCTION(random_next() % 7) + 8;
		walk(world, &trace);
		complete += trace.complete;
		assert_true(trace.complete == (trace.reason[0] == '\0'));
		for (size_t i = 0; i + 1 < trace.count; i++) {
			assert_true(trace.frame[i].cfa % 8 == 0 && trace.frame[i].cfa <= world->start.stack.end);
			assert_true(trace.frame[i].cfa > (i ? trace.frame[i - 1].cfa : world->start.registers[7] - 1));
		}
		for (size_t i = 1; trace.complete && i < trace.count; i++) {
			uint64_t offset = trace.frame[i].pc - CODE;

			assert_true(!trace.frame[i].after_call || world->code[offset - 1] == CALL ||
				    trace.frame[i].pc == FUNCTION(RESTORER));
		}
		if (trace.complete)
			assert_int_equal((trace.frame[trace.count - 1].pc - CODE) / 0x100, ENTRY);
		unwind_trace_free(&trace);
		world_free(world);
	}
	assert_true(complete > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_stack),
		cmocka_unit_test(test_return_addresses),
		cmocka_unit_test(test_stack_bounds),
		cmocka_unit_test(test_frames_must_rise),
		cmocka_unit_test(test_odd_rules),
		cmocka_unit_test(test_signal_frames),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_endless_recursion),
		cmocka_unit_test(test_random_stacks),
	};

	return cmocka_run_group_tests_name("walk refusals", tests, NULL, NULL);
}
