/* The list of mappings: what the kernel writes, and what names of files can put into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "process/maps.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static bool parse(const char *text, struct maps *maps)
{
	*maps = (struct maps){ 0 };
	return maps_parse(text_copy(text), maps);
}

static void test_ordinary(void **state)
{
	struct maps maps;

	(void)state;
	assert_true(parse("55d0c0000000-55d0c0001000 r--p 00000000 fe:01 4242                       /usr/bin/cat\n"
			  "55d0c0001000-55d0c0006000 r-xp 00001000 fe:01 4242                       /usr/bin/cat\n"
			  "55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]\n"
			  "7f0000000000-7f0000001000 rw-s 00000000 00:05 77                         /dev/zero (deleted)\n"
			  "7f0000002000-7f0000003000 ---p 00000000 00:00 0 \n"
			  "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n"
			  "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n", &maps));
	assert_int_equal(maps.count, 7);
	assert_true(maps.item[1].read && !maps.item[1].write && maps.item[1].execute && !maps.item[1].shared);
	assert_int_equal(maps.item[1].offset, 0x1000);
	assert_int_equal(maps.item[1].inode, 4242);
	assert_string_equal(maps.item[1].name, "/usr/bin/cat");
	assert_true(maps.item[3].shared);
	assert_string_equal(maps.item[4].name, "");
	assert_true(mapping_anonymous(&maps.item[4]));
	assert_false(mapping_anonymous(&maps.item[2]));
	assert_true(mapping_special(&maps.item[5], "[stack]"));
	maps_free(&maps);
}

/* A file may be called like anything; only the kernel's own mappings have no inode. */
static void test_hostile_names(void **state)
{
	struct maps maps;

	(void)state;
	assert_true(parse("1000-2000 r-xp 00000000 fe:01 9 [stack]\n"
			  "2000-3000 r-xp 00000000 fe:01 9 /tmp/a b  c\n"
			  "3000-4000 r-xp 00000000 fe:01 9 /tmp/x\\0124000-5000 rwxp 00000000 00:00 0\n"
			  "5000-6000 r-xp 00000000 fe:01 9 /tmp/%s%n (deleted) (deleted)\n", &maps));
	assert_int_equal(maps.count, 4);
	assert_false(mapping_special(&maps.item[0], "[stack]"));
	assert_string_equal(maps.item[1].name, "/tmp/a b  c");
	assert_int_equal(maps.item[2].range.end, 0x4000);
	assert_string_equal(maps.item[3].name, "/tmp/%s%n (deleted) (deleted)");
	maps_free(&maps);
}

static void test_invalid(void **state)
{
	static const char *const bad[] = {
		"nonsense\n",
		"1000-2000\n",
		"1000-2000 r-xp\n",
		"2000-1000 r-xp 00000000 00:00 0\n",
		"1000-1000 r-xp 00000000 00:00 0\n",
		"1000-2000 rx 00000000 00:00 0\n",
		"1000-2000 r-xq 00000000 00:00 0\n",
		"1000-2000 r-x",
		"1000-2000 r-xp -1 00:00 0\n",
		"1000-2000 r-xp 00000000 0000 0\n",
		"1000-2000 r-xp 00000000 00:00 \n",
		"1000-2000 r-xp 00000000 00:00 0x1\n",
		"-2000 r-xp 00000000 00:00 0\n",
		"1000-12000000000000000 r-xp 00000000 00:00 0\n",
		"1000-3000 r-xp 00000000 00:00 0\n2000-4000 r-xp 00000000 00:00 0\n",
		"3000-4000 r-xp 00000000 00:00 0\n1000-2000 r-xp 00000000 00:00 0\n",
		"\n",
	};
	struct maps maps;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(parse(bad[i], &maps));
		maps_free(&maps);
	}
	assert_true(parse("", &maps));
	assert_int_equal(maps.count, 0);
	maps_free(&maps);
	assert_true(parse("1000-2000 r-xp 00000000 00:00 0", &maps));	/* without a last line end */
	assert_int_equal(maps.count, 1);
	maps_free(&maps);
}

static void test_find(void **state)
{
	struct maps maps;

	(void)state;
	assert_true(parse("1000-2000 r-xp 00000000 00:00 0\n2000-3000 rw-p 00000000 00:00 0\n"
			  "8000-9000 rw-p 00000000 00:00 0\n", &maps));
	assert_null(maps_find(&maps, 0xfff));
	assert_ptr_equal(maps_find(&maps, 0x1000), &maps.item[0]);
	assert_ptr_equal(maps_find(&maps, 0x1fff), &maps.item[0]);
	assert_ptr_equal(maps_find(&maps, 0x2000), &maps.item[1]);
	assert_null(maps_find(&maps, 0x3000));
	assert_ptr_equal(maps_find(&maps, 0x8fff), &maps.item[2]);
	assert_null(maps_find(&maps, 0x9000));
	assert_null(maps_find(&maps, UINT64_MAX));
	maps_free(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests_name("maps", tests, NULL, NULL);
}
