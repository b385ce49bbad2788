/*
 * test_explain.c: why a function is in a patch, with names from wherever there are any, and its old and new code side by side.
 */
#include "build_pair.h"

#include "cmd/listing.h"
#include "diff/diff.h"

static const char source[] =
	"#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n"
	"static int count;\n"
	"__attribute__((noipa)) static void log_it(const char *m) { count++; fprintf(stderr, \"%s: %d\\n\", m, count); }\n"
	"#if V == 1\n#define OK(n) ((n) > 0)\n#else\n#define OK(n) ((n) > 0 && (n) < 4096)\n#endif\n"
	"static inline __attribute__((always_inline)) void check_length(int n) { if (!OK(n)) log_it(\"bad length\"); }\n"
	"__attribute__((noipa)) int parse_header(const char *s) { check_length(*s); return 1; }\n"
	"__attribute__((noipa)) int parse_trailer(const char *s) { check_length(s[1]); return 2; }\n"
	"#if V == 2\n"
	"__attribute__((noipa)) static int canonical(const char *s) { for (; *s; s++) if (*s < 32) return 0; return 1; }\n"
	"#endif\n"
	"__attribute__((noipa)) int parse_body(const char *s) {\n"
	"#if V == 2\n"
	"	if (!canonical(s)) return -1;\n"
	"#else\n"
	"	log_it(s);\n"
	"#endif\n"
	"	return atoi(s); }\n"
	"__attribute__((noipa)) int other(int x) { return x * 7 + 3; }\n"
	"int main(int argc, char **argv) { int t = 0;\n"
	"	for (int i = 1; i < argc; i++) t += parse_header(argv[i]) + parse_body(argv[i]) + parse_trailer(argv[i]) + other(i);\n"
	"	return t; }\n";

static struct patch compare(const struct build_pair *pair)
{
	struct diff_options options = { .name = "fix", .debug_info = true };
	struct error error = { 0 };
	struct patch patch;
	enum status status = diff_images(pair->file[0], pair->file[1], &options, &patch, &error);

	if (status)
		print_error("%s\n", error.text);
	assert_int_equal(status, STATUS_OK);
	return patch;
}

static const struct patch_function *find(const struct patch *patch, const char *name)
{
	for (size_t i = 0; i < patch->functions.count; i++)
		if (strcmp(patch->functions.item[i].name, name) == 0)
			return &patch->functions.item[i];
	print_error("no function %s in the patch\n", name);
	assert_true(false);
	return NULL;
}

static void assert_detail(const struct patch *patch, const char *name, const char *wanted)
{
	const struct patch_function *function = find(patch, name);

	if (!function->detail || !strstr(function->detail, wanted))
		print_error("%s: no %s in: %s\n", name, wanted, function->detail ? function->detail : "(none)");
	assert_true(function->detail && strstr(function->detail, wanted));
}

static bool has_note(const struct patch *patch, const char *wanted)
{
	for (size_t i = 0; i < patch->notes.count; i++)
		if (strstr(patch->notes.item[i], wanted))
			return true;
	return false;
}

static void test_calls(void **state)
{
	struct build_pair pair = build_pair(source, "-O2", 0);
	struct patch patch = compare(&pair);

	assert_detail(&patch, "parse_body", "calls now canonical");
	assert_detail(&patch, "parse_body", "calls no longer log_it");
	assert_detail(&patch, "canonical", "reached from parse_body");
	assert_false(has_note(&patch, "inlined"));	/* no DWARF: nobody knows */
	patch_free(&patch);
	build_pair_free(&pair);
}

static void test_inlined(void **state)
{
	struct build_pair pair = build_pair(source, "-O2 -g", 0);
	struct patch patch = compare(&pair);

	assert_detail(&patch, "parse_header", "inlined from check_length");
	assert_detail(&patch, "parse_trailer", "inlined from check_length");
	assert_null(strstr(find(&patch, "parse_body")->detail, "check_length"));
	patch_free(&patch);
	build_pair_free(&pair);
}

/* The same with the code of inlined functions only: no other instruction may differ. */
static void test_only_inlined(void **state)
{
	static const char constant[] =
		"volatile int seen;\n"
		"static inline __attribute__((always_inline)) void mark(void) { seen = V * 77; }\n"
		"__attribute__((noipa)) int one(int a) { mark(); return a; }\n"
		"__attribute__((noipa)) int two(int a) { mark(); return a + 1; }\n"
		"int main(int argc, char **argv) { return one(argc) + two(argc); }\n";
	struct build_pair pair = build_pair(constant, "-O2 -g", 0);
	struct patch patch = compare(&pair);

	assert_detail(&patch, "one", "only in what is inlined from mark");
	assert_true(has_note(&patch, "mark changed; it is inlined into one, two"));
	patch_free(&patch);
	build_pair_free(&pair);
}

/* As Fedora ships it: a compressed table of names in the stripped file (.gnu_debugdata). */
static void test_small_debug_info(void **state)
{
	struct build_pair pair = build_pair(source, "-O2", 0);
	struct patch patch;
	char *command = text_format(
		"cd %s && for v in v1 v2; do objcopy -S --keep-symbol=log_it --keep-symbol=canonical --keep-symbol=parse_header "
		"--keep-symbol=parse_body --keep-symbol=parse_trailer --keep-symbol=main $v names && xz names && strip $v && "
		"objcopy --add-section .gnu_debugdata=names.xz $v && rm names.xz || exit 1; done", pair.folder);

	build_run(command);
	free(command);
	patch = compare(&pair);
	assert_detail(&patch, "parse_body", "calls now canonical");
	assert_detail(&patch, "parse_body", "calls no longer log_it");
	patch_free(&patch);
	build_pair_free(&pair);
}

static void test_listing(void **state)
{
	struct build_pair pair = build_pair(source, "-O2", 0);
	struct patch patch = compare(&pair);
	struct error error = { 0 };
	struct listing listing;
	struct old_code old;
	size_t both = 0, only_old = 0, only_new = 0, differ = 0;
	bool logs = false, checks = false, converts = false;

	assert_int_equal(old_code_read(pair.file[0], &patch, &old, &error), STATUS_OK);
	listing_make(&patch, find(&patch, "parse_body"), &old, &listing);
	for (size_t i = 0; i < listing.rows.count; i++) {
		const struct listing_row *row = &listing.rows.item[i];

		both += row->mark == ' ';
		differ += row->mark == '|';
		only_old += row->mark == '<';
		only_new += row->mark == '>';
		assert_true(row->old.text || row->new.text);
		assert_int_equal(!row->old.text, row->mark == '>');
		assert_int_equal(!row->new.text, row->mark == '<');
		if (row->mark == ' ')
			assert_true(!row->old.names == !row->new.names);
		logs = logs || (row->mark != ' ' && row->old.names && strcmp(row->old.names, "log_it") == 0);
		checks = checks || (row->mark != ' ' && row->new.names && strcmp(row->new.names, "canonical") == 0);
		converts = converts || (row->mark == ' ' && row->new.names && row->old.names && strcmp(row->new.names, "strtol") == 0 &&
					strcmp(row->old.names, "strtol") == 0);
	}
	assert_true(both && only_new + differ + only_old);
	assert_true(logs && checks && converts);
	listing_free(&listing);
	old_code_free(&old);
	patch_free(&patch);
	build_pair_free(&pair);
}

static void test_wrong_old_file(void **state)
{
	struct build_pair pair = build_pair(source, "-O2", 0);
	struct patch patch = compare(&pair);
	struct error error = { 0 };
	struct old_code old;

	assert_int_equal(old_code_read(pair.file[1], &patch, &old, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "its build-id differs"));
	error_clear(&error);
	old_code_free(&old);
	/* The right build-id, and yet not the image: nothing outside of it is read. */
	*find(&patch, "parse_body")->old_ranges.item = (struct range){ patch.old_span.end - 16, patch.old_span.end + 4096 };
	assert_int_equal(old_code_read(pair.file[0], &patch, &old, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "has no code at"));
	error_clear(&error);
	old_code_free(&old);
	patch_free(&patch);
	build_pair_free(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_inlined),
		cmocka_unit_test(test_only_inlined),
		cmocka_unit_test(test_small_debug_info),
		cmocka_unit_test(test_listing),
		cmocka_unit_test(test_wrong_old_file),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
