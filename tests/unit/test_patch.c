/*
 * test_patch.c: a patch survives its file, files of other kinds are told apart, and other tools can open one.
 * What becomes of damaged files is in test_patch_damage.c, of bad patches in test_patch_verify.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "patch/bundle.h"
#include "patch/format.h"
#include "patch_example.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

#include "files.h"

static char folder[] = "/tmp/stent-test-patch-XXXXXX";
static char *file, *output;

static int make_folder(void **state)
{
	(void)state;
	alarm(60);
	if (!mkdtemp(folder))
		return -1;
	file = text_format("%s/fix.stent", folder);
	output = text_format("%s/output", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(file);
	unlink(output);
	free(file);
	free(output);
	return rmdir(folder);	/* fails when a test left something behind */
}

static void assert_id_equal(const struct build_id *a, const struct build_id *b)
{
	assert_int_equal(a->size, b->size);
	assert_memory_equal(a->bytes, b->bytes, a->size);
}

static void assert_ranges_equal(const struct range *a, size_t count, const struct range *b, size_t other_count)
{
	assert_int_equal(count, other_count);
	if (count)
		assert_memory_equal(a, b, count * sizeof(*a));
}

static void assert_function_equal(const struct patch_function *a, const struct patch_function *b)
{
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->detail ? a->detail : "none", b->detail ? b->detail : "none");
	assert_int_equal(a->change, b->change);
	assert_int_equal(a->action, b->action);
	assert_int_equal(a->old_entry, b->old_entry);
	assert_int_equal(a->new_entry, b->new_entry);
	assert_ranges_equal(a->old_ranges.item, a->old_ranges.count, b->old_ranges.item, b->old_ranges.count);
	assert_ranges_equal(a->new_ranges.item, a->new_ranges.count, b->new_ranges.item, b->new_ranges.count);
	assert_memory_equal(&a->plan, &b->plan, sizeof(a->plan));
	assert_memory_equal(a->old_bytes, b->old_bytes, sizeof(a->old_bytes));
}

static void assert_binding_equal(const struct patch_binding *a, const struct patch_binding *b)
{
	assert_int_equal(a->where, b->where);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->anchor, b->anchor);
	assert_int_equal(a->target, b->target);
	assert_int_equal(a->addend, b->addend);
}

static void assert_content_equal(const struct patch *a, const struct patch *b)
{
	assert_int_equal(a->functions.count, b->functions.count);
	for (size_t i = 0; i < a->functions.count; i++)
		assert_function_equal(&a->functions.item[i], &b->functions.item[i]);
	assert_int_equal(a->segments.count, b->segments.count);
	for (size_t i = 0; i < a->segments.count; i++) {
		assert_int_equal(a->segments.item[i].address, b->segments.item[i].address);
		assert_int_equal(a->segments.item[i].size, b->segments.item[i].size);
		assert_int_equal(a->segments.item[i].flags, b->segments.item[i].flags);
		assert_memory_equal(a->segments.item[i].data, b->segments.item[i].data, a->segments.item[i].size);
	}
	assert_int_equal(a->bindings.count, b->bindings.count);
	for (size_t i = 0; i < a->bindings.count; i++)
		assert_binding_equal(&a->bindings.item[i], &b->bindings.item[i]);
	assert_int_equal(a->imports.count, b->imports.count);
	for (size_t i = 0; i < a->imports.count; i++) {
		assert_string_equal(a->imports.item[i].name, b->imports.item[i].name);
		assert_string_equal(a->imports.item[i].version, b->imports.item[i].version);
		assert_int_equal(a->imports.item[i].weak, b->imports.item[i].weak);
	}
	assert_int_equal(a->notes.count, b->notes.count);
	for (size_t i = 0; i < a->notes.count; i++)
		assert_string_equal(a->notes.item[i], b->notes.item[i]);
}

static void assert_patch_equal(const struct patch *a, const struct patch *b)
{
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->description ? a->description : "", b->description);
	assert_string_equal(a->tool, b->tool);
	assert_string_equal(a->image, b->image);
	assert_string_equal(a->old_version, b->old_version);
	assert_string_equal(a->new_version, b->new_version);
	assert_int_equal(a->machine, b->machine);
	assert_int_equal(a->fixed_address, b->fixed_address);
	assert_id_equal(&a->old_id, &b->old_id);
	assert_id_equal(&a->new_id, &b->new_id);
	assert_ranges_equal(&a->old_span, 1, &b->old_span, 1);
	assert_ranges_equal(&a->new_span, 1, &b->new_span, 1);
	assert_ranges_equal(&a->eh_frame, 1, &b->eh_frame, 1);
	assert_content_equal(a, b);
}

/* Write a patch alone. */
static enum status write_one(const struct patch *patch, const char *path, struct error *error)
{
	struct patch copy = *patch;
	const struct bundle bundle = { .item = &copy, .count = 1 };

	return bundle_write(&bundle, path, error);
}

/* The file holds this patch, and no other. */
static void assert_holds(const struct patch *patch)
{
	struct error error = { 0 };
	struct bundle read;

	if (bundle_read(file, &read, &error))
		fail_msg("%s", error.text);
	assert_null(error.text);
	assert_int_equal(read.count, 1);
	assert_patch_equal(patch, &read.item[0]);
	bundle_free(&read);
}

static void assert_survives(const struct patch *patch)
{
	struct error error = { 0 };

	if (write_one(patch, file, &error))
		fail_msg("%s", error.text);
	assert_holds(patch);
}

static void test_round_trip(void **state)
{
	struct patch patch = example_patch();

	(void)state;
	assert_survives(&patch);
	patch.fixed_address = true;
	patch.bindings.item[0].type = BINDING_ABSOLUTE32;
	patch.bindings.item[1].type = BINDING_ABSOLUTE32S;
	free(patch.description);
	patch.description = NULL;
	*patch.old_version = 0;
	patch.new_id.size = BUILD_ID_MAX;
	assert_survives(&patch);
	patch_free(&patch);
}

/* Where the unwind tables touch an edge of their segment, there is no section before or behind them. */
static void test_eh_frame_at_edges(void **state)
{
	static const struct range tables[] = {
		{ 0, 0 }, { 0x404000, 0x404010 }, { 0x404ff0, 0x405000 }, { 0x404000, 0x405000 },
	};
	struct patch patch = example_patch();

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		patch.eh_frame = tables[i];
		assert_survives(&patch);
	}
	patch_free(&patch);
}

static void test_smallest(void **state)
{
	struct patch full = example_patch(), patch = full;

	(void)state;
	memset(&patch.eh_frame, 0, sizeof(patch.eh_frame));
	patch.functions.count = patch.segments.count = patch.bindings.count = patch.imports.count = patch.notes.count = 0;
	assert_survives(&patch);
	patch_free(&full);
}

/* bundle_read() says "no" to this file, with this text in the reason and the file's name before it. */
static void assert_unreadable(const char *path, const char *reason)
{
	struct error error = { 0 };
	struct bundle bundle;

	assert_int_equal(bundle_read(path, &bundle, &error), STATUS_ERROR);
	assert_non_null(error.text);
	assert_ptr_equal(strstr(error.text, path), error.text);
	if (!strstr(error.text, reason))
		fail_msg("'%s' is not in '%s'", reason, error.text);
	error_clear(&error);
	bundle_free(&bundle);
}

static void test_other_files(void **state)
{
	struct patch patch = example_patch();
	uint8_t *bytes;
	size_t size;

	(void)state;
	assert_unreadable("/nowhere/fix.stent", "No such file");
	assert_unreadable(folder, "not a regular file");
	assert_unreadable("/dev/zero", "not a regular file");
	unlink(file);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_unreadable(file, "not a regular file");
	unlink(file);
	file_write_text(file, "");
	assert_unreadable(file, "too short");
	assert_unreadable("/proc/self/exe", "not a stent patch");
	bytes = patch_encode(&patch, &size);
	bytes[sizeof(Elf64_Ehdr) + offsetof(struct format_info, version)] = 7;
	file_write(file, bytes, size);
	assert_unreadable(file, "format version 7, this stent reads version 1");
	free(bytes);
	patch_free(&patch);
}

/* A patch that cannot be written leaves the file that is there, and nothing beside it (remove_folder() looks). */
static void test_write_failures(void **state)
{
	struct patch patch = example_patch();
	struct error error = { 0 };

	(void)state;
	assert_survives(&patch);
	patch.segments.item[0].address++;
	assert_int_equal(write_one(&patch, file, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "not page aligned"));
	error_clear(&error);
	patch.segments.item[0].address--;
	assert_holds(&patch);

	assert_int_equal(write_one(&patch, "/nowhere/fix.stent", &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "/nowhere/fix.stent: cannot write"));
	error_clear(&error);
	assert_int_equal(write_one(&patch, folder, &error), STATUS_ERROR);
	error_clear(&error);
	patch_free(&patch);
}

/* Run a tool over the file: it must succeed, complain of nothing, and print each of the texts. */
static void assert_tool_prints(const char *tool, const char *const *texts)
{
	char *command = text_format("LC_ALL=C %s %s >%s 2>&1", tool, file, output);
	char *text;

	assert_int_equal(system(command), 0);
	text = file_read_text(output);
	for (; *texts; texts++)
		if (!strstr(text, *texts))
			fail_msg("no '%s' in the output of %s: %s", *texts, tool, text);
	if (strstr(text, "Warning") || strstr(text, "Error") || strstr(text, "warning") || strstr(text, "error"))
		fail_msg("%s complains: %s", tool, text);
	free(text);
	free(command);
}

static void test_other_tools(void **state)
{
	static const char *const readelf[] = {
		"DYN (Shared object file)", "X86-64", ".slice.0", ".slice.1.end", ".eh_frame", ".slice.2", ".stent.info",
		".stent.functions", ".stent.ranges", ".stent.bindings", ".stent.imports", ".stent.notes", ".stent.strings",
		"FUNC    LOCAL  DEFAULT    1 check_length", "FUNC    LOCAL  DEFAULT    1 check_length.cold", NULL,
	};
	static const char *const objdump[] = {
		"Disassembly of section .slice.0", "0000000000402010 <check_length>:", "<check_length.cold>:",
		"<image+0x2100>:", "nop", "int3", NULL,
	};
	struct patch patch = example_patch();

	(void)state;
	assert_survives(&patch);
	assert_tool_prints("readelf -aW", readelf);
	assert_tool_prints("objdump -d", objdump);
	patch_free(&patch);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(change_name(CHANGE_CODE), "code");
	assert_string_equal(change_name(CHANGE_NEW), "new");
	assert_string_equal(change_name(CHANGE_COUNT), "?");
	assert_string_equal(change_name((enum change)-1), "?");
	assert_string_equal(action_name(ACTION_NOISE), "noise");
	assert_string_equal(action_name(ACTION_COUNT), "?");
	for (unsigned int i = 0; i < CHANGE_COUNT; i++)
		assert_string_not_equal(change_name(i), "?");
	for (unsigned int i = 0; i < ACTION_COUNT; i++)
		assert_string_not_equal(action_name(i), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_eh_frame_at_edges),
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_write_failures),
		cmocka_unit_test(test_other_tools),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
