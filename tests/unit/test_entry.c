/*
 * test_entry.c: a displaced entry does what the original did. Each function of x86_64_entries.h runs three
 * times from the same address with the same registers: as it is; through the jump, a stub and the copy;
 * and as the copy alone, with traps over all displaced bytes. Registers, flags and memory are compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include "arch/arch.h"
#include "x86_64_entries.h"
#include "x86_64_run.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

#define PIECE 0x10000
#define PATTERNS 64

static const struct arch *const arch = &arch_x86_64;

static const struct entry redirected[] = {
	ENTRY_CASE(plain), ENTRY_CASE(exact), ENTRY_CASE(stack_protector), ENTRY_CASE(string), ENTRY_CASE(pc_load),
	ENTRY_CASE(pc_store_immediate), ENTRY_CASE(pc_store_byte_immediate), ENTRY_CASE(pc_store_word_immediate),
	ENTRY_CASE(pc_compare), ENTRY_CASE(pc_address), ENTRY_CASE(pc_own_address), ENTRY_CASE(pc_vector),
	ENTRY_CASE(pc_locked), ENTRY_CASE(pc_third), ENTRY_CASE(jcc_short), ENTRY_CASE(jcc_short_second),
	ENTRY_CASE(jcc_near), ENTRY_CASE(jcc_to_end), ENTRY_CASE(jump_short), ENTRY_CASE(jump_near),
	ENTRY_CASE(jump_second), ENTRY_CASE(jump_memory), ENTRY_CASE(jump_register), ENTRY_CASE(loop),
	ENTRY_CASE(loope), ENTRY_CASE(loopne), ENTRY_CASE(jrcxz), ENTRY_CASE(jecxz), ENTRY_CASE(two_of_them),
	ENTRY_CASE(loop_to_entry), ENTRY_CASE(loop_to_entry_near), ENTRY_CASE(loop_insn_to_entry),
	ENTRY_CASE(endbr_loop_to_entry), ENTRY_CASE(endbr_loop_behind), ENTRY_CASE(call), ENTRY_CASE(call_pushed),
	ENTRY_CASE(call_aligned), ENTRY_CASE(call_next), ENTRY_CASE(call_memory), ENTRY_CASE(call_fentry),
	ENTRY_CASE(call_register), ENTRY_CASE(call_register_high), ENTRY_CASE(call_based), ENTRY_CASE(call_based_r12),
	ENTRY_CASE(call_notrack), ENTRY_CASE(call_prefixed), ENTRY_CASE(call_at_end), ENTRY_CASE(endbr),
	ENTRY_CASE(endbr_return), ENTRY_CASE(one_byte), ENTRY_CASE(one_byte_traps), ENTRY_CASE(padding_inside),
	ENTRY_CASE(repeat_return),
};

/* The function runs in the middle of the space, the copy at a distance from it. */
static uint8_t *space;
#define SPACE_SIZE (UINT64_C(3) << 30)
#define FUNCTION (SPACE_SIZE / 2)
static const uint64_t copy_place[] = { FUNCTION + PIECE, 2 * PIECE, SPACE_SIZE - 2 * PIECE };

static int make_space(void **state)
{
	(void)state;
	alarm(60);
	space = reserve_space(SPACE_SIZE);
	if (!space || make_executable(space + FUNCTION, PIECE) != 0)
		return -1;
	for (unsigned i = 0; i < 3; i++)
		if (make_executable(space + copy_place[i], PIECE) != 0)
			return -1;
	return 0;
}

static int free_space(void **state)
{
	(void)state;
	return munmap(space, SPACE_SIZE);
}

static uint64_t address_of(const void *place)
{
	return (uint64_t)(uintptr_t)place;
}

static const char *plan_of(const struct entry *entry, struct entry_plan *plan)
{
	return arch->plan_entry(entry->code, (size_t)(entry->end - entry->code), (size_t)(entry->padded - entry->end),
				plan);
}

static void plan_entry(const struct entry *entry, struct entry_plan *plan)
{
	const char *why = plan_of(entry, plan);

	if (why)
		print_error("%s: %s\n", entry->name, why);
	assert_null(why);
}

static unsigned overwritten_end(const struct entry_plan *plan)
{
	return plan->offset + (plan->span > plan->jump ? plan->span : plan->jump);
}

/* A fresh copy of the function and all that belongs to it. */
static uint8_t *place_function(const struct entry *entry)
{
	uint8_t *function = space + FUNCTION;
	uint64_t callee = address_of(function + (entry->callee - entry->code));

	memcpy(function, entry->code, (size_t)(entry->last - entry->code));
	memcpy(function + (entry->pointer - entry->code), &callee, sizeof(callee));
	return function;
}

static void fill_for(struct machine *machine, const struct entry *entry)
{
	uint64_t function = address_of(space + FUNCTION);

	fill_machine(machine);
	machine->general[RAX] = function + (uint64_t)(entry->callee - entry->code);
	machine->general[RDI] = machine->general[R12] = function + (uint64_t)(entry->pointer - entry->code);
	machine->general[RCX] = random_word() % 4;
}

/* jmp *slot(%rip), the slot right behind it. */
static const uint8_t stub_code[] = { 0xff, 0x25, 0, 0, 0, 0 };

/* Redirect the function to its copy at `piece`, by way of a stub and a slot behind the copy. */
static void redirect(uint8_t *function, uint8_t *piece, const struct entry_plan *plan, const struct entry_copy *copy)
{
	uint8_t *stub = piece + ARCH_COPY_MAX, *slot = stub + sizeof(stub_code), *entry = function + plan->offset;
	uint64_t target = address_of(piece);

	memcpy(piece, copy->code, copy->size);
	memcpy(slot, &target, sizeof(target));
	memcpy(stub, stub_code, sizeof(stub_code));
	memset(entry, arch->trap, overwritten_end(plan) - plan->offset);
	assert_true(arch->write_jump(entry, plan->jump, address_of(entry), address_of(stub)));
}

static void compare_run(const struct entry *entry, const char *how, const struct entry_plan *plan,
			const struct machine *expected, const struct machine *found, const uint8_t *memory)
{
	size_t kept = overwritten_end(plan), size = (size_t)(entry->last - entry->code);
	uint8_t *function = space + FUNCTION;

	if (memcmp(expected, found, sizeof(*expected)) != 0)
		print_error("%s, %s: registers or flags differ\n", entry->name, how);
	assert_memory_equal(expected, found, sizeof(*expected));
	if (memcmp(memory + kept, function + kept, size - kept) != 0)
		print_error("%s, %s: memory differs\n", entry->name, how);
	assert_memory_equal(memory + kept, function + kept, size - kept);
}

static void run_thrice(const struct entry *entry, uint8_t *piece, const struct entry_plan *plan,
		       const struct entry_copy *copy)
{
	uint8_t *function = place_function(entry);
	uint8_t memory[PIECE];
	struct machine start, original, found;

	fill_for(&start, entry);
	original = start;
	run_code(&original, address_of(function));
	memcpy(memory, function, (size_t)(entry->last - entry->code));

	redirect(place_function(entry), piece, plan, copy);
	found = start;
	run_code(&found, address_of(function));
	compare_run(entry, "redirected", plan, &original, &found, memory);

	memset(place_function(entry) + plan->offset, arch->trap, overwritten_end(plan) - plan->offset);
	found = start;
	run_code(&found, address_of(piece));
	compare_run(entry, "copy alone", plan, &original, &found, memory);
}

static void copies_do_what_the_entry_did(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(redirected) / sizeof(redirected[0]); i++) {
		const struct entry *entry = &redirected[i];

		for (unsigned place = 0; place < 3; place++) {
			uint8_t *function = place_function(entry), *piece = space + copy_place[place];
			struct entry_plan plan;
			struct entry_copy copy;

			plan_entry(entry, &plan);
			assert_null(arch->copy_entry(function, &plan, address_of(function), address_of(piece), &copy));
			for (unsigned pattern = 0; pattern < PATTERNS; pattern++)
				run_thrice(entry, piece, &plan, &copy);
		}
	}
}

/* at[] names exactly the instructions that were displaced, in rising order. */
static void copies_say_where_instructions_went(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(redirected) / sizeof(redirected[0]); i++) {
		const struct entry *entry = &redirected[i];
		struct insn insn = { .length = 0 };
		struct entry_plan plan;
		struct entry_copy copy;
		unsigned next = 0, last = 0;

		plan_entry(entry, &plan);
		assert_null(arch->copy_entry(entry->code, &plan, PIECE, 2 * PIECE, &copy));
		for (unsigned byte = 0; byte < plan.span; byte++) {
			if (byte != next) {
				assert_int_equal(copy.at[byte], 0xff);
				continue;
			}
			assert_true(arch->decode(entry->code + plan.offset + byte, plan.span - byte, 0, &insn));
			assert_true(byte == 0 ? copy.at[byte] == 0 : copy.at[byte] > last && copy.at[byte] < copy.size);
			last = copy.at[byte];
			next += insn.length;
		}
		assert_int_equal(next, plan.span);
		if (insn.kind == INSN_OTHER || insn.kind == INSN_JUMP_CONDITIONAL || insn.kind == INSN_NOP)
			assert_true(copy.at[plan.span] > last && copy.at[plan.span] < copy.size);
		else
			assert_int_equal(copy.at[plan.span], 0xff);
	}
}

static void plans_take_whole_instructions(void **state)
{
	static const struct {
		struct entry entry;
		struct entry_plan plan;
	} expected[] = {
		{ ENTRY_CASE(plain), { 0, 5, 8 } },
		{ ENTRY_CASE(exact), { 0, 5, 5 } },
		{ ENTRY_CASE(stack_protector), { 0, 5, 9 } },
		{ ENTRY_CASE(call_pushed), { 0, 5, 6 } },
		{ ENTRY_CASE(jcc_near), { 0, 5, 6 } },
		{ ENTRY_CASE(jump_short), { 0, 5, 2 } },
		{ ENTRY_CASE(one_byte), { 0, 5, 1 } },
		{ ENTRY_CASE(padding_inside), { 0, 5, 3 } },
		{ ENTRY_CASE(endbr), { 4, 5, 10 } },
		{ ENTRY_CASE(endbr_return), { 4, 5, 1 } },
		{ ENTRY_CASE(call_fentry), { 4, 5, 6 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct entry_plan plan;

		plan_entry(&expected[i].entry, &plan);
		assert_int_equal(plan.offset, expected[i].plan.offset);
		assert_int_equal(plan.jump, expected[i].plan.jump);
		assert_int_equal(plan.span, expected[i].plan.span);
	}
}

static void unsafe_entries_are_refused(void **state)
{
	static const struct {
		struct entry entry;
		const char *why;	/* a part of the reason */
	} refused[] = {
		{ ENTRY_CASE(no_padding), "too little padding" },
		{ ENTRY_CASE(little_padding), "too little padding" },
		{ ENTRY_CASE(falls_through), "falls through" },
		{ ENTRY_CASE(code_behind_return), "other code follows" },
		{ ENTRY_CASE(code_behind_jump), "other code follows" },
		{ ENTRY_CASE(branch_inside), "branches into the bytes" },
		{ ENTRY_CASE(branch_into_insn), "branches into the bytes" },
		{ ENTRY_CASE(branch_behind_jump), "branches into the bytes" },
		{ ENTRY_CASE(branch_into_endbr), "branches into the bytes" },
		{ ENTRY_CASE(branch_into_padding), "branches into the bytes" },
		{ ENTRY_CASE(jump_behind_itself), "branches into the bytes" },
		{ ENTRY_CASE(early_call), "return into the jump" },
		{ ENTRY_CASE(short_call_padded), "return into the jump" },
		{ ENTRY_CASE(call_inside), "branches into the bytes" },
		{ ENTRY_CASE(call_stack_register), "through the stack pointer" },
		{ ENTRY_CASE(call_stack_memory), "through the stack pointer" },
		{ ENTRY_CASE(call_far), "far call" },
		{ ENTRY_CASE(own_bytes), "its own bytes" },
		{ ENTRY_CASE(own_label), "its own bytes" },
		{ ENTRY_CASE(pc_32_bit), "32-bit program counter" },
		{ ENTRY_CASE(branch_16_bit), "operand-size prefix" },
		{ ENTRY_CASE(no_instruction), "no instruction" },
		{ ENTRY_CASE(cut_instruction), "no instruction" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct entry_plan plan;
		const char *why = plan_of(&refused[i].entry, &plan);

		if (!why || !strstr(why, refused[i].why))
			print_error("%s: %s\n", refused[i].entry.name, why ? why : "not refused");
		assert_true(why && strstr(why, refused[i].why));
	}
}

/* A plan comes from a file in the end: the copy checks for itself. */
static void copies_check_the_plan(void **state)
{
	static const struct {
		struct entry entry;
		struct entry_plan plan;
		const char *why;
	} refused[] = {
		{ ENTRY_CASE(call_stack_memory), { 0, 5, 6 }, "through the stack pointer" },
		{ ENTRY_CASE(call_inside), { 0, 5, 6 }, "branches into the bytes" },
		{ ENTRY_CASE(early_call), { 0, 5, 5 }, "behind a return, jump or call" },
		{ ENTRY_CASE(short_call_padded), { 0, 5, 2 }, "return into the jump" },
		{ ENTRY_CASE(own_bytes), { 0, 5, 7 }, "its own bytes" },
		{ ENTRY_CASE(pc_load), { 0, 5, 5 }, "no instruction" },
		{ ENTRY_CASE(plain), { 0, 5, 0 }, "too long" },
		{ ENTRY_CASE(plain), { 0, 5, ARCH_ENTRY_MAX + 1 }, "too long" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		uint64_t from = address_of(refused[i].entry.code);
		struct entry_copy copy;
		const char *why = arch->copy_entry(refused[i].entry.code, &refused[i].plan, from, from + PIECE, &copy);

		assert_non_null(why);
		assert_non_null(strstr(why, refused[i].why));
	}
}

static void copies_out_of_reach_are_refused(void **state)
{
	static const struct entry entries[] = {
		ENTRY_CASE(plain), ENTRY_CASE(pc_load), ENTRY_CASE(pc_store_immediate), ENTRY_CASE(jcc_short),
		ENTRY_CASE(jump_near), ENTRY_CASE(jrcxz), ENTRY_CASE(call), ENTRY_CASE(call_memory),
	};
	uint64_t from = UINT64_C(0x555555550000);

	(void)state;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		struct entry_plan plan;
		struct entry_copy copy;

		plan_entry(&entries[i], &plan);
		assert_null(arch->copy_entry(entries[i].code, &plan, from, from + arch->reach, &copy));
		assert_null(arch->copy_entry(entries[i].code, &plan, from, from - arch->reach, &copy));
		assert_non_null(arch->copy_entry(entries[i].code, &plan, from, from + (UINT64_C(1) << 31) + PIECE, &copy));
		assert_non_null(arch->copy_entry(entries[i].code, &plan, from, from - (UINT64_C(1) << 31) - PIECE, &copy));
	}
}

/* A frame below a displaced call is found by its own unwind rows. */
void displaced_caller(void);
void note_backtrace(void);
__asm__(".pushsection .text\n"
	".balign 64\n"
	".type displaced_caller, @function\n"
	"displaced_caller:\n"
	".cfi_startproc\n"
	"	sub $8, %rsp\n"
	".cfi_def_cfa_offset 16\n"
	"	call note_backtrace\n"
	"	add $8, %rsp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".size displaced_caller, . - displaced_caller\n"
	".popsection\n");

static struct {
	uint64_t address[16];
	unsigned count;
} backtrace;

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *unused)
{
	(void)unused;
	if (backtrace.count == sizeof(backtrace.address) / sizeof(backtrace.address[0]))
		return _URC_END_OF_STACK;
	backtrace.address[backtrace.count++] = _Unwind_GetIP(context);
	return _URC_NO_REASON;
}

void note_backtrace(void)
{
	backtrace.count = 0;
	_Unwind_Backtrace(note_frame, NULL);
}

/* Memory below `address`, near enough for a jump. */
static uint8_t *map_near(uint64_t address)
{
	for (uint64_t distance = PIECE; distance < arch->reach; distance += PIECE) {
		void *place = (void *)(uintptr_t)((address - distance) & ~UINT64_C(0xfff));
		void *map = mmap(place, PIECE, PROT_READ | PROT_WRITE | PROT_EXEC,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (map != MAP_FAILED)
			return map;
	}
	return NULL;
}

static void displaced_calls_can_be_unwound(void **state)
{
	uint8_t *function = (uint8_t *)(uintptr_t)displaced_caller, *piece = map_near(address_of(function));
	uint64_t page = address_of(function) & ~UINT64_C(0xfff), seen[2][16];
	unsigned count[2];
	volatile unsigned runs = 2;	/* one call in one place, not unrolled: the backtraces are to be equal */
	struct entry_plan plan;
	struct entry_copy copy;

	(void)state;
	assert_non_null(piece);
	assert_int_equal(make_executable((uint8_t *)(uintptr_t)page, 0x1000), 0);
	for (unsigned i = 0; i < runs; i++) {
		displaced_caller();
		count[i] = backtrace.count;
		memcpy(seen[i], backtrace.address, sizeof(seen[i]));
		assert_null(arch->plan_entry(function, 14, 0, &plan));
		if (i == 0) {
			assert_null(arch->copy_entry(function, &plan, address_of(function), address_of(piece), &copy));
			redirect(function, piece, &plan, &copy);
		}
	}
	/* note_backtrace may be missing: its call may be a jump */
	assert_true(seen[1][0] == address_of(function) + 9 || seen[1][1] == address_of(function) + 9);
	assert_true(count[1] >= 4);
	assert_int_equal(count[0], count[1]);
	assert_memory_equal(seen[0], seen[1], count[0] * sizeof(uint64_t));
	assert_int_equal(munmap(piece, PIECE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_do_what_the_entry_did),
		cmocka_unit_test(copies_say_where_instructions_went),
		cmocka_unit_test(plans_take_whole_instructions),
		cmocka_unit_test(unsafe_entries_are_refused),
		cmocka_unit_test(copies_check_the_plan),
		cmocka_unit_test(copies_out_of_reach_are_refused),
		cmocka_unit_test(displaced_calls_can_be_unwound),
	};

	return cmocka_run_group_tests(tests, make_space, free_space);
}
