/*
 * Call frame instructions, one by one: what each means, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "unwind/cfi.h"
#include "../cfi_oracle.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define CFA 100		/* stands for the CFA's rule where a register's number is wanted */
#define START 0x1000

/* Copied to the heap, for AddressSanitizer to see a read beyond the end. */
static uint8_t *copy_program(const char *program, size_t size)
{
	return size ? memory_copy(program, size) : memory_zeroed(1, 1);
}

/* All FDEs here have the CIE of every compiler: CFA = rsp + 8, return address at CFA - 8. */
static const char *find_row(const char *initial, size_t initial_size, const char *program, size_t size, uint64_t at,
			    struct cfi_row *row)
{
	struct eh_fde fde = {
		.code = { START, START + 0x100000 },
		.cie = { .code_align = 1, .data_align = -8, .return_register = 16 },
	};
	uint8_t *initial_copy = copy_program(initial, initial_size), *copy = copy_program(program, size);
	const char *why;

	fde.cie.program = initial_copy;
	fde.cie.program_size = initial_size;
	fde.program = copy;
	fde.program_size = size;
	why = cfi_find_row(&fde, START + at, row);
	/* The bytes of an expression are the caller's: comparisons of them are made before they go. */
	for (size_t i = 0; !why && i < FRAME_ALL_REGISTERS; i++) {
		if (row->rule[i].expression)
			assert_memory_equal(row->rule[i].expression, "\x77\x08", 2);
	}
	free(initial_copy);
	free(copy);
	return why;
}

#define INITIAL "\x0c\x07\x08\x90\x01"

struct row_case {
	const char *program;
	size_t size;
	uint64_t at;
	unsigned int number;		/* register whose rule is looked at, or CFA */
	enum cfi_rule_kind kind;
	int64_t value;			/* offset, or the register of RULE_REGISTER (not for the CFA) */
};

#define PROGRAM(bytes) (bytes), sizeof(bytes) - 1

static const struct row_case row_cases[] = {
	{ PROGRAM(""), 0, CFA, RULE_REGISTER, 8 },
	{ PROGRAM(""), 0, 16, RULE_OFFSET, -8 },
	{ PROGRAM(""), 0, 3, RULE_UNSPECIFIED, 0 },
	/* A row holds from its location on, up to the next one. */
	{ PROGRAM("\x41\x0e\x10"), 0, CFA, RULE_REGISTER, 8 },
	{ PROGRAM("\x41\x0e\x10"), 1, CFA, RULE_REGISTER, 16 },
	{ PROGRAM("\x02\xff\x0e\x10\x41\x0e\x18"), 254, CFA, RULE_REGISTER, 8 },
	{ PROGRAM("\x02\xff\x0e\x10\x41\x0e\x18"), 255, CFA, RULE_REGISTER, 16 },
	{ PROGRAM("\x02\xff\x0e\x10\x41\x0e\x18"), 256, CFA, RULE_REGISTER, 24 },
	{ PROGRAM("\x03\x34\x12\x0e\x10"), 0x1233, CFA, RULE_REGISTER, 8 },
	{ PROGRAM("\x03\x34\x12\x0e\x10"), 0x1234, CFA, RULE_REGISTER, 16 },
	{ PROGRAM("\x04\x34\x12\x01\x00\x0e\x10"), 0x11233, CFA, RULE_REGISTER, 8 },
	{ PROGRAM("\x04\x34\x12\x01\x00\x0e\x10"), 0x11234, CFA, RULE_REGISTER, 16 },
	/* The CFA */
	{ PROGRAM("\x0e\x80\x01"), 0, CFA, RULE_REGISTER, 128 },
	{ PROGRAM("\x13\x7e"), 0, CFA, RULE_REGISTER, 16 },
	{ PROGRAM("\x0c\x06\x20"), 0, CFA, RULE_REGISTER, 32 },
	{ PROGRAM("\x12\x06\x7c"), 0, CFA, RULE_REGISTER, 32 },
	{ PROGRAM("\x0d\x06"), 0, CFA, RULE_REGISTER, 8 },
	{ PROGRAM("\x0f\x02\x77\x08"), 0, CFA, RULE_EXPRESSION, 0 },
	/* Registers */
	{ PROGRAM("\x83\x02"), 0, 3, RULE_OFFSET, -16 },
	{ PROGRAM("\x05\x0c\x03"), 0, 12, RULE_OFFSET, -24 },
	{ PROGRAM("\x11\x0c\x7d"), 0, 12, RULE_OFFSET, 24 },
	{ PROGRAM("\x2f\x0c\x03"), 0, 12, RULE_OFFSET, 24 },
	{ PROGRAM("\x14\x0c\x03"), 0, 12, RULE_VAL_OFFSET, -24 },
	{ PROGRAM("\x15\x0c\x7d"), 0, 12, RULE_VAL_OFFSET, 24 },
	{ PROGRAM("\x09\x10\x05"), 0, 16, RULE_REGISTER, 5 },
	{ PROGRAM("\x07\x10"), 0, 16, RULE_UNDEFINED, 0 },
	{ PROGRAM("\x08\x00"), 0, 0, RULE_SAME_VALUE, 0 },
	{ PROGRAM("\x10\x03\x02\x77\x08"), 0, 3, RULE_EXPRESSION, 0 },
	{ PROGRAM("\x16\x03\x02\x77\x08"), 0, 3, RULE_VAL_EXPRESSION, 0 },
	{ PROGRAM("\x83\x02\xc3"), 0, 3, RULE_UNSPECIFIED, 0 },
	{ PROGRAM("\x07\x10\x06\x10"), 0, 16, RULE_OFFSET, -8 },
	{ PROGRAM("\x07\x10\xd0"), 0, 16, RULE_OFFSET, -8 },
	/* A vector register's rule changes nothing. */
	{ PROGRAM("\x05\x21\x03\xa1\x02"), 0, 16, RULE_OFFSET, -8 },
	/* States nest, and bring the CFA back too. */
	{ PROGRAM("\x0a\x0e\x10\x83\x02\x0a\x0e\x18\x83\x03\x0b"), 0, CFA, RULE_REGISTER, 16 },
	{ PROGRAM("\x0a\x0e\x10\x83\x02\x0a\x0e\x18\x83\x03\x0b"), 0, 3, RULE_OFFSET, -16 },
	{ PROGRAM("\x0a\x0e\x10\x83\x02\x0a\x0e\x18\x83\x03\x0b\x0b"), 0, CFA, RULE_REGISTER, 8 },
	{ PROGRAM("\x0a\x0e\x10\x83\x02\x0a\x0e\x18\x83\x03\x0b\x0b"), 0, 3, RULE_UNSPECIFIED, 0 },
	/* No effect on rows */
	{ PROGRAM("\x00\x2e\x10\x0e\x10"), 0, CFA, RULE_REGISTER, 16 },
	/* What comes behind the row is not asked for. */
	{ PROGRAM("\x0e\x10\x42\x3f"), 1, CFA, RULE_REGISTER, 16 },
};

static void test_instructions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(row_cases); i++) {
		const struct row_case *c = &row_cases[i];
		struct cfi_row row;
		const struct cfi_rule *rule = c->number == CFA ? &row.cfa : &row.rule[c->number];

		assert_null(find_row(PROGRAM(INITIAL), c->program, c->size, c->at, &row));
		assert_int_equal(rule->kind, c->kind);
		if (c->number != CFA && c->kind == RULE_REGISTER)
			assert_int_equal(rule->from, c->value);
		else
			assert_int_equal(rule->offset, c->value);
	}
}

static void test_cfa_register(void **state)
{
	struct cfi_row row;

	(void)state;
	assert_null(find_row(PROGRAM(INITIAL), PROGRAM("\x0c\x06\x10"), 0, &row));
	assert_int_equal(row.cfa.from, 6);
	assert_null(find_row(PROGRAM(INITIAL), PROGRAM("\x0d\x0a"), 0, &row));
	assert_int_equal(row.cfa.from, 10);
	assert_null(find_row(PROGRAM(INITIAL), PROGRAM("\x12\x06\x7c"), 0, &row));
	assert_int_equal(row.cfa.from, 6);
}

static void test_refused_programs(void **state)
{
	static const struct {
		const char *program;
		size_t size;
		const char *why;
	} cases[] = {
		{ PROGRAM("\x3f"), "an instruction that is not known" },
		{ PROGRAM("\x01\0\0\0\0\0\0\0\0"), "an instruction that is not known" },
		{ PROGRAM("\x2d"), "an instruction that is not known" },
		{ PROGRAM("\x0b"), "did not remember" },
		{ PROGRAM("\x0a\x0b\x0b"), "did not remember" },
		{ PROGRAM("\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a"), "too many states" },
		{ PROGRAM("\x0e"), "cut off" },
		{ PROGRAM("\x83"), "cut off" },
		{ PROGRAM("\x02"), "cut off" },
		{ PROGRAM("\x04\x01\x00"), "cut off" },
		{ PROGRAM("\x0f\x03\x77\x08"), "cut off" },
		{ PROGRAM("\x10\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x77"), "cut off" },
		{ PROGRAM("\x0f\x02\x77\x08\x0e\x10"), "no register and offset" },
		{ PROGRAM("\x0f\x02\x77\x08\x0d\x06"), "no register and offset" },
		{ PROGRAM("\x0e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "out of range" },
		{ PROGRAM("\x13\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f"), "out of range" },
		{ PROGRAM("\x83\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "out of range" },
	};
	struct cfi_row row;
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		why = find_row(PROGRAM(INITIAL), cases[i].program, cases[i].size, 0xfffff, &row);
		assert_non_null(why);
		if (!strstr(why, cases[i].why))
			fail_msg("case %zu: %s", i, why);
	}
	why = find_row(PROGRAM("\x0c\x07\x08\x41"), PROGRAM(""), 0, &row);
	assert_string_equal(why, "the initial instructions of a CIE advance the location");
	why = find_row(PROGRAM("\x0c\x07\x08\xc3"), PROGRAM(""), 0, &row);
	assert_string_equal(why, "the initial instructions of a CIE restore a rule");
}

static void test_wrapping_location(void **state)
{
	struct eh_fde fde = {
		.code = { UINT64_MAX - 16, UINT64_MAX },
		.cie = { .code_align = 1ull << 63, .data_align = -8, .return_register = 16,
			 .program = (const uint8_t *)INITIAL, .program_size = 5 },
		.program = (const uint8_t *)"\x42\x0e\x10", .program_size = 3,
	};
	struct cfi_row row;

	(void)state;
	assert_string_equal(cfi_find_row(&fde, UINT64_MAX - 1, &row), "a location of the unwind data wraps around");
	fde.cie.code_align = 100;
	assert_string_equal(cfi_find_row(&fde, UINT64_MAX - 1, &row), "a location of the unwind data wraps around");
	fde.cie.code_align = 1;
	assert_null(cfi_find_row(&fde, UINT64_MAX - 1, &row));
	assert_int_equal(row.cfa.offset, 16);

	fde.cie.return_register = 17;
	assert_non_null(cfi_find_row(&fde, UINT64_MAX - 1, &row));
	fde.cie.return_register = 16;
	fde.program = NULL;
	assert_non_null(cfi_find_row(&fde, UINT64_MAX - 1, &row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instructions),
		cmocka_unit_test(test_cfa_register),
		cmocka_unit_test(test_refused_programs),
		cmocka_unit_test(test_wrapping_location),
	};

	return cmocka_run_group_tests_name("cfi", tests, NULL, NULL);
}
