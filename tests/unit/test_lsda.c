/* Language-specific data areas: what is read, and that nothing hostile in them is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/dwarf_bytes.h"
#include "image/lsda.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define AT 0x2000u
#define CODE 0x1000u

/* An image of one section with these bytes. */
static struct image make_image(struct section *section, const uint8_t *bytes, size_t size)
{
	struct image image = { .span = { AT, AT + 0x1000 } };

	*section = (struct section){ .name = ".gcc_except_table", .span = { AT, AT + size }, .data = bytes };
	image.sections.item = section;
	image.sections.count = 1;
	return image;
}

/*
 * Three calls: [4, 8) lands at 0x20 and asks for type 1, then for any, then cleans up; [8, 9) lands nowhere; [16, 24) cleans up only. Two
 * types of 4 bytes, the first one null; then a specification of type 2.
 */
static const uint8_t sound[] = {
	0xff, 0x1b, 36,			/*  0: landing pads from the code's start; types: pc-relative, 4 bytes, end at 3 + 36 */
	0x01, 12,			/*  3: calls: uleb128, 12 bytes */
	4, 4, 0x20, 5,			/*  5 */
	8, 1, 0, 0,			/*  9 */
	16, 8, 0x30, 0,			/* 13 */
	0, 0,				/* 17: action 1: clean up; the end */
	1, 0x7d,			/* 19: action 3: type 1, then 3 bytes back from here: action 1 */
	2, 0x7d,			/* 21: action 5: type 2, then action 3 */
	0x7f, 0,			/* 23: action 7: the specification */
	0, 0, 0, 0, 0, 0,		/* 25 */
	0x10, 0, 0, 0,			/* 31: type 2: 0x10 from here */
	0, 0, 0, 0,			/* 35: type 1: any */
	2, 0,				/* 39: specification -1 */
};

static void test_sound(void **state)
{
	struct section section;
	struct image image = make_image(&section, sound, sizeof(sound));
	struct lsda lsda;

	assert_null(lsda_read(&image, AT, CODE, &lsda));
	assert_int_equal(lsda.calls.count, 3);
	assert_int_equal(lsda.calls.item[0].code.start, CODE + 4);
	assert_int_equal(lsda.calls.item[0].code.end, CODE + 8);
	assert_int_equal(lsda.calls.item[0].pad, CODE + 0x20);
	assert_false(lsda.calls.item[0].cleanup);
	assert_int_equal(lsda.calls.item[0].count, 3);
	assert_int_equal(lsda.actions.item[0], 2);
	assert_int_equal(lsda.actions.item[1], 1);
	assert_int_equal(lsda.actions.item[2], 0);
	assert_int_equal(lsda.calls.item[1].pad, 0);
	assert_true(lsda.calls.item[2].cleanup);
	assert_int_equal(lsda.types.count, 2);
	assert_int_equal(lsda.types.item[0].number, 1);
	assert_int_equal(lsda.types.item[0].where, AT + 35);
	assert_int_equal(lsda.types.item[0].target, 0);
	assert_int_equal(lsda.types.item[1].where, AT + 31);
	assert_int_equal(lsda.types.item[1].target, AT + 31 + 0x10);
	lsda_free(&lsda);
}

static void test_specification(void **state)
{
	uint8_t bytes[sizeof(sound)] = { 0 };
	struct section section;
	struct image image = make_image(&section, bytes, sizeof(bytes));
	struct lsda lsda;

	memcpy(bytes, sound, sizeof(sound));
	bytes[8] = 7;
	assert_null(lsda_read(&image, AT, CODE, &lsda));
	assert_int_equal(lsda.calls.item[0].count, 3);
	assert_int_equal(lsda.actions.item[0], -1);
	assert_int_equal(lsda.actions.item[1], 2);
	assert_int_equal(lsda.actions.item[2], 0);
	assert_int_equal(lsda.types.count, 1);
	lsda_free(&lsda);
}

/* Whatever one byte says, or wherever the section ends: a reason, or an answer, of bounded size. */
static void test_damage(void **state)
{
	uint8_t bytes[sizeof(sound)] = { 0 };
	struct section section;
	struct lsda lsda;

	for (size_t at = 0; at < sizeof(sound); at++)
		for (unsigned int value = 0; value < 256; value++) {
			struct image image = make_image(&section, bytes, sizeof(bytes));

			memcpy(bytes, sound, sizeof(sound));
			bytes[at] = (uint8_t)value;
			(void)!lsda_read(&image, AT, CODE, &lsda);
			assert_true(lsda.calls.count <= sizeof(sound) && lsda.actions.count < 100000);
			lsda_free(&lsda);
		}
	for (size_t size = 0; size < sizeof(sound) - 2; size++) {
		uint8_t *copy = malloc(size ? size : 1);	/* so that a read behind its end is seen */
		struct image image = make_image(&section, copy, size);

		assert_non_null(copy);
		memcpy(copy, sound, size);
		if (size < 31)
			assert_non_null(lsda_read(&image, AT, CODE, &lsda));
		else
			(void)!lsda_read(&image, AT, CODE, &lsda);
		lsda_free(&lsda);
		free(copy);
	}
}

/* A chain of actions that leads round in a circle. */
static void test_circle(void **state)
{
	uint8_t bytes[sizeof(sound)] = { 0 };
	struct section section;
	struct image image = make_image(&section, bytes, sizeof(bytes));
	struct lsda lsda;

	memcpy(bytes, sound, sizeof(sound));
	bytes[18] = 0x7f;	/* action 1 goes on with itself */
	assert_string_equal(lsda_read(&image, AT, CODE, &lsda), "an action of a call can't be read");
	assert_int_equal(lsda.types.count, 0);
	lsda_free(&lsda);
}

static void test_elsewhere(void **state)
{
	struct section section;
	struct image image = make_image(&section, sound, sizeof(sound));
	struct lsda lsda;

	assert_string_equal(lsda_read(&image, AT - 1, CODE, &lsda), "it lies in no section");
	lsda_free(&lsda);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_specification),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_circle),
		cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
