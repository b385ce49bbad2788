/* ld.so.cache as ldconfig writes it, and as somebody else might. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "image/library_cache.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define ENTRIES 2u
#define TEXTS_AT (48u + 24u * ENTRIES)

static const char texts[] = "libx.so.1\0/opt/libx.so.1\0liby.so.2\0/opt/v3/liby.so.2";

/* In memory of just that size, so that a read behind it is noticed. */
static uint8_t *make(size_t *size)
{
	static const uint32_t words[] = { 0x303, TEXTS_AT, TEXTS_AT + 10, 0, 0, 0, 0x303, TEXTS_AT + 25, TEXTS_AT + 35, 0, 0, 2 };
	uint8_t *bytes = calloc(1, TEXTS_AT + sizeof(texts));

	assert_non_null(bytes);
	memcpy(bytes, "glibc-ld.so.cache1.1", 20);
	store32(bytes + 20, ENTRIES);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		store32(bytes + 48 + 4 * i, words[i]);
	memcpy(bytes + TEXTS_AT, texts, sizeof(texts));
	*size = TEXTS_AT + sizeof(texts);
	return bytes;
}

static void entries_are_read(void **state)
{
	struct library_cache cache;
	struct library_entry entry;
	size_t size;
	uint8_t *bytes = make(&size);

	(void)state;
	assert_true(library_cache_open(bytes, size, &cache));
	assert_int_equal(cache.count, ENTRIES);
	assert_true(library_cache_entry(&cache, 0, &entry));
	assert_int_equal(entry.kind, 0x303);
	assert_false(entry.special);
	assert_string_equal(entry.soname, "libx.so.1");
	assert_string_equal(entry.path, "/opt/libx.so.1");
	assert_true(library_cache_entry(&cache, 1, &entry));
	assert_true(entry.special);
	assert_string_equal(entry.path, "/opt/v3/liby.so.2");
	free(bytes);
}

static void every_cut_is_noticed(void **state)
{
	size_t whole, size;

	(void)state;
	free(make(&whole));
	for (size_t cut = 0; cut < whole; cut++) {
		uint8_t *bytes = make(&size), *part = malloc(cut + 1);
		struct library_cache cache;
		struct library_entry entry;
		bool all = true;

		assert_non_null(part);
		memcpy(part, bytes, cut);
		part = realloc(part, cut ? cut : 1);
		assert_int_equal(library_cache_open(part, cut, &cache), cut >= TEXTS_AT);
		for (size_t i = 0; cut >= TEXTS_AT && i < cache.count; i++)
			all &= library_cache_entry(&cache, i, &entry);
		assert_true(cut < TEXTS_AT || !all);
		free(part);
		free(bytes);
	}
}

/* Each byte of it another one: nothing may be read outside, and what is taken for text ends. */
static void every_byte_may_lie(void **state)
{
	size_t size;
	uint8_t *bytes = make(&size);

	(void)state;
	for (size_t at = 0; at < size; at++)
		for (unsigned int value = 0; value < 256; value += 15) {
			uint8_t kept = bytes[at];
			struct library_cache cache;
			struct library_entry entry;

			bytes[at] = (uint8_t)value;
			if (library_cache_open(bytes, size, &cache))
				for (size_t i = 0; i < cache.count; i++)
					if (library_cache_entry(&cache, i, &entry)) {
						assert_in_range((uintptr_t)entry.soname, (uintptr_t)bytes, (uintptr_t)bytes + size - 1);
						assert_true(entry.path[0] == '/' && entry.path + strlen(entry.path) < (char *)bytes + size);
					}
			bytes[at] = kept;
		}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_read),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(every_byte_may_lie),
	};

	return cmocka_run_group_tests_name("library_cache", tests, NULL, NULL);
}
