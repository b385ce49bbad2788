/* New variables: which are taken for new, where the patch has them, and what is refused because it can't be told from something else. */
#include "build_pair.h"

#include "diff/diff.h"

#define KEEP "__attribute__((noipa)) "
#define HEAD                                                                                            \
	"#include <stdio.h>\n#include <string.h>\n"                                                     \
	"static int state, pool[64];\n"                                                                 \
	KEEP "int filler1(int a) { state += a; return printf(\"one %d\\n\", a * state); }\n"            \
	KEEP "int filler2(int a) { state ^= a * 77; pool[a & 63]++; return puts(\"two\") + a; }\n"                      \
	KEEP "int filler3(int a) { return filler1(a) ^ filler2(a + 1); }\n"                             \
	KEEP "int filler4(const char *a) { return (int)strlen(a) + filler3(state); }\n"                 \
	KEEP "int filler5(char *a) { memset(a, state, 3); return filler4(a) * 3; }\n"
#define MAIN "int main(int argc, char **argv) { return filler5(argv[0]) + ask(argc) + other(argc); }\n"

static const char *const kinds[] = { "-O2 -fPIE -pie", "-O2 -fno-pie -no-pie", "-O2 -fPIC -shared", "-O2 -fPIE -pie -Wl,--emit-relocs" };

#define KINDS (sizeof(kinds) / sizeof(*kinds))

struct outcome {
	enum status status;
	struct patch patch;
	char *text;	/* of the error, "" when there is none */
};

static struct outcome diff(const char *source, const char *flags, int strip, const char *new_data)
{
	struct diff_options options = { .new_data = &new_data, .new_data_count = new_data ? 1 : 0 };
	struct build_pair pair = build_pair(source, flags, strip);
	struct error error = { 0 };
	struct outcome outcome;

	outcome.status = diff_images(pair.file[0], pair.file[1], &options, &outcome.patch, &error);
	outcome.text = text_copy(error.text ? error.text : "");
	error_clear(&error);
	build_pair_free(&pair);
	return outcome;
}

static void outcome_free(struct outcome *outcome)
{
	patch_free(&outcome->patch);
	free(outcome->text);
}

static size_t writable_segments(const struct patch *patch)
{
	size_t count = 0;

	for (size_t i = 0; i < patch->segments.count; i++)
		count += patch->segments.item[i].flags == (SEGMENT_READ | SEGMENT_WRITE);
	return count;
}

static bool has_note(const struct patch *patch, const char *text)
{
	for (size_t i = 0; i < patch->notes.count; i++)
		if (strstr(patch->notes.item[i], text))
			return true;
	return false;
}

static void is_taken(const char *source, const char *name)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(source, kinds[i], 0, NULL);

		if (outcome.status != STATUS_OK || !has_note(&outcome.patch, name))
			print_error("%s: status %d: %s\n", kinds[i], outcome.status, outcome.text);
		assert_int_equal(outcome.status, STATUS_OK);
		assert_true(has_note(&outcome.patch, name));
		assert_int_equal(writable_segments(&outcome.patch), 1);
		outcome_free(&outcome);
	}
}

static void is_refused(const char *source, size_t first, size_t count, const char *reason)
{
	for (size_t i = first; i < first + count; i++) {
		struct outcome outcome = diff(source, kinds[i], 0, NULL);

		if (outcome.status != STATUS_REFUSED || !strstr(outcome.text, reason))
			print_error("%s: status %d: %s\n", kinds[i], outcome.status, outcome.text);
		assert_int_equal(outcome.status, STATUS_REFUSED);
		assert_non_null(strstr(outcome.text, reason));
		outcome_free(&outcome);
	}
}

#define OTHER KEEP "int other(int a) { return (behind[a & 3] += a) + before[a & 3]; }\n"

static const char scalar[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"#if V == 2\nstatic long calls = 7;\n#endif\n"
	"static int behind[4] = { 3, 4 };\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n a += calls++;\n#endif\n return before[a & 3] + (behind[a & 3] -= a); }\n" MAIN;

static void test_new_variable_comes_along(void **unused)
{
	is_taken(scalar, "calls (8 bytes");
}

/* Its name is another function's as well. */
static const char namesake[] =
	HEAD "static int before[4] = { 1, 2 }, behind[4] = { 3, 4 };\n"
	KEEP "int other(int a) { static int calls; calls += behind[a & 3] -= a; return calls + before[a & 3]; }\n"
	KEEP "int ask(int a) {\n#if V == 2\n static int calls; a += calls++;\n#endif\n return before[a & 3] + (behind[a & 3] -= a); }\n" MAIN;

static void test_namesake(void **unused)
{
	is_taken(namesake, "calls.");
}

static const char grown[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"static int limits[V == 2 ? 12 : 8] = { 5 };\n"
	"static int behind[4] = { 3, 4 };\n"
	OTHER KEEP "int ask(int a) { return before[a & 3] + (behind[a & 3] -= a) + limits[a % (sizeof(limits) / 4)]++; }\n" MAIN;

static void test_grown_variable(void **unused)
{
	is_refused(grown, 0, KINDS, "the variable limits had 32 bytes and has 48");
}

/* Both builds have the name, but the variable has become one of another source's. */
static const char renamed[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"#if V == 2\nstatic int tally[3];\n#else\nstatic int total[2];\n#endif\n"
	"static int behind[4] = { 3, 4 };\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n tally[1] += a * 3; a ^= tally[1];\n#else\n total[1] += a; a -= total[1];\n#endif\n"
	" return before[a & 3] + (behind[a & 3] -= a); }\n" MAIN;

/* The same, in a function that is new. */
static const char renamed_apart[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"#if V == 2\nstatic int tally[3];\n__attribute__((noipa)) int count(int a) { tally[1] += filler1(a); return tally[1] * 3; }\n"
	"#else\nstatic int total[2];\n#endif\n"
	"static int behind[4] = { 3, 4 };\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n a ^= count(a) + 1;\n#else\n total[1] += a; a -= total[1];\n#endif\n"
	" return before[a & 3] + (behind[a & 3] -= a); }\n" MAIN;

static void test_renamed_variable(void **unused)
{
	is_refused(renamed, 0, KINDS, "--new-data tally");
	is_refused(renamed_apart, 0, KINDS, "--new-data tally");
}

static const char started[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"#if V == 2\nstatic int scale;\n#endif\n"
	"static int behind[4] = { 3, 4 };\n"
	KEEP "static void set(void) {\n#if V == 2\n scale = 1 + filler1(3);\n#endif\n filler2(9); }\n"
	"static __attribute__((constructor)) void begin(void) { set(); }\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n a *= scale;\n#endif\n return before[a & 3] + (behind[a & 3] -= a); }\n" MAIN;

static void test_set_up_by_startup_code(void **unused)
{
	is_refused(started, 0, KINDS, "runs at start-up only, and has run (--new-data scale overrules)");
}

/* The end of the new array, which is a symbol's address for the compiler: it is also where an old variable begins. The kept relocation would tell. */
static const char seam[] =
	HEAD "__asm__(\".data\\n\"\n"
	"#if V == 2\n\"limits: .long 1, 2, 3, 4\\n.type limits, @object\\n.size limits, 16\\n\"\n#endif\n"
	"\"behind: .long 3, 4, 5, 6\\n.type behind, @object\\n.size behind, 16\\n.text\\n\");\n"
	"extern int limits[4] __attribute__((visibility(\"hidden\"))), behind[4] __attribute__((visibility(\"hidden\")));\n"
	"static int before[4] = { 1, 2 };\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n int *at = limits, *end;\n"
	" __asm__ volatile(\"lea limits+16(%%rip), %0\" : \"=r\"(end));\n"
	" while (at < end) a += (*at++)++;\n#endif\n return before[a & 3]; }\n" MAIN;

static void test_end_at_a_seam(void **unused)
{
	is_refused(seam, 0, 1, "the end of one variable or the start of another one");
	is_refused(seam, 2, 1, "the end of one variable or the start of another one");
}

#define OBJECT(name, size, words) "\"" name ": .long " words "\\n.type " name ", @object\\n.size " name ", " #size "\\n\"\n"
#define HIDDEN(name) "extern int " name "[4] __attribute__((visibility(\"hidden\")));\n"
#define ADDRESS(what) " __asm__ volatile(\"lea " what "(%%rip), %0\" : \"=r\"(at));\n"

/* New code asks for the end of an old array, and refers to it nowhere else. */
static const char only_end[] =
	HEAD "__asm__(\".data\\n\"\n" OBJECT("table", 16, "1, 2, 3, 4")
	"#if V == 2\n" OBJECT("fresh", 16, "5, 6, 7, 8") "#endif\n" OBJECT("behind", 16, "1, 2, 3, 4") "\".text\\n\");\n"
	HIDDEN("table") HIDDEN("fresh") HIDDEN("behind") "static int *volatile cursor, before[4] = { 1, 2 };\n"
	OTHER KEEP "int go(int a) { cursor = &table[a]; return filler1(a); }\n"
	KEEP "int ask(int a) {\n#if V == 2\n int *at;\n" ADDRESS("table+16") " if (cursor == at) a = filler2(fresh[0]++);\n#endif\n"
	" return go(a & 3) + before[a & 3]; }\n" MAIN;

/* New code stops at a member of what would follow the last element, in the middle of a new variable; the next one is new, too. */
static const char member_end[] =
	HEAD "__asm__(\".data\\n\"\n" OBJECT("table", 32, "1, 2, 3, 4, 5, 6, 7, 8")
	"#if V == 2\n" OBJECT("fresh", 16, "5, 6, 7, 8") OBJECT("next", 16, "5, 6, 7, 8") "#endif\n" OBJECT("behind", 16, "1, 2, 3, 4") "\".text\\n\");\n"
	HIDDEN("table") HIDDEN("fresh") HIDDEN("next") HIDDEN("behind") "static int *volatile first = table, before[4] = { 1, 2 };\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n int *at, *from = first + 1;\n" ADDRESS("table+36")
	" for (; from < at; from += 2) a += (*from)++;\n a += fresh[0]++ + next[0]++;\n#endif\n return before[a & 3]; }\n" MAIN;

/* Its end is where another section begins. */
static const char section_end[] =
	HEAD "#if V == 2\n__asm__(\".section .data.last, \\\"aw\\\"\\n.balign 32\\n\"\n" OBJECT("last", 32, "1, 2, 3, 4, 5, 6, 7, 8") "\".text\\n\");\n#endif\n"
	HIDDEN("last") "static int before[4] = { 1, 2 }, behind[4] = { 3, 4 };\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n int *at, *from = last;\n" ADDRESS("last+32")
	" while (from < at) a += (*from++)++;\n#endif\n return before[a & 3]; }\n" MAIN;

/* Absolute addresses have constant indices added to them: this one is for the table, and another variable begins there. */
static const char index_added[] =
	HEAD "__asm__(\".data\\n\"\n" OBJECT("table", 16, "1, 2, 3, 4")
	"#if V == 2\n" OBJECT("fresh", 16, "5, 6, 7, 8") "#endif\n" OBJECT("behind", 16, "1, 2, 3, 4") "\".text\\n\");\n"
	HIDDEN("table") HIDDEN("fresh") HIDDEN("behind") "static int before[4] = { 1, 2 };\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n int got;\n"
	" __asm__ volatile(\"mov behind-16(,%1,4), %0\" : \"=r\"(got) : \"r\"((long)(a & 3) + 4));\n a += got + fresh[0]++;\n#endif\n"
	" return filler1(a); }\n" MAIN;

static void test_address_of_one_beside(void **unused)
{
	static const char why[] = "the end of one variable or the start of another one";

	is_refused(only_end, 0, 1, why);
	is_refused(only_end, 2, 1, why);
	is_refused(member_end, 0, 1, why);
	is_refused(section_end, 0, 1, why);
	is_refused(index_added, 1, 1, why);
}

/* One function has lost its variable, and another one has got its own, which is called the same. */
static const char moved[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	KEEP "int other(int a) { return before[a & 3]; }\n" KEEP "int one(int a) {\n#if V == 1\n static int calls; calls += a; a ^= calls;\n#endif\n return filler1(a); }\n"
	KEEP "int ask(int a) {\n#if V == 2\n static int calls; a += calls++;\n#endif\n return one(filler2(a)) + before[a & 3]; }\n" MAIN;

static void test_moved_to_another_function(void **unused)
{
	is_refused(moved, 0, KINDS, "--new-data calls.");
}

/* Its first values change behind the place that unchanged code refers to, and what follows lies elsewhere. */
static const char tail[] =
	HEAD "__asm__(\".data\\n\"\n"
	"#if V == 1\n" OBJECT("table", 16, "1, 2, 3, 4") "#else\n" OBJECT("table", 16, "1, 2, 3, 5") OBJECT("fresh", 4, "5") "#endif\n"
	OBJECT("behind", 16, "1, 2, 3, 4") "\".text\\n\");\n"
	HIDDEN("table") HIDDEN("fresh") HIDDEN("behind") "static int before[4] = { 1, 2 };\n"
	KEEP "int other(int a) { return table[2]++ + behind[0]++ + before[a & 3]; }\n"
	KEEP "int ask(int a) {\n#if V == 2\n a += fresh[0]++ * filler1(a);\n#endif\n return filler2(a); }\n" MAIN;

static void test_values_behind_a_known_place(void **unused)
{
	is_refused(tail, 0, KINDS, "the variable table: its initial value differs");
}

/* Without symbols only the user can say that it is new, by the name that the refusal gives it. */
static void test_word_of_the_user(void **unused)
{
	for (size_t i = 0; i < 3; i++) {
		struct outcome outcome = diff(scalar, kinds[i], 1, NULL);
		const char *option = strstr(outcome.text, "--new-data ");
		char name[64] = "";

		assert_int_equal(outcome.status, STATUS_REFUSED);
		assert_non_null(strstr(outcome.text, "the layout of .data changed"));
		assert_non_null(option);
		assert_int_equal(sscanf(option, "--new-data %63s", name), 1);
		outcome_free(&outcome);
		outcome = diff(scalar, kinds[i], 1, name);
		if (outcome.status)
			print_error("%s with %s: %s\n", kinds[i], name, outcome.text);
		assert_int_equal(outcome.status, STATUS_OK);
		assert_true(has_note(&outcome.patch, name));
		assert_int_equal(writable_segments(&outcome.patch), 1);
		outcome_free(&outcome);
	}
}

/* One is new, as the user says, and another one grew, whose start unchanged code refers to. */
static const char grown_beside[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"#if V == 2\nstatic int tally = 3;\n#else\nstatic int total[2] = { 3 };\n#endif\n"
	"static int limits[V == 2 ? 12 : 8] = { 5 };\n"
	"static int behind[4] = { 3, 4 };\n"
	KEEP "int other(int a) { return (behind[a & 3] += a) + before[a & 3] + limits[0]++; }\n"
	KEEP "int ask(int a) {\n#if V == 2\n tally += a * 3; a ^= tally;\n#else\n total[a & 1] += a; a -= total[1];\n#endif\n"
	" return before[a & 3] + (behind[a & 3] -= a) + limits[a % (sizeof(limits) / 4)]++; }\n" MAIN;

/* ... but not of what unchanged code knows, or symbols: that would lose what it holds. */
static void test_word_against_knowledge(void **unused)
{
	struct outcome outcome = diff(scalar, kinds[0], 0, "before");

	assert_int_equal(outcome.status, STATUS_OK);
	assert_false(has_note(&outcome.patch, "before ("));
	outcome_free(&outcome);
	outcome = diff(grown, kinds[0], 0, "limits");
	assert_int_equal(outcome.status, STATUS_REFUSED);
	outcome_free(&outcome);
	outcome = diff(grown_beside, kinds[0], 0, "tally");
	assert_int_equal(outcome.status, STATUS_REFUSED);
	assert_non_null(strstr(outcome.text, "the variable limits, which has another size"));
	outcome_free(&outcome);
}

/* Two calls below a constructor. */
static const char set_up_deep[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"#if V == 2\nstatic int scale;\n#endif\n"
	"static int behind[4] = { 3, 4 };\n"
	KEEP "static void set(int a) {\n#if V == 2\n scale = a + filler1(3);\n#endif\n filler2(a); }\n"
	KEEP "static void set_up(int a) { set(a + 1); filler2(9); }\n"
	"static __attribute__((constructor)) void begin(void) { set_up(1); filler1(2); }\n"
	OTHER KEEP "int ask(int a) {\n#if V == 2\n a *= scale;\n#endif\n return before[a & 3] + (behind[a & 3] -= a); }\n" MAIN;

static void test_set_up_below_startup_code(void **unused)
{
	is_refused(set_up_deep, 0, KINDS, "runs at start-up only, and has run (--new-data scale overrules)");
}

/* main() calls both again and again. */
static const char served[] =
	HEAD "static int before[4] = { 1, 2 };\n"
	"#if V == 2\nstatic long calls = 7;\n#endif\n"
	"static int behind[4] = { 3, 4 };\n"
	OTHER KEEP "static int ask(int a) {\n#if V == 2\n a += calls++;\n#endif\n return before[a & 3] + (behind[a & 3] -= a); }\n"
	KEEP "static int tell(int a) {\n#if V == 2\n a += calls;\n#endif\n return before[a & 3] ^ a; }\n"
	"int main(int argc, char **argv) { int a = filler5(argv[0]); while (a-- > argc) a += ask(a) + tell(a); return other(a); }\n";

static void test_served_in_a_loop(void **unused)
{
	is_taken(served, "calls (8 bytes");
}

/* The same, and only a jump leads to the other function, which looks like a part of the one that jumps. */
static const char jumped[] =
	HEAD "static int before[4] = { 1, 2 }, behind[4] = { 3, 4 };\n"
	"static __attribute__((noinline, noclone, noipa)) int one(int a) {\n#if V == 1\n static int calls; a += calls++;\n#endif\n"
	" filler2(a); return behind[a & 3] -= a; }\n"
	KEEP "int ask(int a) { if (a > 9) return one(a * 3);\n#if V == 2\n static int calls; a += calls++;\n#endif\n"
	" filler1(a); return before[a & 3] + a; }\n"
	OTHER MAIN;

static void test_moved_beside_a_tail_jump(void **unused)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(jumped, kinds[i], 0, NULL);

		for (size_t k = 0; outcome.status == STATUS_OK && k < outcome.patch.bindings.count; k++)
			assert_true(has_note(&outcome.patch, "calls.0 ("));
		if (outcome.status != STATUS_OK)
			assert_int_equal(outcome.status, STATUS_REFUSED);
		outcome_free(&outcome);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_variable_comes_along),
		cmocka_unit_test(test_namesake),
		cmocka_unit_test(test_grown_variable),
		cmocka_unit_test(test_renamed_variable),
		cmocka_unit_test(test_set_up_by_startup_code),
		cmocka_unit_test(test_set_up_below_startup_code),
		cmocka_unit_test(test_served_in_a_loop),
		cmocka_unit_test(test_end_at_a_seam),
		cmocka_unit_test(test_address_of_one_beside),
		cmocka_unit_test(test_moved_to_another_function),
		cmocka_unit_test(test_moved_beside_a_tail_jump),
		cmocka_unit_test(test_values_behind_a_known_place),
		cmocka_unit_test(test_word_of_the_user),
		cmocka_unit_test(test_word_against_knowledge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
