/*
 * test_patch_damage.c: files that were cut, changed by accident, or changed by someone who also corrected
 * the checksum. The first two are refused always; the third gives an error or a patch that is safe to use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patch/format.h"
#include "patch_example.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

#define INFO sizeof(Elf64_Ehdr)

static uint8_t *original;
static size_t original_size, tables_size;
static struct error reason;	/* of the last parse() */

static int encode_example(void **state)
{
	struct patch patch = example_patch();
	struct error error = { 0 };

	(void)state;
	alarm(100);
	if (patch_verify(&patch, &error))
		return -1;
	original = patch_encode(&patch, &original_size);
	tables_size = original_size - 3 * PATCH_PAGE;
	patch_free(&patch);
	return 0;
}

static int free_example(void **state)
{
	(void)state;
	free(original);
	error_clear(&reason);
	return 0;
}

static void correct_checksum(uint8_t *bytes, size_t size)
{
	store64(bytes + INFO + offsetof(struct format_info, checksum), format_checksum(bytes, size));
}

/* What the run side does with a patch, on a copy: any address that the verification should not have let
 * pass is an error for the sanitizers, or a failed assertion. */
static void use_functions(const struct patch *patch)
{
	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];
		uint8_t site[ARCH_ENTRY_MAX];

		assert_true(strlen(function->name) > 0);
		assert_string_not_equal(change_name(function->change), "?");
		assert_string_not_equal(action_name(function->action), "?");
		if (function->action != ACTION_REDIRECT)
			continue;
		assert_true(function->plan.span > 0 && function->plan.jump > 0);
		memcpy(site, function->old_bytes, patch_site_size(&function->plan));
		assert_true(function->old_entry >= patch->old_span.start);
		assert_true(function->old_entry + patch_site_size(&function->plan) <= patch->old_span.end);
		assert_true(range_holds(function->old_ranges.item[0], function->old_entry));
		assert_true(range_holds(function->new_ranges.item[0], function->new_entry));
	}
}

static void use_bindings(const struct patch *patch)
{
	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];
		size_t j = 0;

		while (j < patch->segments.count &&
		       binding->where - patch->segments.item[j].address >= patch->segments.item[j].size)
			j++;
		assert_true(j < patch->segments.count);
		memset(patch->segments.item[j].data + (binding->where - patch->segments.item[j].address), 0,
		       binding_size(binding->type));
	}
}

static void use_slice(const struct patch *patch)
{
	uint64_t end = patch->new_span.start;

	for (size_t i = 0; i < patch->segments.count; i++) {
		const struct patch_segment *segment = &patch->segments.item[i];

		assert_true(segment->address >= end && segment->size);
		assert_true((segment->address | segment->size) % PATCH_PAGE == 0);
		assert_true(segment->size <= patch->new_span.end - segment->address);
		end = segment->address + segment->size;
		assert_int_equal(segment->data[0], segment->data[0] & 0xff);
		assert_int_equal(segment->data[segment->size - 1], segment->data[segment->size - 1] & 0xff);
	}
}

/* Returns the status; a patch that was accepted is used, and encodes to the bytes that it came from. */
static enum status parse(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = memory_copy(bytes, size), *encoded;	/* of exactly this size, for the sanitizer */
	struct patch patch;
	size_t encoded_size;
	enum status status;

	error_clear(&reason);
	status = patch_parse(copy, size, &patch, &reason);
	free(copy);
	if (status) {
		assert_int_equal(status, STATUS_ERROR);
		assert_true(reason.length > 0);
	} else {
		assert_null(reason.text);
		encoded = patch_encode(&patch, &encoded_size);
		assert_int_equal(encoded_size, size);
		assert_memory_equal(encoded, bytes, size);
		free(encoded);
		use_functions(&patch);
		use_slice(&patch);
		use_bindings(&patch);
	}
	patch_free(&patch);
	return status;
}

static void test_whole(void **state)
{
	(void)state;
	assert_int_equal(parse(original, original_size), STATUS_OK);
}

static void test_truncated(void **state)
{
	(void)state;
	for (size_t size = 0; size < original_size; size++) {
		bool short_info = size < INFO + sizeof(struct format_info);

		if (!parse(original, size))
			fail_msg("accepted when cut to %zu bytes", size);
		assert_non_null(strstr(reason.text, short_info ? "too short" : "bytes long instead of"));
	}
}

/* Cut, and made to agree with that: the tables or the segments are then incomplete. */
static void test_truncated_with_checksum(void **state)
{
	(void)state;
	for (size_t size = INFO + sizeof(struct format_info); size < original_size; size++) {
		uint8_t *bytes = memory_copy(original, size);

		store64(bytes + INFO + offsetof(struct format_info, file_size), size);
		correct_checksum(bytes, size);
		if (!parse(bytes, size))
			fail_msg("accepted when cut to %zu bytes with a checksum", size);
		free(bytes);
	}
}

static void test_longer(void **state)
{
	uint8_t *bytes = memory_zeroed(original_size + PATCH_PAGE, 1);

	(void)state;
	memcpy(bytes, original, original_size);
	for (size_t more = 1; more <= PATCH_PAGE; more += 1365) {
		assert_int_equal(parse(bytes, original_size + more), STATUS_ERROR);
		store64(bytes + INFO + offsetof(struct format_info, file_size), original_size + more);
		correct_checksum(bytes, original_size + more);
		assert_int_equal(parse(bytes, original_size + more), STATUS_ERROR);
		memcpy(bytes, original, original_size);
	}
	free(bytes);
}

/* Other values for one byte: each bit turned, 0, 255. The pages of the slice take any value, so one is enough there. */
static size_t changed_values(size_t at, uint8_t *values)
{
	uint8_t old = original[at];
	size_t count = 0;

	if (at >= tables_size) {
		values[count++] = (uint8_t)(old ^ 1 << at % 8);
		return count;
	}
	for (int bit = 0; bit < 8; bit++)
		values[count++] = (uint8_t)(old ^ 1 << bit);
	if (old)
		values[count++] = 0;
	if (old != 0xff)
		values[count++] = 0xff;
	return count;
}

static void test_changed(void **state)
{
	uint8_t *bytes = memory_copy(original, original_size), values[10];

	(void)state;
	for (size_t i = 0; i < original_size; i++) {
		size_t count = changed_values(i, values);

		for (size_t j = 0; j < count; j++) {
			bytes[i] = values[j];
			if (!parse(bytes, original_size))
				fail_msg("accepted with byte 0x%zx set to 0x%02x", i, values[j]);
			if (i >= INFO + sizeof(struct format_info))
				assert_non_null(strstr(reason.text, "checksum"));
		}
		bytes[i] = original[i];
	}
	free(bytes);
}

static void test_changed_with_checksum(void **state)
{
	uint8_t *bytes = memory_copy(original, original_size), values[10];
	size_t accepted = 0;

	(void)state;
	for (size_t i = 0; i < original_size; i++) {
		size_t count = changed_values(i, values);

		for (size_t j = 0; j < count; j++) {
			bytes[i] = values[j];
			correct_checksum(bytes, original_size);
			accepted += !parse(bytes, original_size);
		}
		memcpy(bytes, original, original_size);
	}
	/* The slice's bytes are free, so this says that the test gets past the checksum. */
	assert_true(accepted >= 3 * PATCH_PAGE);
	free(bytes);
}

/* Each 32-bit field of the tables takes values at which sums and products wrap. */
static void test_extreme_fields(void **state)
{
	static const uint32_t values[] = { 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 0x10000, 0x0ccccccd };
	uint8_t *bytes = memory_copy(original, original_size);

	(void)state;
	for (size_t i = 0; i + 8 <= tables_size; i += 4) {
		for (size_t j = 0; j < sizeof(values) / sizeof(values[0]); j++) {
			store32(bytes + i, values[j]);
			correct_checksum(bytes, original_size);
			(void)parse(bytes, original_size);
			store32(bytes + i + 4, 0xffffffff);
			correct_checksum(bytes, original_size);
			(void)parse(bytes, original_size);
			memcpy(bytes, original, original_size);
		}
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_truncated_with_checksum),
		cmocka_unit_test(test_longer),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_changed_with_checksum),
		cmocka_unit_test(test_extreme_fields),
	};

	return cmocka_run_group_tests(tests, encode_example, free_example);
}
