/*
 * Which entries can become a jump, of functions that jump back to where they begin: programs of a C function that calls one in assembly,
 * which is another one in each build.
 */
#include "build_pair.h"

#include "diff/diff.h"

/* The lines of fix, between its label and its end; CHANGE is a number, and not the same in both. It begins with 5 bytes that are displaced. */
#define FIX(lines) "#define TEXT(what) #what\n#define NUMBER(what) TEXT(what)\n#define CHANGE \"$\" NUMBER(V)\n"        \
	"__asm__(\".text\\n.p2align 4\\n.type fix, @function\\nfix: .cfi_startproc\\n\"" lines                           \
	" \".cfi_endproc\\n.size fix, .-fix\\n\");\n"                                                                     \
	"int fix(int);\nint main(int argc, char **argv) { return ((int (*volatile)(int))user)(argc); }\n"
#define USER "static __attribute__((noipa)) int user(int a) { extern int fix(int); return fix(a) + 1; }\n"
#define BEGIN "\"mov %edi, %eax; lea (%rax, %rax), %eax\\n add \" CHANGE \", %eax; dec %edi\\n\""

static enum status diff(const char *source, const char *flags, size_t *redirected, char **text)
{
	static const struct diff_options none;
	struct build_pair pair = build_pair(source, flags, 0);
	struct error error = { 0 };
	struct patch patch;
	enum status status = diff_images(pair.file[0], pair.file[1], &none, &patch, &error);

	*redirected = 0;
	for (size_t i = 0; i < patch.functions.count; i++)
		*redirected += patch.functions.item[i].action == ACTION_REDIRECT;
	*text = text_copy(error.text ? error.text : "");
	patch_free(&patch);
	error_clear(&error);
	build_pair_free(&pair);
	return status;
}

static void is_redirected(const char *source)
{
	size_t redirected;
	char *text;
	enum status status = diff(source, "-O2 -fPIE -pie", &redirected, &text);

	if (status != STATUS_OK)
		print_error("%s\n", text);
	assert_int_equal(status, STATUS_OK);
	assert_int_equal(redirected, 1);
	free(text);
}

static void is_refused(const char *source, const char *reason)
{
	size_t redirected;
	char *text;
	enum status status = diff(source, "-O2 -fPIE -pie", &redirected, &text);

	if (status != STATUS_REFUSED || !strstr(text, reason))
		print_error("status %d: %s\n", status, text);
	assert_int_equal(status, STATUS_REFUSED);
	assert_non_null(strstr(text, reason));
	free(text);
}

static void test_loop(void **unused)
{
	is_redirected(USER FIX(BEGIN "\"jne fix; ret\\n\""));
}

static void test_tail_call(void **unused)
{
	is_redirected(USER FIX("\"push %rbx; .cfi_def_cfa_offset 16; .cfi_offset %rbx, -16\\n mov %edi, %ebx; lea (%rbx, %rbx), %eax\\n\""
			       "\"add \" CHANGE \", %eax; dec %edi; pop %rbx; .cfi_def_cfa_offset 8\\n jmp fix\\n\""));
}

/* The jump stands behind the first instruction, which indirect calls lead to. */
static void test_to_the_site(void **unused)
{
	is_redirected(USER FIX("\"endbr64\\n1:\"" BEGIN "\"jne 1b; ret\\n\""));
	is_redirected(USER FIX("\"endbr64\\n\"" BEGIN "\"jne fix; ret\\n\""));
}

static void test_from_another_part(void **unused)
{
	is_redirected(USER FIX(BEGIN "\"jne fix.cold; ret; .cfi_endproc; .section .text.unlikely; .type fix.cold, @function\\n\""
			       "\"fix.cold: .cfi_startproc; add $7, %edi; jmp fix; .cfi_endproc; .size fix.cold, .-fix.cold; .text\\n\""
			       "\"nop; .cfi_startproc\\n\""));
}

static void test_into_the_middle(void **unused)
{
	static const char reason[] = "it jumps into the bytes that the redirection needs";

	is_refused(USER FIX("\"mov %edi, %eax; 1: lea (%rax, %rax), %eax; add \" CHANGE \", %eax; dec %edi; jne 1b; ret\\n\""), reason);
	is_refused(USER FIX("\"endbr64; mov %edi, %eax; 1: lea (%rax, %rax), %eax; add \" CHANGE \", %eax; dec %edi; jne 1b; ret\\n\""), reason);
	is_refused(USER FIX("\"endbr64\\n\"" BEGIN "\"jne fix + 1; ret\\n\""), reason);
}

static void test_with_another_frame(void **unused)
{
	static const char reason[] = "it jumps back to its entry with another frame than a call leaves";

	is_refused(USER FIX("\"mov %edi, %eax; lea (%rax, %rax), %eax; push %rbx; .cfi_def_cfa_offset 16\\n add \" CHANGE \", %eax; dec %edi; jne fix\\n\""
			    "\"pop %rbx; .cfi_def_cfa_offset 8; ret\\n\""), reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_tail_call),
		cmocka_unit_test(test_to_the_site),
		cmocka_unit_test(test_from_another_part),
		cmocka_unit_test(test_into_the_middle),
		cmocka_unit_test(test_with_another_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
