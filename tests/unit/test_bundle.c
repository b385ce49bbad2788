/*
 * test_bundle.c: several patches survive their one file, other tools can take it apart, and whatever is not its one encoding is refused.
 */
#include <ar.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patch/bundle.h"
#include "patch/format.h"
#include "patch_example.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

/* Three patches, two of them for images of one name. */
static struct bundle example_bundle(void)
{
	struct bundle bundle = { 0 };

	for (int i = 0; i < 3; i++) {
		struct patch patch = example_patch();

		free(patch.image);
		patch.image = text_copy(i == 1 ? "liba.so.1" : "server");
		patch.old_id.bytes[0] = (uint8_t)('9' - i);
		*array_add(&bundle) = patch;
	}
	bundle_sort(&bundle);
	return bundle;
}

static enum status parse(const uint8_t *bytes, size_t size, char **reason)
{
	uint8_t *copy = memory_copy(bytes, size);	/* of this size: the sanitizers see a read behind its end */
	struct bundle bundle;
	struct error error = { 0 };
	enum status status = bundle_parse(copy, size, &bundle, &error);

	if (reason)
		*reason = text_copy(error.text ? error.text : "");
	error_clear(&error);
	bundle_free(&bundle);
	free(copy);
	return status;
}

static void assert_refused(const uint8_t *bytes, size_t size, const char *reason)
{
	char *said;

	assert_int_equal(parse(bytes, size, &said), STATUS_ERROR);
	if (!strstr(said, reason))
		fail_msg("'%s' is not in '%s'", reason, said);
	free(said);
}

static void test_round_trip(void **state)
{
	struct bundle bundle = example_bundle(), read;
	struct error error = { 0 };
	size_t size, again_size;
	uint8_t *bytes, *again;

	(void)state;
	assert_int_equal(bundle_verify(&bundle, &error), STATUS_OK);
	bytes = bundle_encode(&bundle, &size);
	if (bundle_parse(bytes, size, &read, &error))
		fail_msg("%s", error.text);
	assert_int_equal(read.count, 3);
	assert_string_equal(read.item[0].image, "liba.so.1");
	assert_int_equal(read.item[1].old_id.bytes[0], '7');
	assert_int_equal(read.item[2].old_id.bytes[0], '9');
	again = bundle_encode(&read, &again_size);
	assert_int_equal(again_size, size);
	assert_memory_equal(again, bytes, size);
	free(again);
	free(bytes);
	bundle_free(&read);
	bundle_free(&bundle);
}

/* Alone, a patch is no archive. */
static void test_one(void **state)
{
	struct bundle bundle = example_bundle(), one = { .item = bundle.item, .count = 1 };
	size_t size, alone_size;
	uint8_t *bytes = bundle_encode(&one, &size), *alone = patch_encode(&bundle.item[0], &alone_size);
	uint8_t *two = bundle_encode(&bundle, &size);

	(void)state;
	assert_memory_equal(bytes, alone, alone_size);
	assert_int_equal(parse(alone, alone_size, NULL), STATUS_OK);
	assert_refused(two, SARMAG + sizeof(struct ar_hdr) + alone_size, "an archive of 1 patches");
	assert_refused(two, SARMAG, "an archive of 0 patches");
	free(bytes);
	free(alone);
	free(two);
	bundle_free(&bundle);
}

/* Every byte outside of the patches: theirs are test_patch_damage.c's. */
static void test_damage(void **state)
{
	struct bundle bundle = example_bundle();
	size_t size, member = 0;
	uint8_t *bytes = bundle_encode(&bundle, &size), *part;

	(void)state;
	for (size_t i = 0; i < bundle.count; i++) {
		part = patch_encode(&bundle.item[i], &member);
		free(part);
		for (size_t j = 0; j < sizeof(struct ar_hdr); j++) {
			size_t at = SARMAG + i * (sizeof(struct ar_hdr) + member) + j;

			bytes[at] ^= 1;
			assert_refused(bytes, size, "damaged");
			bytes[at] ^= 1;
		}
		part = bytes + SARMAG + i * (sizeof(struct ar_hdr) + member) + sizeof(struct ar_hdr);
		part[0x120] ^= 1;
		assert_refused(bytes, size, "checksum");
		part[0x120] ^= 1;
	}
	for (size_t cut = SARMAG; cut < size; cut += 61)
		assert_int_equal(parse(bytes, cut, NULL), STATUS_ERROR);
	assert_int_equal(parse(bytes, size, NULL), STATUS_OK);
	free(bytes);
	bundle_free(&bundle);
}

static void test_bytes_behind(void **state)
{
	struct bundle bundle = example_bundle();
	size_t size;
	uint8_t *bytes = bundle_encode(&bundle, &size);

	(void)state;
	bytes = memory_resize(bytes, size + 4096, 1);
	memset(bytes + size, 0, 4096);
	assert_refused(bytes, size + 1, "damaged");
	assert_refused(bytes, size + 4096, "damaged");
	free(bytes);
	bundle_free(&bundle);
}

/* What can't be together in one file; each patch alone is good. */
static void assert_unfit(struct bundle *bundle, const char *reason)
{
	struct error error = { 0 };
	size_t size;
	uint8_t *bytes = bundle_encode(bundle, &size);

	assert_int_equal(bundle_verify(bundle, &error), STATUS_ERROR);
	if (!strstr(error.text, reason))
		fail_msg("'%s' is not in '%s'", reason, error.text);
	error_clear(&error);
	assert_refused(bytes, size, reason);
	free(bytes);
	bundle_free(bundle);
}

static void test_unfit(void **state)
{
	struct bundle bundle = example_bundle();
	struct patch first = bundle.item[0];

	(void)state;
	bundle.item[0] = bundle.item[1];
	bundle.item[1] = first;
	assert_unfit(&bundle, "does not stand in its place");
	bundle = example_bundle();
	bundle.item[2].name[0]++;
	assert_unfit(&bundle, "another name, description or tool");
	bundle = example_bundle();
	bundle.item[1].description[0]++;
	assert_unfit(&bundle, "another name, description or tool");
	bundle = example_bundle();
	bundle.item[1].tool[0]++;
	assert_unfit(&bundle, "another name, description or tool");
	bundle = example_bundle();
	bundle.item[0].old_id = bundle.item[2].old_id;
	assert_unfit(&bundle, "two patches are for the same build");
	bundle = example_bundle();
	bundle.item[1].old_id = bundle.item[2].old_id;
	assert_unfit(&bundle, "does not stand in its place");
}

/* binutils see every member. */
static void test_tools(void **state)
{
	static const char *const commands[] = { "ar t %s | grep -c '^[123].stent$' | grep -qx 3", "objdump -d %s | grep -q check_length",
						"readelf -S %s 2>&1 | grep -q stent.functions" };
	char path[] = "/tmp/stent-test-bundle-XXXXXX", command[200];
	struct bundle bundle = example_bundle();
	int file = mkstemp(path);

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(bundle_write(&bundle, path, NULL), STATUS_OK);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const char *at = strstr(commands[i], "%s");

		snprintf(command, sizeof(command), "%.*s%s%s", (int)(at - commands[i]), commands[i], path, at + 2);
		if (system(command))
			fail_msg("failed: %s", command);
	}
	close(file);
	unlink(path);
	bundle_free(&bundle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_bytes_behind),
		cmocka_unit_test(test_unfit),
		cmocka_unit_test(test_tools),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
