/*
 * Pairs of programs made to lead the diff astray: each hides a change behind something that looks like the linker's doing, or offers a
 * counterpart that is none. A patch must contain the change, or be refused; never "nothing to do", never a wrong binding.
 */
#include "build_pair.h"

#include "diff/diff.h"

#define KEEP "__attribute__((noipa)) "
#define HEAD                                                                                            \
	"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"                                \
	"int state;\n"                                                                                  \
	KEEP "int filler1(int a) { state += a; return printf(\"one %d\\n\", a * state); }\n"            \
	KEEP "int filler2(int a) { state ^= a * 77; return puts(\"two\") + a; }\n"                      \
	KEEP "int filler3(int a) { return filler1(a) ^ filler2(a + 1); }\n"                             \
	KEEP "int filler4(const char *a) { return (int)strlen(a) + filler3(state); }\n"                 \
	KEEP "int filler5(char *a) { memset(a, state, 3); return filler4(a) * 3; }\n"
#define MAIN(body) "int main(int argc, char **argv) { return filler5(argv[0]) + " body "; }\n"

static const char *const kinds[] = { "-O2 -fPIE -pie", "-O2 -fno-pie -no-pie", "-O2 -fPIC -shared", "-O0 -fPIE -pie" };

#define KINDS (sizeof(kinds) / sizeof(*kinds))

struct outcome {
	enum status status;
	size_t redirected;
	char *text;	/* of the error, "" when there is none */
};

static struct outcome diff_built(const char *source, const char *flags, int strip)
{
	static const struct diff_options none;
	struct build_pair pair = build_pair(source, flags, strip);
	struct error error = { 0 };
	struct outcome outcome = { 0 };
	struct patch patch;

	outcome.status = diff_images(pair.file[0], pair.file[1], &none, &patch, &error);
	for (size_t i = 0; i < patch.functions.count; i++)
		outcome.redirected += patch.functions.item[i].action == ACTION_REDIRECT;
	outcome.text = text_copy(error.text ? error.text : "");
	patch_free(&patch);
	error_clear(&error);
	build_pair_free(&pair);
	return outcome;
}

static struct outcome diff(const char *source, const char *flags)
{
	return diff_built(source, flags, 1);
}

/* The change is in the patch, or refused, on every kind of build. */
static void change_is_seen(const char *source)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(source, kinds[i]);

		if (outcome.status != STATUS_REFUSED && (outcome.status != STATUS_OK || !outcome.redirected))
			print_error("%s: status %d, %zu redirected: %s\n", kinds[i], outcome.status, outcome.redirected, outcome.text);
		assert_true(outcome.status == STATUS_REFUSED || (outcome.status == STATUS_OK && outcome.redirected));
		free(outcome.text);
	}
}

static void is_refused(const char *source, const char *flags, const char *reason)
{
	struct outcome outcome = diff(source, flags);

	if (outcome.status != STATUS_REFUSED || !strstr(outcome.text, reason))
		print_error("%s: status %d: %s\n", flags, outcome.status, outcome.text);
	assert_int_equal(outcome.status, STATUS_REFUSED);
	assert_non_null(strstr(outcome.text, reason));
	free(outcome.text);
}

/* 100 is the text "d", followed by zeros. */
static void test_number_that_reads_like_text(void **unused)
{
	change_is_seen(HEAD "static const int limit[] = { 100, V == 1 ? 0 : 5, 30 };\n"
		       KEEP "int get(int a) { return limit[a] + filler1(a); }\n" MAIN("get(argc)"));
}

/* Numbers that, taken for offsets, lead to equal texts. */
static void test_numbers_that_read_like_offsets(void **unused)
{
	change_is_seen(HEAD "static const int limit[] = { V == 1 ? 8 : 12, 100, 100, 100, 100, 100, 100, 100 };\n"
		       KEEP "int get(int a) { return limit[a] + filler1(a); }\n" MAIN("get(argc)"));
}

/* A load from the middle does not cut the table in two. */
static void test_load_inside_of_a_table(void **unused)
{
	change_is_seen(HEAD "static const int limit[8] = { 1, 20, 300, 4000, 50, V == 1 ? 6 : 66, 7, 8 };\n"
		       KEEP "int all(int n) { int sum = 0; for (int i = 0; i < n; i++) sum = sum * 3 + limit[i & 7]; return sum; }\n"
		       KEEP "int one(void) { return *(volatile const int *)&limit[3]; }\n" MAIN("all(argc) + one()"));
}

static void test_grown_table_with_end(void **unused)
{
	change_is_seen(HEAD "static const int limit[] = { 1, 20, 300, 4000\n#if V == 2\n, 5\n#endif\n};\n"
		       KEEP "int all(void) { int sum = 0; for (const int *i = limit; i < (&limit)[1]; i++) sum = sum * 3 + *i; return sum; }\n"
		       MAIN("all()"));
}

/* The size of an allocation is no line number, though a file name stands next to it. */
static void test_size_beside_a_file_name(void **unused)
{
	change_is_seen(HEAD KEEP "void *take(size_t size, const char *file, int line) { return line > 3 ? malloc(size) : (void *)file; }\n"
		       KEEP "void *fix(void) { return take(V == 1 ? 32 : 64, __FILE__, 77); }\n" MAIN("!fix()"));
}

static void test_port_is_no_line(void **unused)
{
	change_is_seen(HEAD KEEP "int serve(const char *where) { return filler4(where); }\n"
		       KEEP "int fix(void) { return serve(V == 1 ? \"tcp:8080\" : \"tcp:9090\"); }\n" MAIN("fix()"));
}

static void test_swapped_variables(void **unused)
{
	is_refused(HEAD "#if V == 1\nstatic long misses, hits;\n#else\nstatic long hits, misses;\n#endif\n"
		   KEEP "long fix(int a) {\n#if V == 2\n if (a > 10) return -1;\n#endif\n"
		   " if (a & 1) hits++; else misses++; return hits * 1000 + misses; }\n" MAIN("fix(argc)"),
		   "-O2 -fPIE -pie -fno-toplevel-reorder", "place in the running image is not certain");
}

static void test_startup_code_that_passes_other_arguments(void **unused)
{
	is_refused(HEAD "#if V == 1\n" KEEP "int handle(int a) { return filler1(a * 3); }\n#else\n"
		   KEEP "int handle(int a, int *b) { *b += a; return filler1(a * 3) + *b; }\n#endif\n"
		   "int main(int argc, char **argv) { int context = 5; (void)context; for (int i = 0; i < 9; i++)\n"
		   "#if V == 1\n filler5(argv[handle(i) & 1]);\n#else\n filler5(argv[handle(i, &context) & 1]);\n#endif\n return 0; }\n",
		   "-O2 -fno-pie -no-pie", "start-up");
}

static void test_alias_that_was_split(void **unused)
{
	is_refused(HEAD KEEP "int bar(int a) { return filler1(a) + 4; }\n"
		   "#if V == 1\nint foo(int a) __attribute__((alias(\"bar\")));\n#else\n" KEEP "int foo(int a) { return a > 3 ? -1 : filler1(a) + 4; }\n#endif\n"
		   KEEP "int other(int a) { return filler2(a * (V + 8)); }\n",
		   "-O2 -fPIC -shared", "another name");
}

static void test_labels_in_variables(void **unused)
{
	is_refused(HEAD KEEP "int run(const char *code, int a) { static void *labels[] = { &&add, &&sub, &&end };\n"
		   " goto *labels[*code++ & 3]; add: a += filler1(a) * (V + 6); goto *labels[*code++ & 3];\n"
		   " sub: labels[2] = labels[0]; a -= filler2(a); goto *labels[*code++ & 3]; end: return a; }\n" MAIN("run(argv[0], argc)"),
		   "-O0 -fPIE -pie", "middle of a function that changed");
}

static void test_thread_local_initial_value(void **unused)
{
	is_refused(HEAD "static __thread int depth = V + 3, other = 9;\n"
		   KEEP "int use(int a) { depth += a; other ^= depth; return depth + other; }\n"
		   KEEP "int fix(int a) { return filler1(a + V); }\n" MAIN("use(argc) + fix(argc)"),
		   "-O2 -fPIE -pie", "initial value");
}

/* A field moved, and each accessor has another change as well. */
static void test_layout_behind_other_changes(void **unused)
{
	is_refused(HEAD "struct object { int kind;\n#if V == 2\n int inserted;\n#endif\n int size, used; };\n"
		   KEEP "int room(struct object *o) { return o->size > 1000 * V ? 1 : filler1(o->used); }\n"
		   KEEP "int fill(struct object *o) { return o->used > 2000 * V ? 2 : filler2(o->size); }\n"
		   MAIN("room((void *)argv) + fill((void *)argv)"), "-O2 -fPIE -pie", "layout moved");
}

/* Three bytes, and another function right behind them. */
static void test_function_too_small_for_a_jump(void **unused)
{
	is_refused(HEAD KEEP "int tiny(int a) { return V == 1 ? 0 : a; }\n" KEEP "int next(int a) { return filler1(a) + 3; }\n" MAIN("tiny(argc) + next(argc)"),
		   "-Os -fPIE -pie -falign-functions=1", "cannot be redirected");
}

/* A constructor that is called again later is ordinary code. */
static void test_constructor_that_is_called_again(void **unused)
{
	change_is_seen(HEAD "__attribute__((constructor, noipa)) int setup(void) { return filler1(V * 7 + 90); }\n" MAIN("setup()"));
}

/* A variable with two names. Those that only one build has come first in its symbol table, being local. */
#define CALLED(name_1, name_2)                                                                                         \
	HEAD                                                                                                           \
	"#if V == 1\nstatic long own_1 = 5;\nextern long " name_1 " __attribute__((alias(\"own_1\")));\n"              \
	"#define own own_1\n#else\nstatic long own_2 = 5;\nextern long " name_2 " __attribute__((alias(\"own_2\")));\n" \
	"#define own own_2\n#endif\n"                                                                                  \
	KEEP "long get(long a) { return own * a * (V + 8); }\n"                                                        \
	KEEP "int put(long a) { own = a; return filler1(a); }\n"                                                       \
	MAIN("put(argc) + get(argc)")

static void test_names_of_one_variable(void **unused)
{
	static const char common[] = CALLED("common", "common"), other[] = CALLED("one", "other");

	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff_built(common, kinds[i], 0);

		if (outcome.status != STATUS_OK || outcome.redirected != 1)
			print_error("%s: status %d, %zu redirected: %s\n", kinds[i], outcome.status, outcome.redirected, outcome.text);
		assert_true(outcome.status == STATUS_OK && outcome.redirected == 1);
		free(outcome.text);
		outcome = diff_built(other, kinds[i], 0);
		assert_int_equal(outcome.status, STATUS_REFUSED);
		assert_non_null(strstr(outcome.text, "place in the running image is not certain"));
		free(outcome.text);
	}
}

/* Two pointers to texts are what a type of C++ begins with, too: but the first of those leads to a table of functions. */
static void test_texts_that_look_like_a_type(void **unused)
{
	static const char source[] =
		HEAD
		"struct entry { const char *version, *text; int (*run)(int); };\n"
		"static const struct entry entry = { \"1.8.2 of something\", V == 1 ? \"what it was\" : \"what it became\", filler1 };\n"
		KEEP "const struct entry *describe(void) { return &entry; }\n"
		MAIN("describe()->run(argc)");

	is_refused(source, "-O2 -fPIE -pie", "a constant table with pointers");
	is_refused(source, "-O2 -fPIC -shared", "a constant table with pointers");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number_that_reads_like_text),
		cmocka_unit_test(test_numbers_that_read_like_offsets),
		cmocka_unit_test(test_load_inside_of_a_table),
		cmocka_unit_test(test_grown_table_with_end),
		cmocka_unit_test(test_size_beside_a_file_name),
		cmocka_unit_test(test_port_is_no_line),
		cmocka_unit_test(test_swapped_variables),
		cmocka_unit_test(test_startup_code_that_passes_other_arguments),
		cmocka_unit_test(test_alias_that_was_split),
		cmocka_unit_test(test_labels_in_variables),
		cmocka_unit_test(test_thread_local_initial_value),
		cmocka_unit_test(test_layout_behind_other_changes),
		cmocka_unit_test(test_function_too_small_for_a_jump),
		cmocka_unit_test(test_constructor_that_is_called_again),
		cmocka_unit_test(test_names_of_one_variable),
		cmocka_unit_test(test_texts_that_look_like_a_type),
	};

	return cmocka_run_group_tests_name("diff traps", tests, NULL, NULL);
}
