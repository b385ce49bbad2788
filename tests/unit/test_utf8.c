/* Text of others is made harmless, and no other text is changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/utf8.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static void expect(const char *from, const char *to)
{
	char *text = text_copy(from);	/* of its own, so that a read behind its end is seen */

	assert_ptr_equal(utf8_make_printable(text), text);
	assert_string_equal(text, to);
	free(text);
}

static void test_unchanged(void **state)
{
	(void)state;
	expect("", "");
	expect("libvictim.so.1 (deleted) ~", "libvictim.so.1 (deleted) ~");
	expect("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0");
}

static void test_controls(void **state)
{
	(void)state;
	expect("a\033[31mb\r\n\t\x7f\x01", "a?[31mb?????");
	expect("\xc2\x9b" "31m\xc2\x80\xc2\x9f", "?31m??");	/* CSI in one character */
}

static void test_not_utf8(void **state)
{
	(void)state;
	expect("\x9b" "31m", "?31m");
	expect("a\xff" "b\xc3", "a?b?");
	expect("\xc0\x80", "??");
	expect("\xed\xa0\x80", "???");
	expect("\xf0\x9f\x98", "???");
	expect("\xe2\x82\033", "???");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unchanged),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_not_utf8),
	};

	return cmocka_run_group_tests_name("printable text", tests, NULL, NULL);
}
