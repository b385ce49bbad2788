/* The digest of executable mappings changes when other code is mapped, and only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "live/digest.h"
#include "process/maps.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

static uint64_t digest_of(const char *text)
{
	struct maps maps = { 0 };
	uint64_t digest;

	assert_true(maps_parse(text_copy(text), &maps));
	digest = digest_code_mappings(&maps);
	maps_free(&maps);
	return digest;
}

#define DATA "20000-30000 rw-p 00010000 fe:01 4242 /lib/one.so\n"

static void test_code_mappings(void **state)
{
	uint64_t digest = digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA);

	(void)state;
	assert_int_equal(digest, digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n"));
	assert_int_equal(digest, digest_of("10000-20000 r-xp 00001000 fe:01 4242 /lib/renamed.so\n" DATA));
	assert_int_not_equal(digest, digest_of("11000-20000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA));
	assert_int_not_equal(digest, digest_of("10000-1f000 r-xp 00001000 fe:01 4242 /lib/one.so\n" DATA));
	/* Another library, or another part of the same, at the same place. */
	assert_int_not_equal(digest, digest_of("10000-20000 r-xp 00001000 fe:01 4243 /lib/one.so\n" DATA));
	assert_int_not_equal(digest, digest_of("10000-20000 r-xp 00002000 fe:01 4242 /lib/one.so\n" DATA));
	assert_int_not_equal(digest, digest_of(DATA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_code_mappings),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
