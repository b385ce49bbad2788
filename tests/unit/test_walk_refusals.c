/*
 * A made-up thread with a good stack is walked, then one thing after the other is wrong with it: each
 * time the walk may not claim to be proof, and has to say why.
 */
#include "made_up_thread.h"

static struct world *plain(void)
{
	return world_new(PROGRAM(""));
}

static void test_good_stack(void **state)
{
	struct world *world = plain();
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));
	struct range range = { RETURN_TO(MIDDLE) - 0x10, RETURN_TO(MIDDLE) };
	const struct unwind_frame *frame;
	size_t hit;

	(void)state;
	walk(world, trace);
	frame = trace->frames.item;
	assert_true(unwind_trace_proven(trace) && trace->ended);
	assert_int_equal(trace->frames.count, 3);
	assert_int_equal(frame[0].pc, world->start.registers[16]);
	assert_false(frame[0].after_call);
	assert_int_equal(frame[0].cfa, STACK + 8 * 6);
	assert_int_equal(frame[1].pc, RETURN_TO(MIDDLE));
	assert_true(frame[1].after_call);
	assert_int_equal(frame[1].cfa, STACK + 8 * 10);
	assert_int_equal(frame[2].pc, RETURN_TO(ENTRY));
	assert_int_equal(frame[2].cfa, 0);
	assert_ptr_equal(frame[2].module, &world->module[1]);

	/* A return address counts where it is, and where the call is; the first pc only where it is. */
	assert_true(unwind_trace_hits(trace, &range, 1, &hit));
	assert_int_equal(hit, 1);
	range = (struct range){ RETURN_TO(MIDDLE), RETURN_TO(MIDDLE) + 1 };
	assert_true(unwind_trace_hits(trace, &range, 1, &hit));
	range = (struct range){ RETURN_TO(MIDDLE) + 1, RETURN_TO(ENTRY) - 1 };
	assert_false(unwind_trace_hits(trace, &range, 1, &hit));
	range = (struct range){ frame[0].pc - 1, frame[0].pc };
	assert_false(unwind_trace_hits(trace, &range, 1, &hit));
	range.end++;
	assert_true(unwind_trace_hits(trace, &range, 1, &hit));
	assert_int_equal(hit, 0);

	/* A trace is used again. */
	walk(world, trace);
	assert_true(unwind_trace_proven(trace));
	assert_int_equal(trace->frames.count, 3);
	world->stack[5] = 0;
	walk(world, trace);
	assert_false(unwind_trace_proven(trace));
	assert_int_equal(trace->frames.count, 2);
	unwind_trace_free(trace);
	free(trace);
	world_free(world);
}

static void test_return_addresses(void **state)
{
	struct world *world = plain();

	world->stack[9]++;
	expect_doubt(world, RETURN_TO(ENTRY) + 1, "a return address that follows no call");
	world = plain();
	world->stack[9] = FUNCTION(LEAF);	/* the first byte of all code: nothing is before it */
	expect_doubt(world, FUNCTION(LEAF), "not the code of any image");
	world = plain();
	world->stack[9] = 0;
	expect_doubt(world, 0, "not the code of any image");
	world = plain();
	world->stack[9] = 0x4242424242424242;
	expect_doubt(world, 0x4242424242424242, "not the code of any image");
	world = plain();
	world->stack[9] = RETURN_TO(UNKNOWN);
	expect_doubt(world, RETURN_TO(UNKNOWN), "no unwind data for this address");
	world = plain();
	world->start.registers[16] = CODE - 1;
	expect_doubt(world, CODE - 1, "not the code of any image");
	world = plain();
	world->start.registers[16] = CODE + CODE_SIZE;
	expect_doubt(world, CODE + CODE_SIZE, "not the code of any image");
	/* The first byte of the second module is not the first's. */
	world = plain();
	world->start.registers[16] = FUNCTION(MIDDLE);
	expect_proven(world, 2);
	world_free(world);
	/* Behind a call at a function's very end, which does not return: the caller is the one before. */
	world = plain();
	world->code[FUNCTION(MIDDLE + 1) - 1 - CODE] = CALL;
	world->stack[5] = FUNCTION(MIDDLE + 1);
	expect_proven(world, 3);
	world_free(world);
}

static void test_stack_bounds(void **state)
{
	struct world *world = plain();

	/* The whole chain fits; one word less, and a return address does not. */
	world->start.stack.end = STACK + 8 * 10;
	expect_proven(world, 3);
	world->start.stack.end = STACK + 8 * 9;
	expect_doubt(world, RETURN_TO(MIDDLE), "the CFA is outside the stack");
	world = plain();
	world->start.stack.start = STACK + 8 * 4;
	expect_proven(world, 3);
	world->start.stack.start = STACK + 8 * 5;
	expect_doubt(world, world->start.registers[16], "the stack pointer is outside the stack");
	world = plain();
	world->start.registers[7] = STACK + sizeof(world->stack) + 8;
	expect_doubt(world, world->start.registers[16], "the stack pointer is outside the stack");
	world = plain();
	world->hole = 9;
	expect_doubt(world, RETURN_TO(MIDDLE), "the return address can't be read");
	/* A saved register that can't be read matters only to who needs it. */
	world = plain();
	world->hole = 8;
	expect_proven(world, 3);
	world_free(world);
	world = plain();
	world->hole = 8;
	world->stack[9] = RETURN_TO(MIDDLE);
	expect_doubt(world, RETURN_TO(MIDDLE), "the CFA depends on a register whose value is not known");
}

static void test_frames_must_rise(void **state)
{
	struct world *world = plain();

	world->start.registers[6] += 4;
	expect_doubt(world, RETURN_TO(MIDDLE), "the CFA is not aligned");
	/* A frame pointer that leads back, to where the same return address is: a loop. */
	world = plain();
	world->start.registers[6] = STACK + 8 * 4;
	expect_doubt(world, RETURN_TO(MIDDLE), "the CFA does not rise");
	world = plain();
	world->start.registers[6] = STACK + 8 * 3;
	expect_doubt(world, RETURN_TO(MIDDLE), "the CFA does not rise");
	/* A frame of no bytes: only where a stopped thread has its return address in a register. */
	world = plain();
	world->start.registers[16] = FUNCTION(POPPED) + 4;
	world->start.registers[5] = RETURN_TO(MIDDLE);
	expect_proven(world, 3);
	world_free(world);
	world = plain();
	world->stack[5] = RETURN_TO(POPPED);
	expect_doubt(world, RETURN_TO(POPPED), "the CFA does not rise");
}

static void test_odd_rules(void **state)
{
	static const struct {
		const char *program;
		size_t size;
		const char *why;
	} cases[] = {
		{ PROGRAM("\x3f"), "its unwind data is damaged, or of a kind that is not known" },
		{ PROGRAM("\x08\x10"), "the rule for the return address is not known" },
		{ PROGRAM("\x05\x10\x00"), "the return address is not saved in the frame" },
		{ PROGRAM("\x05\x10\x02"), "the return address is not saved in the frame" },
		{ PROGRAM("\x0c\x00\x10"), "the CFA depends on a register whose value is not known" },
		{ PROGRAM("\x0c\x20\x10"), "the CFA depends on a register or offset that is out of range" },
		{ PROGRAM("\x0f\x02\x70\x08"), "the CFA is an expression that is not known" },
		{ PROGRAM("\x0f\x03\x70\x08\x06"), "the CFA depends on a register whose value is not known" },
		{ PROGRAM("\x08\x07"), "the rule for the stack pointer is not known" },
		{ PROGRAM("\x07\x07"), "the rule for the stack pointer is not known" },
		{ PROGRAM("\x16\x10\x02\x70\x00"), "the rule for the return address is not known" },
		{ PROGRAM("\x09\x10\x00"), "the return address is in a register whose value is not known" },
	};

	(void)state;
	/* Called by the odd one: what is not callee-saved is not known there. */
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *world = world_new(cases[i].program, cases[i].size);

		world->stack[5] = RETURN_TO(ODD);
		world->stack[6] = RETURN_TO(ENTRY);
		expect_doubt(world, RETURN_TO(ODD), cases[i].why);
	}
	/* Callee-saved ones are: rbx, rbp, r12 to r15. The first frame knows all. */
	for (unsigned int number = 0; number < 16; number++) {
		char program[] = { 0x0c, (char)number, 0x10 };
		bool saved = number == 3 || number == 6 || number >= 12;
		struct world *world = world_new(program, sizeof(program));
		struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));

		if (number != 7)
			world->start.registers[number] = STACK + 8 * 8;
		world->stack[5] = RETURN_TO(ODD);
		world->stack[7] = RETURN_TO(ENTRY);	/* of number 7, at rsp + 8 */
		if (saved || number == 7) {
			expect_proven(world, 3);
		} else {
			walk(world, trace);
			assert_false(unwind_trace_proven(trace));
			unwind_trace_free(trace);
		}
		free(trace);
		world->start.registers[16] = FUNCTION(ODD) + 4;
		world->start.registers[7] = number == 7 ? STACK + 8 * 6 : world->start.registers[7];
		expect_proven(world, 2);
		world_free(world);
	}
}

/* entry, called middle, interrupted in its stead: bare; then the handler, leaf, is called by the kernel. */
static struct world *interrupted(void)
{
	struct world *world = plain();

	world->stack[5] = FUNCTION(RESTORER);
	/* rsp is 8 * 6 now */
	world->stack[6 + SIGNAL_RSP] = STACK + 8 * 40;
	world->stack[6 + SIGNAL_RIP] = FUNCTION(BARE);	/* its first instruction: the byte before belongs to another */
	world->stack[40] = RETURN_TO(ENTRY);
	return world;
}

static void test_signal_frames(void **state)
{
	struct world *world = interrupted();
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));
	const struct unwind_frame *frame;

	(void)state;
	walk(world, trace);
	frame = trace->frames.item;
	if (trace->doubt)
		fail_msg("%s", trace->doubt);
	assert_int_equal(trace->frames.count, 4);
	assert_true(frame[1].after_call);
	assert_int_equal(frame[1].cfa, STACK + 8 * 40);
	assert_int_equal(frame[2].pc, FUNCTION(BARE));
	assert_false(frame[2].after_call);
	assert_true(frame[3].after_call);
	unwind_trace_free(trace);
	free(trace);

	/* On its way back, in the restorer itself. */
	world->start.registers[16] = FUNCTION(RESTORER) + 5;
	world->start.registers[7] = STACK + 8 * 6;
	expect_proven(world, 3);
	/* Below the handler: a signal stack inside of the thread's own. */
	world->stack[6 + SIGNAL_RSP] = STACK + 8 * 5;
	expect_doubt(world, FUNCTION(RESTORER) + 5, "a signal is handled above the stack of the code that it interrupted");
	/* Outside of the stack. */
	world = interrupted();
	world->stack[6 + SIGNAL_RSP] = STACK - 64;
	expect_doubt(world, FUNCTION(RESTORER), "a signal is handled on another stack");

	world = interrupted();
	world->stack[5]++;
	expect_doubt(world, FUNCTION(RESTORER) + 1, "a return into the middle of a signal restorer");
	world = interrupted();
	world->hole = 6 + SIGNAL_RDI;
	expect_doubt(world, FUNCTION(RESTORER), "the signal's frame can't be read");
	/* Registers come from the frame, all of them: popped's return address is in rdi. */
	world = interrupted();
	world->stack[6 + SIGNAL_RIP] = FUNCTION(POPPED);
	world->stack[6 + SIGNAL_RDI] = RETURN_TO(ENTRY);
	expect_proven(world, 4);
	world_free(world);
}

/* Two signal stacks that lead to each other: the walk ends. */
static void test_signal_loop(void **state)
{
	struct world *world = interrupted();
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));

	(void)state;
	world->stack[6 + SIGNAL_RSP] = STACK + 8 * 4;
	world->stack[6 + SIGNAL_RIP] = FUNCTION(LEAF) + 0x10;
	walk(world, trace);
	assert_false(unwind_trace_proven(trace));
	assert_true(trace->frames.count < 100);
	unwind_trace_free(trace);
	free(trace);
	world_free(world);
}

static void test_tables(void **state)
{
	struct world *world = plain();

	(void)state;
	world->no_rows = true;
	expect_doubt(world, world->start.registers[16], "code without unwind data");
	world = plain();
	world->unchecked = true;
	expect_doubt(world, world->start.registers[16], "its unwind data was not compared with its instructions");
	/* One of no code disputes nothing. */
	world = plain();
	add_fde(world, 0, RETURN_TO(MIDDLE), 0, "", 0);
	expect_proven(world, 3);
	world_free(world);
	/* Two FDEs for one address: inside of the shorter one, behind it, before it; and in a second one. */
	for (unsigned int i = 0; i < 4; i++) {
		static const uint8_t offset[] = { 0x40, 0x10, 0x80, 0x4f };

		world = plain();
		if (i == 3)
			add_fde(world, 0, FUNCTION(MIDDLE) + 0x10, 0x10, PROGRAM("\x0c\x06\x10"));
		add_fde(world, 0, FUNCTION(MIDDLE) + offset[i], 0x20, PROGRAM("\x0c\x06\x10"));
		expect_doubt(world, RETURN_TO(MIDDLE), "more than one unwind rule claims this code");
	}
	/* Of a damaged section nothing is used. */
	world = plain();
	add(world, "\x08", 1);
	expect_doubt(world, world->start.registers[16], "the length of a record is cut off");
	/* An FDE whose rules are not known. */
	world = plain();
	memcpy(memchr(world->section_bytes + 24, 'z', 100), "zRB", 3);
	world->start.registers[16] = FUNCTION(RESTORER) + 5;
	expect_doubt(world, FUNCTION(RESTORER) + 5, "its unwind data is damaged, or of a kind that is not known");
}

/* Rows hold only for the code that they were compared with. */
static void test_altered_code(void **state)
{
	struct world *world = plain();

	(void)state;
	world->altered = (struct range){ RETURN_TO(MIDDLE), RETURN_TO(MIDDLE) + 16 };
	expect_proven(world, 3);
	world->altered.start--;
	expect_doubt(world, RETURN_TO(MIDDLE), "its code was changed in memory");
	world = plain();
	world->altered = (struct range){ world->start.registers[16] - 1, world->start.registers[16] };
	expect_proven(world, 3);
	world->altered.end++;
	expect_doubt(world, world->start.registers[16], "its code was changed in memory");
}

/* The caller has doubts of its own. */
static void test_doubt_at_start(void **state)
{
	struct world *world = plain();

	(void)state;
	world->start.doubt = "a coroutine";
	expect_doubt(world, world->start.registers[16], "a coroutine");
	world = plain();
	world->start.registers[7] += 4;
	expect_doubt(world, world->start.registers[16], "the stack pointer is not aligned");
}

/* Code without unwind data is the end only at the thread's base, and where it ends the thread. */
static void test_base(void **state)
{
	struct world *world = plain();

	(void)state;
	world->stack[9] = RETURN_TO(UNKNOWN);
	world->start.base = STACK + 8 * 10;
	expect_proven(world, 3);
	world->start.base += 8;		/* not aligned: the caller aligned it */
	expect_proven(world, 3);
	world->start.base += 8;		/* and pushed two words, as glibc's _start does */
	expect_proven(world, 3);
	world->start.base += 16;
	expect_doubt(world, RETURN_TO(UNKNOWN), "no unwind data for this address");
	world = plain();
	world->stack[9] = RETURN_TO(UNKNOWN);
	world->code[RETURN_TO(UNKNOWN) - CODE] = EXIT;
	expect_proven(world, 3);
	world->altered = (struct range){ RETURN_TO(UNKNOWN), RETURN_TO(UNKNOWN) + 1 };
	expect_doubt(world, RETURN_TO(UNKNOWN), "no unwind data for this address");
	/* Unwind data that ends is no proof by itself: a coroutine's may, too. */
	world = plain();
	world->code[RETURN_TO(ENTRY) - CODE] = 0;
	expect_doubt(world, RETURN_TO(ENTRY), "its unwind data ends where no thread is known to begin");
	world = plain();
	world->code[RETURN_TO(ENTRY) - CODE] = 0;
	world->start.base = STACK + 8 * 10 + 16;
	expect_proven(world, 3);
	world_free(world);
	/* Stopped there, it has not been called. */
	world = plain();
	world->start.registers[16] = RETURN_TO(UNKNOWN);
	world->start.base = world->start.registers[7];
	world->code[RETURN_TO(UNKNOWN) - CODE] = EXIT;
	expect_doubt(world, RETURN_TO(UNKNOWN), "no unwind data for this address");
}

/* The same stack, handed in as far as it has been read. */
static void test_windows(void **state)
{
	(void)state;
	for (size_t size = 0; size <= 128; size += 8) {
		struct world *world = plain();

		world->start.bytes = (const uint8_t *)world->stack;
		world->start.size = size;
		expect_proven(world, 3);
		world_free(world);
	}
}

/* Frames far larger than a window, up to the last word of the stack. */
static void test_deep_stack(void **state)
{
	struct world *world = plain();

	(void)state;
	world->start.registers[16] = FUNCTION(BARE) + 4;
	for (size_t i = 4; i < WORDS - 1; i++)
		world->stack[i] = RETURN_TO(BARE);
	world->stack[WORDS - 1] = RETURN_TO(ENTRY);
	expect_proven(world, WORDS - 4 + 1);
	world->stack[WORDS - 1] = RETURN_TO(BARE);
	expect_doubt(world, RETURN_TO(BARE), "the CFA is outside the stack");
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

/* Stacks of nothing but words that look right. What is proven obeys the rules all the same. */
static void test_random_stacks(void **state)
{
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));
	size_t proven_count = 0;

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		struct world *world = plain();
		const struct unwind_frame *frame;
		bool proven;

		for (size_t i = 0; i < 64; i++) {
			uint64_t random = random_next();

			if (random % 4 == 0)
				world->stack[i] = STACK + random / 4 % 512;
			else
				world->stack[i] = RETURN_TO(random / 4 % 8) - (random & 64 && random & 128);
		}
		world->start.stack.end = STACK + 8 * 64;
		world->start.registers[16] = FUNCTION(random_next() % 7) + 8;
		walk(world, trace);
		frame = trace->frames.item;
		proven = unwind_trace_proven(trace);
		proven_count += proven;
		assert_true(!proven || trace->ended);
		for (size_t i = 0; proven && i + 1 < trace->frames.count; i++) {
			assert_true(frame[i].cfa % 8 == 0 && frame[i].cfa <= world->start.stack.end);
			assert_true(frame[i].cfa > (i ? frame[i - 1].cfa : world->start.registers[7] - 1));
		}
		for (size_t i = 1; proven && i < trace->frames.count; i++) {
			uint64_t offset = frame[i].pc - CODE;

			assert_true(!frame[i].after_call || world->code[offset - 1] == CALL ||
				    frame[i].pc == FUNCTION(RESTORER));
		}
		if (proven)
			assert_int_equal((frame[trace->frames.count - 1].pc - CODE) / 0x100, ENTRY);
		world_free(world);
	}
	assert_true(proven_count > 100);
	unwind_trace_free(trace);
	free(trace);
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
		cmocka_unit_test(test_signal_loop),
		cmocka_unit_test(test_altered_code),
		cmocka_unit_test(test_doubt_at_start),
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_deep_stack),
		cmocka_unit_test(test_random_stacks),
	};

	return cmocka_run_group_tests_name("walk refusals", tests, NULL, NULL);
}
