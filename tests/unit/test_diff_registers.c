/*
 * Variables that only a changed function refers to, by instructions that have other registers in the new build: which are where they were, and what is
 * refused because something says, or may say, otherwise.
 */
#include "build_pair.h"

#include "diff/diff.h"

#define KEEP "__attribute__((noipa)) "
#define OBJECT(name, words) "\"" name ": .long " words "\\n\"\n"
#define HIDDEN(name) "extern int " name "[4] __attribute__((visibility(\"hidden\")));\n"

#define MIDDLE 0x5eed1234	/* the first word of the variable that is looked for */

/* What is known lies on either side: other() is the same in both builds. The new one's .data lies elsewhere. */
#define HEAD                                                                                                                  \
	"#include <stdio.h>\n#include <string.h>\n"                                                                           \
	"static int state, pool[64];\n"                                                                                       \
	HIDDEN("low") HIDDEN("high")                                                                                          \
	"int ask(int a), tell(int a);\n"                                                                                      \
	KEEP "int filler1(int a) { state += a; return printf(\"one %d\\n\", a * state); }\n"                                  \
	KEEP "int filler2(int a) { state ^= a * 77; pool[a & 63]++; return puts(\"two\") + a; }\n"                            \
	KEEP "int filler3(int a) { return filler1(a) ^ filler2(a + 1); }\n"                                                   \
	KEEP "int filler4(const char *a) { return (int)strlen(a) + filler3(state); }\n"                                       \
	KEEP "int filler5(char *a) { memset(a, state, 3); return filler4(a) * 3; }\n"                                         \
	KEEP "int other(int a) { return (high[a & 3] += a) + (low[a & 3] ^= a); }\n"                                          \
	"int main(int argc, char **argv) { return filler5(argv[0]) + ask(argc) + tell(argc) + other(argc); }\n"               \
	"#if V == 1\n#define REG \"r12\"\n#define VERSION \"1\"\n#else\n#define REG \"rbp\"\n#define VERSION \"2\"\n"         \
	"__asm__(\".section .rodata\\n.skip 8192, 1\\n.text\\n\");\n#endif\n"                                                 \
	"__asm__(\".data\\n.balign 32\\n\"\n" OBJECT("low", "1, 2, 3, 4")
#define TAIL OBJECT("high", "5, 6, 7, 8") "\".text\\n\");\n"

/* A function in which one register is another one in the new build, and so is a number. */
#define FUNCTION(name, body)                                                                                                  \
	"__asm__(\".globl " name "\\n.hidden " name "\\n.type " name ", @function\\n" name ":\\n.cfi_startproc\\npush %\" REG \"\\n\"\n" \
	"\".cfi_def_cfa_offset 16\\n.cfi_offset %\" REG \", -16\\n\"\n" body                                                  \
	"\"add $\" VERSION \", %eax\\npop %\" REG \"\\n.cfi_def_cfa_offset 8\\nret\\n.cfi_endproc\\n.size " name ", . - " name "\\n\");\n"
#define USE(name) "\"lea " name "(%rip), %\" REG \"\\nmov (%\" REG \"), %eax\\nadd %edi, %eax\\nmov %eax, (%\" REG \")\\n\"\n"
#define PLAIN(name) "\"xor %eax, %eax\\nadd " name "(%rip), %eax\\n\"\n"

#define VARIABLE OBJECT("middle", "0x5eed1234, 2, 3, 4")
#define UNUSED FUNCTION("tell", "\"xor %eax, %eax\\n\"\n")

static const char *const kinds[] = { "-O2 -fPIE -pie", "-O2 -fno-pie -no-pie", "-O2 -fPIC -shared" };

#define KINDS (sizeof(kinds) / sizeof(*kinds))

/* Where a build has its .data; and how far from there the old one has the variable. */
static uint64_t find_data(const char *path, uint64_t *middle)
{
	struct error error = { 0 };
	const uint32_t first = MIDDLE;
	const struct section *section;
	struct image image;
	uint64_t start;

	assert_int_equal(image_open(path, &image, &error), STATUS_OK);
	section = image_section_named(&image, ".data");
	assert_non_null(section);
	start = section->span.start;
	for (*middle = 0; memcmp(section->data + *middle, &first, 4); *middle += 4)
		assert_true(*middle + 4 < section->span.end - start);
	image_close(&image);
	return start;
}

struct outcome {
	enum status status;
	struct patch patch;
	struct error error;
	uint64_t old, new;	/* the address of the old build's variable, and the one as far from the start of the new build's .data */
};

static struct outcome diff(const char *source, const char *flags)
{
	static const struct diff_options none;
	struct build_pair pair = build_pair(source, flags, 1);
	struct outcome outcome = { 0 };
	uint64_t middle, unused;

	outcome.status = diff_images(pair.file[0], pair.file[1], &none, &outcome.patch, &outcome.error);
	outcome.old = find_data(pair.file[0], &middle) + middle;
	outcome.new = find_data(pair.file[1], &unused) + middle;
	build_pair_free(&pair);
	return outcome;
}

static void outcome_free(struct outcome *outcome)
{
	patch_free(&outcome->patch);
	error_clear(&outcome->error);
}

static void is_where_it_was(const char *source)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct outcome outcome = diff(source, kinds[i]);
		size_t bound = 0;

		if (outcome.status)
			print_error("%s: status %d: %s\n", kinds[i], outcome.status, outcome.error.text ? outcome.error.text : "");
		assert_int_equal(outcome.status, STATUS_OK);
		for (size_t k = 0; k < outcome.patch.bindings.count; k++)
			bound += outcome.patch.bindings.item[k].anchor == ANCHOR_OLD && outcome.patch.bindings.item[k].target == outcome.old;
		assert_int_equal(bound, 1);
		outcome_free(&outcome);
	}
}

/* ... as for what is in its place now. */
static void is_refused_as(const char *source, const char *flags)
{
	struct outcome outcome = diff(source, flags);
	char *reason = text_format("refers to 0x%lx of the new build: a variable that is new, or whose place in the running image is not certain",
				   (unsigned long)outcome.new);

	if (outcome.status != STATUS_REFUSED || !strstr(outcome.error.text, reason))
		print_error("%s: status %d: %s\n", flags, outcome.status, outcome.error.text ? outcome.error.text : "");
	assert_int_equal(outcome.status, STATUS_REFUSED);
	assert_non_null(strstr(outcome.error.text, reason));
	assert_null(strstr(outcome.error.text, "the layout of"));
	free(reason);
	outcome_free(&outcome);
}

static void is_refused(const char *source)
{
	for (size_t i = 0; i < KINDS; i++)
		is_refused_as(source, kinds[i]);
}

static const char renamed[] = HEAD VARIABLE TAIL FUNCTION("ask", USE("middle")) UNUSED;

static void test_other_registers(void **unused)
{
	is_where_it_was(renamed);
}

/* Another one has taken its place, and it has moved into what was padding, where another function refers to it. */
static const char moved_aside[] =
	HEAD "#if V == 1\n" VARIABLE "\".skip 16\\n\"\n#else\n" OBJECT("fresh", "0x5eed1234, 2, 3, 4") VARIABLE "#endif\n" TAIL
	"#if V == 1\n" FUNCTION("ask", USE("middle")) UNUSED "#else\n" FUNCTION("ask", USE("fresh")) FUNCTION("tell", PLAIN("middle")) "#endif\n";

/* ... or in the same function, in the same way: which is which? */
static const char one_more[] =
	HEAD "#if V == 1\n" VARIABLE "\".skip 16\\n\"\n#else\n" OBJECT("fresh", "0x5eed1234, 2, 3, 4") VARIABLE "#endif\n" TAIL
	"#if V == 1\n" FUNCTION("ask", USE("middle")) "#else\n" FUNCTION("ask", USE("fresh") "\"nop\\n\"\n" USE("middle")) "#endif\n" UNUSED;

/* It has become a constant. */
static const char now_constant[] =
	HEAD "#if V == 1\n" VARIABLE "#else\n" OBJECT("fresh", "0x5eed1234, 2, 3, 4") "#endif\n" TAIL
	"__asm__(\".section .rodata\\n.balign 4\\n\"\n" OBJECT("fixed", "0x5eed1234, 2, 3, 4") "\".text\\n\");\n"
	"#if V == 1\n" FUNCTION("ask", USE("middle")) "#else\n" FUNCTION("ask", USE("fresh") "\"nop\\n\"\n" USE("fixed")) "#endif\n" UNUSED;

static void test_another_in_its_place(void **unused)
{
	is_refused(moved_aside);
	is_refused(one_more);
	is_refused(now_constant);
}

/* Another function referred to it, and does so no longer; or it did not, and does now. */
static const char one_user_less[] =
	HEAD VARIABLE TAIL FUNCTION("ask", USE("middle")) "#if V == 1\n" FUNCTION("tell", PLAIN("middle")) "#else\n" UNUSED "#endif\n";
static const char one_user_more[] =
	HEAD VARIABLE TAIL FUNCTION("ask", USE("middle")) "#if V == 1\n" UNUSED "#else\n" FUNCTION("tell", PLAIN("middle")) "#endif\n";
static const char one_pointer_more[] =
	HEAD VARIABLE TAIL FUNCTION("ask", USE("middle")) UNUSED
	"#if V == 2\n__asm__(\".section .data.rel.ro, \\\"aw\\\"\\n.balign 8\\n.quad middle\\n.text\\n\");\n#endif\n";
static const char one_pointer_less[] =
	HEAD VARIABLE TAIL FUNCTION("ask", USE("middle")) UNUSED
	"#if V == 1\n__asm__(\".section .data.rel.ro, \\\"aw\\\"\\n.balign 8\\n.quad middle\\n.text\\n\");\n#endif\n";

static void test_users_that_do_not_correspond(void **unused)
{
	is_refused(one_user_less);
	is_refused(one_user_more);
	is_refused(one_pointer_more);
	is_refused(one_pointer_less);
}

#define SECOND OBJECT("second", "6, 7, 8, 9")

/* The function takes the second one first now. */
static const char exchanged[] =
	HEAD VARIABLE SECOND TAIL
	"#if V == 1\n" FUNCTION("ask", USE("middle") USE("second")) "#else\n" FUNCTION("ask", USE("second") USE("middle")) "#endif\n" UNUSED;

/* They may have changed places, in the function and in memory. */
static const char alike[] =
	HEAD VARIABLE SECOND TAIL FUNCTION("ask", USE("middle") USE("second")) UNUSED;

/* One is gone beside it, to which the function referred as well. */
static const char gone[] =
	HEAD VARIABLE SECOND TAIL
	"#if V == 1\n" FUNCTION("ask", PLAIN("second") USE("middle")) "#else\n" FUNCTION("ask", USE("middle")) "#endif\n" UNUSED;

/* One has come beside it, and the slice has no code that refers to it. */
static const char come[] =
	HEAD VARIABLE "#if V == 1\n\".skip 16\\n\"\n#else\n" OBJECT("fresh", "0, 0, 0, 0") "#endif\n" TAIL FUNCTION("ask", USE("middle")) UNUSED
	HIDDEN("fresh") "static __attribute__((constructor)) void begin(int argc) {\n#if V == 2\n fresh[0] = argc;\n#endif\n state = 1; }\n";

static void test_two_in_a_gap(void **unused)
{
	is_refused(exchanged);
	is_refused(alike);
	is_refused(gone);
	is_refused(come);
}

/* Of two, instructions with the same bytes know the second one: no reference is for that one by mistake, although the function has one more or less to it,
 * in the same way. */
static const char other_is_known[] =
	HEAD VARIABLE SECOND TAIL FUNCTION("ask", PLAIN("second") USE("middle")) UNUSED;
static const char other_once_less[] =
	HEAD VARIABLE SECOND TAIL
	FUNCTION("ask", PLAIN("second") USE("middle") "#if V == 1\n\"cltq\\nlea second(%rip), %\" REG \"\\n\"\n#endif\n") UNUSED;
static const char other_once_more[] =
	HEAD VARIABLE SECOND TAIL
	FUNCTION("ask", PLAIN("second") USE("middle") "#if V == 2\n\"cltq\\nlea second(%rip), %\" REG \"\\n\"\n#endif\n") UNUSED;

static void test_one_of_two(void **unused)
{
	is_where_it_was(other_is_known);
	is_where_it_was(other_once_less);
	is_where_it_was(other_once_more);
}

/* Nothing around it is the same, or hardly anything; or it is used in another way. */
static const char alone[] =
	HEAD VARIABLE TAIL
	"#if V == 1\n" FUNCTION("ask", "\"xor %eax, %eax\\n\"\n" "\"lea middle(%rip), %\" REG \"\\ncltq\\nmov (%\" REG \"), %eax\\n\"\n")
	"#else\n" FUNCTION("ask", "\"mov $7, %eax\\n\"\n" "\"lea middle(%rip), %\" REG \"\\ncqto\\nmov (%\" REG \"), %eax\\n\"\n") "#endif\n" UNUSED;
static const char hardly_alike[] =
	HEAD VARIABLE TAIL
	"#if V == 1\n" FUNCTION("ask", "\"xor %eax, %eax\\n\"\n" "\"lea middle(%rip), %\" REG \"\\nmov %\" REG \", %rcx\\ncltq\\nmov (%rcx), %eax\\n\"\n")
	"#else\n" FUNCTION("ask", "\"mov $7, %eax\\n\"\n" "\"lea middle(%rip), %\" REG \"\\nmov %\" REG \", %rcx\\ncqto\\nsub (%rcx), %eax\\n\"\n") "#endif\n" UNUSED;
static const char other_size[] =
	HEAD VARIABLE TAIL
	"#if V == 1\n" FUNCTION("ask", USE("middle") "\"mov middle(%rip), %r8d\\n\"\n")
	"#else\n" FUNCTION("ask", USE("middle") "\"mov middle(%rip), %r9\\n\"\n") "#endif\n" UNUSED;

static void test_other_use(void **unused)
{
	is_refused(alone);
	is_refused(hardly_alike);
	is_refused(other_size);
}

/* The old one is known by a name, and the new one has none. */
static const char named[] =
	HEAD "#if V == 1\n\".globl middle\\n.protected middle\\n.type middle, @object\\n.size middle, 16\\n\"\n#endif\n" VARIABLE TAIL
	FUNCTION("ask", USE("middle")) UNUSED;

static void test_name_is_gone(void **unused)
{
	is_refused_as(named, "-O2 -fPIC -shared");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_registers),
		cmocka_unit_test(test_another_in_its_place),
		cmocka_unit_test(test_users_that_do_not_correspond),
		cmocka_unit_test(test_two_in_a_gap),
		cmocka_unit_test(test_one_of_two),
		cmocka_unit_test(test_other_use),
		cmocka_unit_test(test_name_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
