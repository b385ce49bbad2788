/*
 * Records of .eh_frame written by hand: every encoding, the augmentations, what is not known, and
 * what is damaged in a way that a message names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "image/eh_frame.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

/* A section put together by hand; of one CIE and one FDE where nothing else is said. */
struct bytes {
	uint8_t data[256];
	size_t size;
};

static void add(struct bytes *bytes, const void *data, size_t size)
{
	memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
}

static void add_word(struct bytes *bytes, uint32_t word)
{
	add(bytes, &word, sizeof(word));
}

/* Write a length field, once the record behind it is complete. */
static void close_record(struct bytes *bytes, size_t start)
{
	store32(bytes->data + start, (uint32_t)(bytes->size - start - 4));
}

/* `augmentation` with its NUL, `data` the augmentation data without its length. */
static void add_cie(struct bytes *bytes, uint8_t version, const char *augmentation, const char *data, size_t data_size)
{
	size_t start = bytes->size;
	uint8_t size = (uint8_t)data_size;

	add_word(bytes, 0);
	add_word(bytes, 0);
	add(bytes, &version, 1);
	add(bytes, augmentation, strlen(augmentation) + 1);
	add(bytes, "\x01\x78\x10", 3);
	if (augmentation[0] == 'z') {
		add(bytes, &size, 1);
		add(bytes, data, data_size);
	}
	add(bytes, "\x0c\x07\x08\x90\x01", 5);
	close_record(bytes, start);
}

static void add_fde(struct bytes *bytes, size_t cie, const char *body, size_t size)
{
	size_t start = bytes->size;

	add_word(bytes, 0);
	add_word(bytes, (uint32_t)(bytes->size - cie));
	add(bytes, body, size);
	close_record(bytes, start);
}

#define ADDRESS 0x10000

/* Read what must be the only FDE; false when there is none. */
static bool read_one(const struct bytes *bytes, struct eh_fde *fde, const char **why)
{
	struct eh_frame section = { bytes->data, bytes->size, ADDRESS };
	struct eh_fde other;
	size_t offset = 0;
	const char *end;
	bool found = eh_frame_next(&section, &offset, fde, why);

	if (found) {
		assert_false(eh_frame_next(&section, &offset, &other, &end));
		assert_null(end);
	}
	return found;
}

static void test_encodings(void **state)
{
	static const struct {
		const char *encoding, *body;
		size_t body_size;
		uint64_t start, end;
		bool relative;
	} cases[] = {
		{ "\x1b", "\xfc\xff\xff\xff\x20\0\0\0\0", 9, (uint64_t)-4, 0x1c, true },
		{ "\x03", "\xfc\xff\xff\xff\x20\0\0\0\0", 9, 0xfffffffc, 0x10000001c, false },
		{ "\x0b", "\x40\0\0\0\x20\0\0\0\0", 9, 0x40, 0x60, false },
		{ "\x00", "\1\2\3\4\5\6\7\0\x20\0\0\0\0\0\0\0\0", 17, 0x7060504030201, 0x7060504030221, false },
		{ "\x1c", "\x10\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0", 17, 0x10, 0x30, true },
		{ "\x02", "\xfc\xff\x20\0\0", 5, 0xfffc, 0x1001c, false },
		{ "\x1a", "\xfc\xff\x20\0\0", 5, (uint64_t)-4, 0x1c, true },
		{ "\x01", "\x80\x01\x20\0", 4, 0x80, 0xa0, false },
		{ "\x19", "\x7c\x20\0", 3, (uint64_t)-4, 0x1c, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bytes bytes = { 0 };
		struct eh_fde fde;
		const char *why;
		uint64_t base;

		add_cie(&bytes, 1, "zR", cases[i].encoding, 1);
		base = cases[i].relative ? ADDRESS + bytes.size + 8 : 0;
		add_fde(&bytes, 0, cases[i].body, cases[i].body_size);
		assert_true(read_one(&bytes, &fde, &why));
		assert_int_equal(fde.code.start, base + cases[i].start);
		assert_int_equal(fde.code.end, base + cases[i].end);
		assert_non_null(fde.program);
		assert_int_equal(fde.program_size, 0);
		assert_int_equal(fde.cie.data_align, -8);
		assert_int_equal(fde.cie.return_register, 16);
		assert_int_equal(fde.cie.program_size, 5);
		assert_memory_equal(fde.cie.program, "\x0c\x07\x08\x90\x01", 5);
	}
}

static void test_augmentations(void **state)
{
	struct eh_fde fde;
	const char *why;
	struct bytes bytes = { 0 };

	(void)state;
	/* personality pcrel|indirect|sdata4, LSDA pcrel|sdata4, addresses pcrel|sdata4 */
	add_cie(&bytes, 1, "zPLR", "\x9b\1\2\3\4\x1b\x1b", 7);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\x04\x40\0\0\0\x41", 14);
	assert_true(read_one(&bytes, &fde, &why));
	assert_true(fde.cie.has_personality && fde.cie.has_augmentation_data && !fde.cie.signal_frame);
	assert_int_equal(fde.lsda, ADDRESS + (size_t)(fde.program - bytes.data) - 4 + 0x40);
	assert_int_equal(fde.program_size, 1);
	assert_int_equal(fde.program[0], 0x41);

	/* A stored 0 is no LSDA, also where it is relative. */
	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zPLR", "\x9b\1\2\3\4\x1b\x1b", 7);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\x04\0\0\0\0\x41", 14);
	assert_true(read_one(&bytes, &fde, &why));
	assert_int_equal(fde.lsda, 0);

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 3, "zRS", "\x1b", 1);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_true(read_one(&bytes, &fde, &why));
	assert_true(fde.cie.signal_frame && !fde.cie.has_personality);

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "", "", 0);
	add_fde(&bytes, 0, "\0\1\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x41", 17);
	assert_true(read_one(&bytes, &fde, &why));
	assert_int_equal(fde.code.start, 0x100);
	assert_int_equal(fde.code.end, 0x120);
	assert_false(fde.cie.has_augmentation_data);
	assert_int_equal(fde.program_size, 1);
}

/* What is not known is never guessed at, but does not hide what comes behind it. */
static void test_unknown_kinds(void **state)
{
	struct eh_fde fde;
	const char *why;
	struct bytes bytes = { 0 };

	(void)state;
	/* The letter comes behind 'R': the range is known, the rest is not. */
	add_cie(&bytes, 1, "zRB", "\x1b", 1);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_true(read_one(&bytes, &fde, &why));
	assert_int_equal(fde.code.end - fde.code.start, 0x20);
	assert_null(fde.program);
	assert_null(fde.cie.program);

	/* Letter before 'R'; no 'z'; version; data-relative; indirect; "none". */
	for (unsigned int i = 0; i < 6; i++) {
		static const char *const augmentation[] = { "zBR", "eh", "zR", "zR", "zR", "zR" };
		static const char *const encoding[] = { "\x1b", "", "\x1b", "\x3b", "\x9b", "\xff" };
		size_t known;

		bytes = (struct bytes){ 0 };
		add_cie(&bytes, i == 2 ? 4 : 1, augmentation[i], encoding[i], strlen(encoding[i]));
		add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
		assert_false(read_one(&bytes, &fde, &why));
		assert_null(why);
		/* Another one behind it is found. */
		known = bytes.size;
		add_cie(&bytes, 1, "zR", "\x1b", 1);
		add_fde(&bytes, known, "\0\1\0\0\x20\0\0\0\0", 9);
		assert_true(read_one(&bytes, &fde, &why));
	}

	/* An LSDA that can't be read. */
	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zLR", "\x3b\x1b", 2);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\x04\0\0\0\0\x41", 14);
	assert_true(read_one(&bytes, &fde, &why));
	assert_null(fde.program);
	assert_null(fde.cie.program);
}

static void expect_damage(const struct bytes *bytes, const char *expected)
{
	struct eh_fde fde;
	const char *why;

	assert_false(read_one(bytes, &fde, &why));
	assert_string_equal(why, expected);
}

static void test_damaged_fdes(void **state)
{
	static const struct {
		const char *body;
		size_t body_size;
		const char *why;
	} cases[] = {
		{ "\0\1\0\0\x20\0\0", 7, "the address range of an FDE is cut off" },
		{ "\0\1\0\0\xff\xff\xff\xff\0", 9, "the address range of an FDE wraps around" },
		{ "\0\1\0\0\x20\0\0\0", 8, "the augmentation data of an FDE is cut off" },
		{ "\0\1\0\0\x20\0\0\0\x02\0", 10, "the augmentation data of an FDE is cut off" },
		{ "\0\1\0\0\x20\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 18,
		  "the augmentation data of an FDE is cut off" },
	};
	struct bytes bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bytes = (struct bytes){ 0 };
		add_cie(&bytes, 1, "zR", "\x1b", 1);
		add_fde(&bytes, 0, cases[i].body, cases[i].body_size);
		expect_damage(&bytes, cases[i].why);
	}

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	add_fde(&bytes, (size_t)-1, "\0\1\0\0\x20\0\0\0\0", 9);
	expect_damage(&bytes, "a CIE pointer leads out of the section");

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	add_fde(&bytes, bytes.size, "\0\1\0\0\x20\0\0\0\0", 9);
	expect_damage(&bytes, "a CIE pointer leads to a record that is no CIE");
}

static void test_damaged_cies(void **state)
{
	static const struct {
		uint8_t length;		/* of the whole CIE's 19 bytes behind its length field */
		const char *augmentation;
		const char *why;
	} cases[] = {
		{ 3, "zR", "a record is too short for its CIE pointer" },
		{ 6, "zR", "the augmentation of a CIE has no end" },
		{ 9, "zR", "the augmentation data of a CIE is cut off" },
		{ 12, "zR", "the augmentation data of a CIE is cut off" },
		{ 8, "", "a CIE is cut off" },
		{ 19, "zRL", "the augmentation data of a CIE is too short" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bytes bytes = { 0 };

		struct eh_frame section;
		struct eh_fde fde;
		const char *why;
		size_t start;

		add_cie(&bytes, 1, cases[i].augmentation, "\x1b", 1);
		start = bytes.size;
		add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
		store32(bytes.data, cases[i].length);
		/* From the FDE on: by order, the reader would stop at the CIE. */
		section = (struct eh_frame){ bytes.data, bytes.size, ADDRESS };
		assert_false(eh_frame_next(&section, &start, &fde, &why));
		assert_string_equal(why, cases[i].why);
	}
}

static void test_bad_record_is_not_passed(void **state)
{
	struct bytes bytes = { 0 };
	struct eh_frame section;
	struct eh_fde fde;
	const char *why;
	size_t start, offset = 0;

	(void)state;
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	start = bytes.size;
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0", 8);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
	section = (struct eh_frame){ bytes.data, bytes.size, ADDRESS };
	for (unsigned int i = 0; i < 2; i++) {
		assert_false(eh_frame_next(&section, &offset, &fde, &why));
		assert_non_null(why);
		assert_int_equal(offset, start);
	}
}

/* A byte in version 1, a LEB128 in version 3. */
static void test_return_register(void **state)
{
	struct bytes bytes = { 0 };
	struct eh_fde fde;
	const char *why;

	(void)state;
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
	bytes.data[14] = 0x90;
	assert_true(read_one(&bytes, &fde, &why));
	assert_int_equal(fde.cie.return_register, 0x90);
}

/* 64-bit records are passed over whole, and their length is checked like any other. */
static void test_extended_length(void **state)
{
	struct bytes bytes = { 0 };
	size_t start, cie;
	struct eh_fde fde;
	const char *why;

	(void)state;
	start = bytes.size;
	add(&bytes, "\xff\xff\xff\xff\x10\0\0\0\0\0\0\0", 12);
	add(&bytes, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20", 16);
	cie = bytes.size;
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	add_fde(&bytes, cie, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_true(read_one(&bytes, &fde, &why));

	store64(bytes.data + start + 4, UINT64_MAX - 3);
	assert_false(read_one(&bytes, &fde, &why));
	assert_string_equal(why, "a record is longer than the section");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_augmentations),
		cmocka_unit_test(test_unknown_kinds),
		cmocka_unit_test(test_damaged_fdes),
		cmocka_unit_test(test_damaged_cies),
		cmocka_unit_test(test_bad_record_is_not_passed),
		cmocka_unit_test(test_return_register),
		cmocka_unit_test(test_extended_length),
	};

	return cmocka_run_group_tests_name("eh_frame records", tests, NULL, NULL);
}
