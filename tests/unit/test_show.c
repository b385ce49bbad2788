/*
 * test_show.c: `stent show` prints what is in a patch, as text and as JSON, and says why it can't.
 */
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cmd/cmd.h"
#include "patch/bundle.h"
#include "patch_example.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

#include "files.h"

static char folder[] = "/tmp/stent-test-show-XXXXXX";
static char *file, *output;

static int write_example(void **state)
{
	struct patch patch = example_patch();
	const struct bundle bundle = { .item = &patch, .count = 1 };
	enum status status;

	(void)state;
	alarm(60);
	if (!mkdtemp(folder))
		return -1;
	file = text_format("%s/fix.stent", folder);
	output = text_format("%s/output", folder);
	status = bundle_write(&bundle, file, NULL);
	patch_free(&patch);
	return (int)status;
}

static int remove_example(void **state)
{
	(void)state;
	unlink(file);
	unlink(output);
	free(file);
	free(output);
	return rmdir(folder);
}

/* Run the command with stdout and stderr in `output`; its exit code. */
static int show(const char *first, const char *second)
{
	char *argv[] = { (char *)"stent", (char *)first, (char *)second, NULL };
	int out = dup(STDOUT_FILENO), errors = dup(STDERR_FILENO), code;

	fflush(NULL);
	assert_non_null(freopen(output, "w", stdout));
	assert_int_equal(dup2(STDOUT_FILENO, STDERR_FILENO), STDERR_FILENO);
	optind = 0;	/* glibc: getopt starts afresh */
	code = cmd_show(second ? 3 : first ? 2 : 1, argv);
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(errors, STDERR_FILENO);
	close(out);
	close(errors);
	return code;
}

static void assert_output_holds(const char *const *texts)
{
	char *text = file_read_text(output);

	for (; *texts; texts++)
		if (!strstr(text, *texts))
			fail_msg("no '%s' in: %s", *texts, text);
	free(text);
}

static void test_text(void **state)
{
	static const char *const texts[] = {
		"server-1.0-1.1\n  Reject lengths that are not canonical\n",
		"  runs now     server 1.0, build-id 6f6c64206f6c64206f6c64206f6c64206f6c6420\n",
		"  becomes      server 1.1, build-id 6e6577206e6577206e6577206e657720\n",
		"  will change  1 function (1 code), with 1 that is new\n",
		"  will not     1 function that runs at start-up only: a restart brings it\n",
		"               1 in which only line numbers differ ('stent diff --lines' takes it)\n",
		"12 KiB in 3 segments, 5 references to bind, for x86-64\n",
		"made by      stent 0.1\n",
		"redirect  code          0x401100 80         0x402010 96         check_length: tests the length",
		"add       new           -                   0x402100 32         image+0x2100\n",
		"startup   callees       0x401000 64         -                   main: runs once\n",
		"noise     line          0x401200 64         -                   log_failure\n",
		"note         main runs at start-up only: left alone\n",
		"note         1 function differs in line numbers only\n",
		NULL,
	};

	(void)state;
	assert_int_equal(show(file, NULL), STATUS_OK);
	assert_output_holds(texts);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "(no string)";
}

static void test_json(void **state)
{
	json_t *root, *function;

	(void)state;
	assert_int_equal(show("--json", file), STATUS_OK);
	root = json_load_file(output, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	assert_string_equal(text_of(root, "name"), "server-1.0-1.1");
	assert_string_equal(text_of(root, "machine"), "x86-64");
	assert_string_equal(text_of(root, "old_build_id"), "6f6c64206f6c64206f6c64206f6c64206f6c6420");
	assert_true(json_is_false(json_object_get(root, "fixed_address")));
	assert_int_equal(json_array_size(json_object_get(root, "functions")), 4);
	assert_int_equal(json_array_size(json_object_get(root, "segments")), 3);
	assert_int_equal(json_array_size(json_object_get(root, "notes")), 2);
	assert_int_equal(json_integer_value(json_object_get(root, "bindings")), 5);
	assert_string_equal(text_of(json_array_get(json_object_get(root, "segments"), 2), "flags"), "rw-");

	function = json_array_get(json_object_get(root, "functions"), 1);
	assert_string_equal(text_of(function, "name"), "check_length");
	assert_string_equal(text_of(function, "action"), "redirect");
	assert_string_equal(text_of(function, "change"), "code");
	assert_string_equal(text_of(function, "detail"), "tests the length \xe2\x89\xa4 254");
	assert_string_equal(text_of(function, "old_entry"), "0x401100");
	assert_int_equal(json_array_size(json_object_get(function, "new_ranges")), 2);
	function = json_array_get(json_object_get(root, "functions"), 2);
	assert_true(json_is_null(json_object_get(function, "old_entry")));
	assert_true(json_is_null(json_object_get(function, "detail")));
	json_decref(root);
}

static void test_errors(void **state)
{
	static const char *const not_a_patch[] = { "stent: /proc/self/exe: not a stent patch\n", NULL };
	static const char *const missing[] = { "stent: /nowhere: cannot open: No such file", NULL };
	static const char *const misused[] = { "stent: show takes one patch file\n", "try 'stent show --help'", NULL };
	static const char *const no_old[] = { "stent: --asm needs the old code, which is not in a patch", NULL };
	static const char *const unknown[] = { "--jsn", "try 'stent show --help'", NULL };
	static const char *const help[] = { "Usage: stent show", "--json", "redirect", "displacement", "Exit codes", NULL };

	(void)state;
	assert_int_equal(show("/proc/self/exe", NULL), STATUS_ERROR);
	assert_output_holds(not_a_patch);
	assert_int_equal(show("/nowhere", NULL), STATUS_ERROR);
	assert_output_holds(missing);
	assert_int_equal(show(NULL, NULL), STATUS_ERROR);
	assert_output_holds(misused);
	assert_int_equal(show(file, file), STATUS_ERROR);
	assert_output_holds(misused);
	assert_int_equal(show("--jsn", file), STATUS_ERROR);
	assert_output_holds(unknown);
	assert_int_equal(show("--asm", file), STATUS_ERROR);
	assert_output_holds(no_old);
	assert_int_equal(show("--help", NULL), STATUS_OK);
	assert_output_holds(help);
}

static void test_pid(void **state)
{
	static const char *const bad[] = { "", "0", "-1", "+1", " 1", "1 ", "1x", "x", "2147483648",
					   "99999999999999999999", "0x10" };
	struct error error = { 0 };
	pid_t pid = 0;

	(void)state;
	assert_int_equal(cmd_parse_pid("1", &pid, &error), STATUS_OK);
	assert_int_equal(pid, 1);
	assert_int_equal(cmd_parse_pid("2147483647", &pid, &error), STATUS_OK);
	assert_int_equal(pid, 2147483647);
	assert_null(error.text);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(cmd_parse_pid(bad[i], &pid, &error), STATUS_ERROR);
		assert_non_null(strstr(error.text, "is not a process id"));
		error_clear(&error);
	}
	assert_int_equal(pid, 2147483647);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_pid),
	};

	return cmocka_run_group_tests(tests, write_example, remove_example);
}
