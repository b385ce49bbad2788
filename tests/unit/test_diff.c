/*
 * Two builds of small programs in, patches (or refusals) out. Each case runs on several kinds of build; the
 * binaries are stripped, so functions have no names: they are told apart by their place or by exported names.
 */
#include "build_pair.h"

#include "diff/diff.h"
#include "patch/bundle.h"

static const char *const kinds[] = {
	"-O2 -fPIE -pie",
	"-O2 -fno-pie -no-pie",
	"-O2 -fPIC -shared",
	"-O2 -fPIE -pie -fcf-protection -falign-functions=32",
	"-Os -fPIE -pie -ffunction-sections",
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))
#define KEEP "__attribute__((noipa)) "

struct outcome {
	enum status status;
	struct patch patch;
	struct error error;
	struct build_pair pair;
};

static struct outcome diff(const char *source, const char *flags, const struct diff_options *options)
{
	static const struct diff_options none;
	struct outcome outcome = { .pair = build_pair(source, flags, 1) };

	outcome.status = diff_images(outcome.pair.file[0], outcome.pair.file[1], options ? options : &none, &outcome.patch, &outcome.error);
	return outcome;
}

static void outcome_free(struct outcome *outcome)
{
	patch_free(&outcome->patch);
	error_clear(&outcome->error);
	build_pair_free(&outcome->pair);
}

static size_t count(const struct outcome *outcome, enum action action)
{
	size_t found = 0;

	for (size_t i = 0; i < outcome->patch.functions.count; i++)
		found += outcome->patch.functions.item[i].action == action;
	return found;
}

static const struct patch_function *first(const struct outcome *outcome, enum action action)
{
	for (size_t i = 0; i < outcome->patch.functions.count; i++)
		if (outcome->patch.functions.item[i].action == action)
			return &outcome->patch.functions.item[i];
	print_error("no function with action %s\n", action_name(action));
	assert_true(false);
	return NULL;
}

static void explain_failure(const struct outcome *outcome, const char *flags)
{
	print_message("%s: status %d%s%s\n", flags, outcome->status, outcome->error.text ? ": " : "", outcome->error.text ? outcome->error.text : "");
	for (size_t i = 0; i < outcome->patch.functions.count; i++)
		print_message("  %s %s %s: %s\n", outcome->patch.functions.item[i].name, change_name(outcome->patch.functions.item[i].change),
			      action_name(outcome->patch.functions.item[i].action), outcome->patch.functions.item[i].detail);
}

#define check(outcome, flags, condition)                        \
	do {                                                    \
		if (!(condition)) {                             \
			explain_failure(&(outcome), (flags));   \
			print_error("not so: %s\n", #condition); \
			assert_true(condition);                 \
		}                                               \
	} while (0)

/* The patch survives its file, whose reader checks every bound. */
static void check_file(struct outcome *outcome)
{
	const struct bundle bundle = { .item = &outcome->patch, .count = 1 };
	char *path = text_format("%s/patch.stent", outcome->pair.folder);
	struct error error = { 0 };
	struct bundle again;

	assert_int_equal(bundle_write(&bundle, path, &error), STATUS_OK);
	assert_int_equal(bundle_read(path, &again, &error), STATUS_OK);
	assert_int_equal(again.item[0].bindings.count, outcome->patch.bindings.count);
	bundle_free(&again);
	free(path);
}

#define FILLER                                                                                             \
	"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <assert.h>\n"              \
	"int state, table[10];\n"                                                                          \
	KEEP "int filler1(int a) { state += a; return printf(\"one %d\\n\", a * state); }\n"               \
	KEEP "int filler2(int a) { table[a & 7] = state; return puts(\"two\") + a; }\n"                    \
	KEEP "int filler3(int a) { return filler1(a) ^ filler2(a + 1); }\n"                                \
	KEEP "int filler4(const char *a) { return (int)strlen(a) + filler3(state); }\n"                    \
	KEEP "int filler5(char *a) { memset(a, state, 3); return filler4(a) * 3; }\n"

static const char changed[] =
	FILLER
	KEEP "int fix(int a) {\n"
	"#if V == 2\n if (a < 0 || a > 9) { puts(\"refused\"); return -1; }\n#endif\n"
	" return table[a]; }\n"
	KEEP "int user(int a) { return fix(a) + filler3(a); }\n"
	"int main(int argc, char **argv) { return user(argc) + filler5(argv[0]); }\n";

static void test_changed_function(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(changed, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_OK);
		/* gcc may split the function (fix.part.0): a new one then. */
		check(outcome, kinds[i], count(&outcome, ACTION_REDIRECT) == 1);
		check(outcome, kinds[i], outcome.patch.functions.count == 1 + count(&outcome, ACTION_ADD));
		check(outcome, kinds[i], first(&outcome, ACTION_REDIRECT)->change == CHANGE_CODE);
		/* table[] in the process, puts() by the old image's stub, the text its own. */
		check(outcome, kinds[i], outcome.patch.bindings.count >= 2);
		check_file(&outcome);
		outcome_free(&outcome);
	}
}

static const char constant[] =
	FILLER
	KEEP "int limit(int a) { return a > 1000 * V ? -1 : filler1(a); }\n"
	KEEP "int text(int a) { return printf(V == 1 ? \"old %d\\n\" : \"new %d\\n\", a); }\n"
	"int main(int argc, char **argv) { return limit(argc) + text(argc) + filler5(argv[0]); }\n";

static void test_constant_and_string(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(constant, kinds[i], NULL);
		bool found[CHANGE_COUNT] = { false };

		check(outcome, kinds[i], outcome.status == STATUS_OK);
		check(outcome, kinds[i], count(&outcome, ACTION_REDIRECT) == 2 && outcome.patch.functions.count == 2);
		for (size_t k = 0; k < 2; k++)
			found[outcome.patch.functions.item[k].change] = true;
		check(outcome, kinds[i], found[CHANGE_CONSTANT] && found[CHANGE_STRING]);
		check_file(&outcome);
		outcome_free(&outcome);
	}
}

static const char lines[] =
	FILLER
	"#if V == 2\n#line 100\n#endif\n"
	KEEP "int checked(int a) { assert(a != 77); return filler1(a); }\n"
	"int main(int argc, char **argv) { return checked(argc) + filler5(argv[0]); }\n";

static void test_line_numbers_are_noise(void **unused)
{
	struct diff_options keep = { .keep_lines = true };

	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(lines, kinds[i], NULL), kept = diff(lines, kinds[i], &keep);

		check(outcome, kinds[i], outcome.status == STATUS_NOTHING);
		check(outcome, kinds[i], count(&outcome, ACTION_NOISE) == 1 && first(&outcome, ACTION_NOISE)->change == CHANGE_LINE);
		check(kept, kinds[i], kept.status == STATUS_OK && count(&kept, ACTION_REDIRECT) == 1);
		outcome_free(&outcome);
		outcome_free(&kept);
	}
}

/* A number that is no line, although a file name is in the program: a fix must not be taken for noise. */
static const char no_line[] =
	FILLER
	KEEP "int checked(int a) { assert(a != 77); return filler1(a); }\n"
	KEEP "int version(int a) { return filler1(a > 100 + V); }\n"
	"int main(int argc, char **argv) { return checked(argc) + version(argc) + filler5(argv[0]); }\n";

static void test_numbers_are_no_lines(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(no_line, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_OK && first(&outcome, ACTION_REDIRECT)->change == CHANGE_CONSTANT);
		outcome_free(&outcome);
	}
}

/* Same source, other build-id; and the same with the functions in another order. */
static const char same[] =
	FILLER
	"#if V == 1\n" KEEP "int a(int x) { return filler1(x + 40); }\n" KEEP "int b(int x) { return filler2(x + 50); }\n"
	"#else\n" KEEP "int b(int x) { return filler2(x + 50); }\n" KEEP "int a(int x) { return filler1(x + 40); }\n#endif\n"
	"int main(int argc, char **argv) { return a(argc) + b(argc) + filler5(argv[0]); }\n";

static void test_same_source(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		char *flags = text_format("%s -fno-toplevel-reorder", kinds[i]);
		struct outcome outcome = diff(same, flags, NULL);

		check(outcome, flags, outcome.status == STATUS_NOTHING && outcome.patch.functions.count == 0);
		outcome_free(&outcome);
		free(flags);
	}
}

static void test_identical_file(void **unused)
{
	struct build_pair pair = build_pair(changed, kinds[0], 1);
	struct diff_options none = { 0 };
	struct error error = { 0 };
	struct patch patch;

	assert_int_equal(diff_images(pair.file[0], pair.file[0], &none, &patch, &error), STATUS_NOTHING);
	assert_non_null(strstr(error.text, "same build-id"));
	patch_free(&patch);
	error_clear(&error);
	build_pair_free(&pair);
}

static const char unrelated[] =
	"#include <stdio.h>\n#include <stdlib.h>\n"
	"#if V == 1\n"
	KEEP "int a(int x) { return x * 3 + 1; }\n" KEEP "int b(int x) { return puts(\"b\") + a(x); }\n" KEEP "int c(int x) { return b(x) / 7; }\n"
	KEEP "int d(int x) { return c(x) | 5; }\n" KEEP "int e(int x) { return d(x) % 11; }\n" KEEP "int f(int x) { return e(x) << 3; }\n"
	KEEP "int g(int x) { return f(x) - 99; }\n" KEEP "int h(int x) { return g(x) & 63; }\n"
	"#else\n"
	KEEP "double h(double x) { return x * 3.5; }\n" KEEP "void *b(long x) { return malloc(x); }\n"
	KEEP "void c(char *x) { x[3] = 'x'; free(x); }\n" KEEP "long d(long *x) { return x[0] * x[1] + x[2]; }\n"
	KEEP "short e(char x) { return x ? 4 : -x; }\n" KEEP "float f(float *x) { return x[5] / x[6]; }\n"
	KEEP "char *g(char **x) { return x[getenv(\"X\") != 0]; }\n" KEEP "char a(void) { return getchar(); }\n"
	"#endif\n"
	"int main(int argc, char **argv) { return (int)h(argc); }\n";

static void test_unrelated(void **unused)
{
	struct outcome outcome = diff(unrelated, "-O2 -fPIC -shared", NULL);

	check(outcome, "", outcome.status == STATUS_REFUSED && strstr(outcome.error.text, "too different"));
	outcome_free(&outcome);
}

static const char layout[] =
	FILLER
	"struct object { int kind;\n#if V == 2\n long inserted;\n#endif\n int size, used; void *next; };\n"
	KEEP "int room(struct object *o) { return o->size - o->used; }\n"
	KEEP "void *follow(struct object *o) { return o->next; }\n"
	KEEP "void grow(struct object *o, int by) { o->size += by; filler1(by); }\n"
	"int main(int argc, char **argv) { grow((void *)argv, argc); return room((void *)argv) + !follow((void *)argv) + filler5(argv[0]); }\n";

static void test_layout_is_refused(void **unused)
{
	struct diff_options allow = { .allow_layout = true };

	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(layout, kinds[i], NULL), allowed = diff(layout, kinds[i], &allow);

		check(outcome, kinds[i], outcome.status == STATUS_REFUSED && strstr(outcome.error.text, "layout moved"));
		/* Tiny getters may still be refused for want of room: but no longer for the layout. */
		check(allowed, kinds[i], !allowed.error.text || !strstr(allowed.error.text, "layout moved"));
		outcome_free(&outcome);
		outcome_free(&allowed);
	}
}

static const char grown[] =
	FILLER
	"static int before[4] = { 1 }, array[8 + V * 8] = { 5 }, behind[4] = { 9 };\n"
	KEEP "int get(int a) { return array[a] + before[a & 3] + behind[a & 3]; }\n"
	KEEP "int put(int a) { before[a & 3] = a; behind[a & 3] = a; array[a] = a; return filler1(a); }\n"
	"int main(int argc, char **argv) { put(argc); return get(argc) + filler5(argv[0]); }\n";

static void test_grown_variable_is_refused(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(grown, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_REFUSED && strstr(outcome.error.text, "layout of .data"));
		outcome_free(&outcome);
	}
}

static const char initial[] =
	FILLER
	"int setting = V == 1 ? 10 : 20;\n"
	KEEP "int get(int a) { return setting + a * (V + 8); }\n"
	"int main(int argc, char **argv) { setting += argc; return get(argc) + filler5(argv[0]); }\n";

static void test_initial_value(void **unused)
{
	const char *name = "setting";
	struct diff_options allow = { .allow_data = &name, .allow_data_count = 1 };
	struct outcome outcome = diff(initial, "-O2 -fPIC -shared -fvisibility=default", NULL);
	struct outcome allowed = diff(initial, "-O2 -fPIC -shared -fvisibility=default", &allow);

	check(outcome, "shared", outcome.status == STATUS_REFUSED && strstr(outcome.error.text, "the variable setting"));
	check(allowed, "shared", allowed.status == STATUS_OK && allowed.patch.notes.count == 1);
	outcome_free(&outcome);
	outcome_free(&allowed);
}

static const char startup[] =
	FILLER
	"__attribute__((constructor)) static void begin(void) { state = V; filler1(V + 6); }\n"
	"int main(int argc, char **argv) { return filler5(argv[0]) + argc * V * 3; }\n";

static void test_startup_is_reported(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(startup, kinds[i], NULL);

		if (strstr(kinds[i], "-shared")) {
			outcome_free(&outcome);
			continue;
		}
		check(outcome, kinds[i], outcome.status == STATUS_NOTHING && count(&outcome, ACTION_STARTUP) == 2);
		check(outcome, kinds[i], strstr(outcome.error.text, "start-up"));
		outcome_free(&outcome);
	}
}

/* A function that keeps its body under another name, behind a new wrapper: callers must get the wrapper. */
static const char wrapper[] =
	FILLER
	"#if V == 1\n"
	KEEP "int work(int a) { for (int i = 0; i < a; i++) state = state * 31 + i; return state; }\n"
	"#else\n"
	KEEP "static int work_inner(int a) { for (int i = 0; i < a; i++) state = state * 31 + i; return state; }\n"
	KEEP "int work(int a) { if (a > 100) return filler2(a); return work_inner(a) + 1; }\n"
	"#endif\n"
	KEEP "int caller1(int a) { return work(a) + filler1(a); }\n"
	KEEP "int caller2(int a) { return work(a + 9) - filler2(a); }\n"
	"int main(int argc, char **argv) { return caller1(argc) + caller2(argc) + filler5(argv[0]); }\n";

static void test_wrapper_is_not_bypassed(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(wrapper, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_OK);
		check(outcome, kinds[i], count(&outcome, ACTION_REDIRECT) == 1 && count(&outcome, ACTION_ADD) == 1);
		check_file(&outcome);
		outcome_free(&outcome);
	}
}

static const char cold[] =
	FILLER
	"__attribute__((cold, noreturn, noinline)) void die(int a) { printf(\"die %d\\n\", a); exit(a); }\n"
	KEEP "int fix(int a, char *b) { int r = filler1(a);\n"
	" if (__builtin_expect(r < -V, 0)) { filler2(r); puts(\"bad\"); b[0] = 1; r = filler3(r) + b[1]; if (r == 3) die(r); }\n"
	" return r + filler4(b) * V; }\n"
	"int main(int argc, char **argv) { return fix(argc, argv[0]) + filler5(argv[0]); }\n";

static void test_cold_part_belongs_to_its_function(void **unused)
{
	char *flags = text_format("%s -freorder-blocks-and-partition", kinds[0]);
	struct outcome outcome = diff(cold, flags, NULL);

	check(outcome, flags, outcome.status == STATUS_OK && count(&outcome, ACTION_REDIRECT) == 1);
	check(outcome, flags, first(&outcome, ACTION_REDIRECT)->old_ranges.count == 2);
	check(outcome, flags, first(&outcome, ACTION_REDIRECT)->new_ranges.count == 2);
	outcome_free(&outcome);
	free(flags);
}

static const char switches[] =
	FILLER
	KEEP "int choose(int a) { switch (a) {\n"
	" case 0: return filler1(3); case 1: return filler2(4); case 2: return puts(\"x\"); case 3: return filler3(state);\n"
	" case 4: return filler1(9) * 2; case 5: state = 4; return 17; case 6: return filler2(0);\n"
	"#if V == 2\n case 7: return puts(\"seven\"); case 8: return filler1(8);\n#endif\n"
	" } return -1; }\n"
	KEEP "int other(int a) { switch (a) {\n"
	" case 0: return filler1(13); case 1: return filler2(14); case 2: return puts(\"y\"); case 3: return filler3(state);\n"
	" case 4: return filler1(19) * 2; case 5: state = 14; return 117; case 6: return filler2(10); } return -2; }\n"
	"int main(int argc, char **argv) { return choose(argc) + other(argc) + filler5(argv[0]); }\n";

/* The table of other() holds other numbers in the new build, because everything moved: it is still the same. */
static void test_switch_table(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(switches, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_OK && outcome.patch.functions.count == 1);
		check_file(&outcome);
		outcome_free(&outcome);
	}
}

static const char pointers[] =
	FILLER
	KEEP "static int handler1(int a) { return filler1(a) + 1; }\n"
	KEEP "static int handler2(int a) { if (V == 2 && a > 5) return filler2(a); return filler1(a) + 2; }\n"
	"int (*volatile handlers[])(int) = { handler1, handler2, filler3 };\n"
	KEEP "int call(int a) { return handlers[a & 1](a); }\n"
	"int main(int argc, char **argv) { return call(argc) + filler5(argv[0]); }\n";

static void test_function_behind_pointer(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(pointers, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_OK && outcome.patch.functions.count == 1);
		check(outcome, kinds[i], count(&outcome, ACTION_REDIRECT) == 1);
		outcome_free(&outcome);
	}
}

static const char import[] =
	FILLER
	KEEP "int fix(char *a) {\n#if V == 2\n if (!strchr(a, a[1])) return atoi(a);\n#endif\n return filler4(a) + 2 * filler5(a); }\n"
	"int main(int argc, char **argv) { return fix(argv[0]) + filler5(argv[0]); }\n";

/* Is a slot of the slice's, inside one of its segments, bound to that import? */
static bool is_imported(const struct patch *patch, const char *name)
{
	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];

		if (binding->anchor == ANCHOR_IMPORT && strcmp(patch->imports.item[binding->target].name, name) == 0)
			return *patch->imports.item[binding->target].version != '\0';
	}
	return false;
}

static void test_new_import(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(import, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_OK && outcome.patch.imports.count >= 1);
		check(outcome, kinds[i], is_imported(&outcome.patch, "strtol") || is_imported(&outcome.patch, "atoi"));
		outcome_free(&outcome);
	}
}

static const char thread_local_import[] =
	FILLER
	"extern __thread int theirs;\n"
	KEEP "int fix(int a) {\n#if V == 2\n if (a > 5) return theirs;\n#endif\n return filler4(\"a\") + a; }\n"
	"int use(int a) { return fix(a) + filler5(\"b\"); }\n";

/* Which offset it has only the dynamic linker knows. */
static void test_new_thread_local_import_is_refused(void **unused)
{
	struct outcome outcome = diff(thread_local_import, "-O2 -fPIC -shared -ftls-model=initial-exec", NULL);

	check(outcome, "", outcome.status == STATUS_REFUSED && strstr(outcome.error.text, "needs the symbol theirs"));
	outcome_free(&outcome);
}

static const char thread_local_storage[] =
	FILLER
	"static __thread int slot[4 * V];\n"
	KEEP "int fix(int a) { slot[a] += a * V; return slot[a & 1] + filler1(a); }\n"
	"int main(int argc, char **argv) { return fix(argc) + filler5(argv[0]); }\n";

static void test_thread_local_growth_is_refused(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(thread_local_storage, kinds[i], NULL);

		check(outcome, kinds[i], outcome.status == STATUS_REFUSED && strstr(outcome.error.text, "thread-local"));
		outcome_free(&outcome);
	}
}

/* Which function a name means depends on its version. */
static void test_versions_of_one_name(void **unused)
{
	static const char source[] =
		"int state;\n"
		"__attribute__((noipa)) int scale_old(int a) { return a * 3 + state; }\n"
		"__attribute__((noipa)) int scale_new(int a) { return a * 5 + state; }\n"
		"__asm__(\".symver scale_old, scale@V1\");\n"
		"__asm__(\".symver scale_new, scale@@V2\");\n"
		"__attribute__((noipa)) int filler(int a) { state ^= a * 77; return a; }\n"
		"int total(int a) { return scale_old(a) + scale_new(a) + filler(a) * (V == 1 ? 2 : 4); }\n";
	static const char flags[] = "-O2 -shared -fPIC $(printf 'V1 { global: scale; }; V2 { global: scale; total; state; local: *; };' >map; "
				    "echo -Wl,--version-script=map)";
	struct outcome outcome = diff(source, flags, NULL);

	check(outcome, flags, outcome.status == STATUS_OK && count(&outcome, ACTION_REDIRECT) == 1);
	assert_string_equal(first(&outcome, ACTION_REDIRECT)->name, "total");
	outcome_free(&outcome);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changed_function),
		cmocka_unit_test(test_constant_and_string),
		cmocka_unit_test(test_line_numbers_are_noise),
		cmocka_unit_test(test_numbers_are_no_lines),
		cmocka_unit_test(test_same_source),
		cmocka_unit_test(test_identical_file),
		cmocka_unit_test(test_unrelated),
		cmocka_unit_test(test_layout_is_refused),
		cmocka_unit_test(test_grown_variable_is_refused),
		cmocka_unit_test(test_initial_value),
		cmocka_unit_test(test_startup_is_reported),
		cmocka_unit_test(test_wrapper_is_not_bypassed),
		cmocka_unit_test(test_cold_part_belongs_to_its_function),
		cmocka_unit_test(test_switch_table),
		cmocka_unit_test(test_function_behind_pointer),
		cmocka_unit_test(test_new_import),
		cmocka_unit_test(test_new_thread_local_import_is_refused),
		cmocka_unit_test(test_thread_local_growth_is_refused),
		cmocka_unit_test(test_versions_of_one_name),
	};

	return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
